"""From records to integer rows: computed once per record and head, and stored.

Only training rows enter the state, and of those only ones that no core has learned from.
Each record is computed alone, so what is stored for one person never depends on another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mbd.data.prepared import PreparedRows
from mbd.data.records import Records
from mbd.head.feature_map import quantise, quantise_targets
from mbd.model.inference import Extractor
from mbd.values import Cohort
from mbd.workflows.model import present, targets_of
from mbd.workflows.policy import HeadDesign, Policy

Floats = npt.NDArray[np.float64]
Progress = Callable[[int, int], None]


@dataclass
class FloatRows:
    """The rows of one head before quantisation, in the order of the records."""

    records: list[int] = field(default_factory=list)
    """Index of each row's record."""
    features: list[Floats] = field(default_factory=list)
    core: list[Floats] = field(default_factory=list)
    """What the core says already."""


def float_rows(extractor: Extractor, records: Records) -> dict[str, FloatRows]:
    """Every row that these records bring, by head."""
    found: dict[str, FloatRows] = {}
    inputs = (present(records, index) for index in range(len(records)))
    for index, rows in enumerate(extractor.each(inputs)):
        for head, row in rows.items():
            into = found.setdefault(head, FloatRows())
            into.records.append(index)
            into.features.append(row.features)
            into.core.append(row.prediction)
    return found


def learning_rows(policy: Policy, records: Records) -> Records:
    """The training rows that enter the heads.

    Rows that a core was trained on stay out: it knows their labels, so what it leaves for a
    head to correct is smaller than it will be for anybody else.
    """
    seen = core_cohorts(policy)
    train = records.where(split="train")
    return train.select(i for i in range(len(train)) if train.cohorts[i] not in seen)


def core_cohorts(policy: Policy) -> frozenset[Cohort]:
    """The cohorts that a core was trained on."""
    blocks = [block for block in policy.provenance if block.kind == "core"]
    return frozenset(cohort for block in blocks for cohort in block.cohorts)


def prepare(extractor: Extractor, policy: Policy, records: Records) -> dict[str, PreparedRows]:
    """The integer rows of some records, as they are stored: by head."""
    targets = targets_of(policy.schema.task, records.labels)
    return {
        head: _quantise(rows, records, targets, policy.heads[head])
        for head, rows in sorted(float_rows(extractor, records).items())
    }


def _quantise(
    rows: FloatRows, records: Records, targets: Floats, design: HeadDesign
) -> PreparedRows:
    residual = targets[rows.records] - np.stack(rows.core)
    return PreparedRows(
        record_ids=tuple(records.record_ids[i] for i in rows.records),
        subjects=tuple(records.subjects[i] for i in rows.records),
        v=quantise(np.stack(rows.features), design.feature_map.clip),
        t=quantise_targets(residual, design.constants.scale.target_bits),
    )
