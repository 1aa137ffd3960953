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
