"""All that one run of `mbd eval` found, and its JSON form."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mbd.evaluation.diagnostics import Contributions, Gradients
from mbd.evaluation.metrics import Family
from mbd.evaluation.protocol import EvaluationRow


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One model, one split, some protocols."""

    model: str
    """Id of the model: the same for every row."""
    core: str
    """'trained' or 'none'."""
    dataset: str
    modalities: tuple[str, ...]
    baseline: str
    """What the constant predictor says, in words."""
    family: Family
    split: str
    cohort: str
    seed: int
    """Names the masks."""
    fill: str
    """What stands where a frame is missing: 'drop' for nothing, 'zero' for zeros."""
    records: int
    subjects: int
    rows: tuple[EvaluationRow, ...]
    skipped: dict[str, str]
    """Protocols and diagnostics that say nothing about this data or model, and why."""
    contributions: tuple[Contributions, ...] = ()
    """Only beside the protocol of subsets."""
    gradients: Gradients | None = None
    """The same."""
    left_out_records: int = 0
    """Of the records, those of people who revoked a channel."""
    left_out_subjects: int = 0
    """How many people that are."""

    @property
    def warning(self) -> str | None:
        """Why the figures are no measure of the model, if they are none."""
        if self.split != "train":
            return None
        return (
            "heads learned from rows of this split: the figures say how well they fit, not how "
            "good the model is"
        )

    @property
    def left_out(self) -> str | None:
        """What revocations took out of the records, if anything."""
        if not self.left_out_records:
            return None
        return (
            f"left out: revoked channels of {self.left_out_records} records of "
            f"{self.left_out_subjects} people; records of which nothing is left are erased and "
            "cannot be counted"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Both, for whoever reads the figures."""
        return tuple(one for one in (self.warning, self.left_out) if one is not None)

    @property
    def protocols(self) -> tuple[str, ...]:
        """Those that gave rows, in their order."""
        return tuple(dict.fromkeys(row.condition.protocol for row in self.rows))

    def of(self, protocol: str) -> list[EvaluationRow]:
        """The rows of one protocol."""
        return [row for row in self.rows if row.condition.protocol == protocol]

    def mask_digest(self, protocol: str) -> str:
        """One SHA-256 for the masks of all rows of a protocol, in their order."""
        digests = [row.mask_digest for row in self.of(protocol)]
        return hashlib.sha256("\n".join(digests).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `mbd eval --json` prints them."""
        return {
            "split": self.split,
            "cohort": self.cohort,
            "model": self.model,
            "core": self.core,
            "dataset": self.dataset,
            "metrics": self.family.name,
            "seed": self.seed,
            "frames": self.fill,
            "records": self.records,
            "subjects": self.subjects,
            "leftOut": {"records": self.left_out_records, "subjects": self.left_out_subjects},
            "notes": list(self.notes),
            "constant": self.baseline,
            "maskDigests": {name: self.mask_digest(name) for name in self.protocols},
            "skipped": self.skipped,
            "rows": [row_json(row, self.modalities) for row in self.rows],
            "contributions": [
                {"metric": one.metric, "n": one.n, "shapley": one.shapley, "equity": one.equity}
                for one in self.contributions
            ],
            "gradients": self.gradients and gradients_json(self.gradients),
        }


def row_json(row: EvaluationRow, modalities: Sequence[str]) -> dict[str, Any]:
    """One row; `available` are the channels that the records may use."""
    condition = row.condition
    return {
        "protocol": condition.protocol,
        "series": condition.series,
        "rate": condition.rate,
        "rates": dict(condition.rates),
        "available": condition.available.split("+") if condition.available else list(modalities),
        "n": row.n,
        "missing": row.missing,
        "metrics": row.metrics,
        "baseline": row.baseline,
        "intervals": {name: list(bounds) for name, bounds in row.intervals.items()},
        "maskDigest": row.mask_digest,
    }


def gradients_json(found: Gradients) -> dict[str, Any]:
    """Norms and imbalance."""
    return {"n": found.n, "norms": found.norms, "imbalance": found.imbalance}
