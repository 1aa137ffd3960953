"""The plan of each request of a batch, from declared provenance and the rows that there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mbd.data.prepared import PreparedRows, PreparedStore
from mbd.data.schema import DatasetSchema
from mbd.deletion.plan import DeletionPlan, Method, plan
from mbd.deletion.taint import ModelFacts
from mbd.values import parse_availability
from mbd.workflows.current import CurrentModel
from mbd.workflows.snapshots import StateSnapshot

RowCounts = Mapping[str, Mapping[str, int]]
"""Prepared rows by head and subject."""


def count_rows(prepared: PreparedStore, subjects: Iterable[str]) -> RowCounts:
    """How many rows each head has of these subjects (and of those beside them)."""
    found: dict[str, Counter[str]] = {}
    for bucket in sorted({prepared.bucket_of(subject) for subject in subjects}):
        for head, rows in prepared.read_bucket(bucket).items():
            found.setdefault(head, Counter()).update(rows.subjects)
    return found


def plan_request(
    model: CurrentModel,
    schema: DatasetSchema,
    detail: Mapping[str, Any],
    counts: RowCounts,
    method: Method,
) -> DeletionPlan:
    """The plan of one request, from declared provenance and the subject's rows per head.

    Raises:
        RefusedError: A block saw the data that cannot subtract it.
    """
    subject = detail["subject"]
    return plan(
        model.policy.provenance,
        subject_cohort=schema.cohorts.cohort_of(subject),
        modalities=frozenset(detail["modalities"]),
        rows={head: found.get(subject, 0) for head, found in counts.items()},
        method=method,
    )


def model_facts(model: CurrentModel, state: StateSnapshot, policy_entry: int) -> ModelFacts:
    """What its manifest, its policy and its state say of a model."""
    return ModelFacts(
        provenance=model.policy.provenance,
        files=model.snapshot.files,
        states=state.heads,
        training_id=model.policy.training_id,
        policy_entry=policy_entry,
    )


def removed_rows(
    prepared: PreparedStore, details: Iterable[Mapping[str, Any]]
) -> Iterator[dict[str, PreparedRows]]:
    """The prepared rows that go, bucket by bucket: those of heads that read what is revoked."""
    gone: dict[int, dict[str, set[str]]] = {}
    for detail in details:
        subject = detail["subject"]
        near = gone.setdefault(prepared.bucket_of(subject), {})
        near.setdefault(subject, set()).update(detail["modalities"])
    for bucket, revoked in sorted(gone.items()):
        found = {
            head: rows.select(_going(rows, parse_availability(head), revoked))
            for head, rows in prepared.read_bucket(bucket).items()
        }
        yield {head: rows for head, rows in found.items() if len(rows)}


def _going(
    rows: PreparedRows, reads: frozenset[str], revoked: Mapping[str, set[str]]
) -> npt.NDArray[np.intp]:
    """Indices of the rows of people who revoked something that the head reads."""
    return np.flatnonzero([not reads.isdisjoint(revoked.get(who, ())) for who in rows.subjects])
