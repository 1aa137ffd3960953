"""The deletion plan: what happens to every block of the model, from declared provenance alone.

A pure function: no data, no database. A block that learned from the subject through the
revoked modality, and that rows cannot be subtracted from, makes the plan refuse, unless the
method is to train everything again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mbd.errors import RefusedError
from mbd.values import Availability, Cohort, GuaranteeClass

BlockKind = Literal["core", "scaler", "head", "policy"]
Method = Literal["auto", "surgical", "exact", "retrain"]
Action = Literal["keep", "subtract-and-release", "subtract-and-solve", "retrain"]

_WORDS = {
    "core": "the core was trained",
    "scaler": "the input scaling was fitted",
    "policy": "the settings of the heads were chosen",
}


@dataclass(frozen=True, kw_only=True)
class BlockProvenance:
    """What a block of the model was computed from, as the manifest declares it."""

    name: str
    """The head's availability name, or a name such as 'core'."""
    kind: BlockKind
    cohorts: frozenset[Cohort]
    modalities: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class BlockAction:
    """What the plan does to one block."""

    block: str
    kind: BlockKind
    action: Action
    guarantee: GuaranteeClass
    """Class of this block; what is kept never saw the data, what is made again never sees it:
    both are exact."""


@dataclass(frozen=True, kw_only=True)
class DeletionPlan:
    """The whole plan; `guarantee_class` is the weakest of the blocks'."""

    modalities: tuple[str, ...]
    """Revoked modalities with everything derived from them, sorted."""
    method: Literal["surgical", "exact", "retrain"]
    guarantee_class: GuaranteeClass
    selected: tuple[str, ...]
    """Heads to replace, sorted; empty if the subject has no training rows there."""
    untouched: tuple[str, ...]
    """Heads that keep their bits, sorted."""
    actions: tuple[BlockAction, ...]


def plan(
    blocks: Sequence[BlockProvenance],
    *,
    subject_cohort: Cohort,
    modalities: Availability,
    rows: Mapping[str, int],
    method: Method = "auto",
) -> DeletionPlan:
    """Decide, for every block, between keeping it and replacing it.

    All heads that read a revoked modality are selected (their structural saliency is not
    zero), also those in which this subject happens to have no row: which heads a certificate
    names then depends on the modality, not on the person.

    Retraining makes every block again: rows follow from the scaler and the core, heads from
    the rows. So it selects all heads, whoever asks.

    Args:
        blocks: Every block of the model.
        subject_cohort: Cohort of the subject.
        modalities: Revoked modalities, closed under derivation (`DatasetSchema.cascade`).
        rows: Training rows of this subject per head.
        method: 'auto' is 'surgical'.

    Raises:
        RefusedError: A block saw the data and cannot subtract it.
    """
    if method == "retrain":
        return _retrain(blocks, modalities)
    _refuse_tainted(blocks, subject_cohort, modalities)
    heads = [block for block in blocks if block.kind == "head"]
    reading = [block.name for block in heads if block.modalities & modalities]
    selected = sorted(reading) if any(rows.get(name, 0) for name in reading) else []
    certified = bool(selected) and method != "exact"
    return DeletionPlan(
        modalities=tuple(sorted(modalities)),
        method="exact" if method == "exact" else "surgical",
        guarantee_class="certified" if certified else "exact",
        selected=tuple(selected),
        untouched=tuple(sorted({block.name for block in heads} - set(selected))),
        actions=tuple(_action(block, block.name in selected, certified) for block in blocks),
    )


def _retrain(blocks: Sequence[BlockProvenance], modalities: Availability) -> DeletionPlan:
    return DeletionPlan(
        modalities=tuple(sorted(modalities)),
        method="retrain",
        guarantee_class="exact",
        selected=tuple(sorted(block.name for block in blocks if block.kind == "head")),
        untouched=(),
        actions=tuple(
            BlockAction(block=block.name, kind=block.kind, action="retrain", guarantee="exact")
            for block in blocks
        ),
    )


def _action(block: BlockProvenance, selected: bool, certified: bool) -> BlockAction:
    replaced = block.kind == "head" and selected
    action: Action = "keep"
    if replaced:
        action = "subtract-and-release" if certified else "subtract-and-solve"
    return BlockAction(
        block=block.name,
        kind=block.kind,
        action=action,
        guarantee="certified" if replaced and certified else "exact",
    )


def _refuse_tainted(
    blocks: Sequence[BlockProvenance], cohort: Cohort, modalities: Availability
) -> None:
    tainted = [
        block
        for block in blocks
        if block.kind != "head" and cohort in block.cohorts and block.modalities & modalities
    ]
    if not tainted:
        return
    reasons = " and ".join(dict.fromkeys(_WORDS[block.kind] for block in tainted))
    names = "+".join(sorted(modalities))
    raise RefusedError(
        f"{reasons} on the {cohort} cohort, this subject's {names} included: "
        "it cannot be subtracted",
        code="refused.tainted",
        field=", ".join(block.name for block in tainted),
        hint="ways on: `--method retrain`, which makes it again without this data; stop serving "
        f"{names}; or another workspace whose import spec declares ranges and names neither a "
        "foundation nor a calibration cohort, where only heads learn",
    )
