"""Which cohort a subject belongs to: an explicit list, or a threshold on a keyed hash.

Never a rank or a share of a sorted list: whether one person is in must not depend on who
else is there, or deleting that other person would have to move this one.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mbd.errors import DataError
from mbd.values import Cohort


@dataclass(frozen=True, kw_only=True)
class CohortRule:
    """A share of all subjects drawn by hash, or the subjects listed."""

    fraction: float | None = None
    """Probability that a subject is in; None for an explicit list."""
    seed: int = 0
    """Public seed of the hash key."""
    subjects: tuple[str, ...] = ()
    """The explicit list, sorted; empty for a fraction."""

    def __post_init__(self) -> None:
        if self.fraction is None:
            return
        if not (math.isfinite(self.fraction) and 0 <= self.fraction <= 1):
            raise DataError(f"fraction {self.fraction}: want 0 to 1", field="fraction")
        if self.subjects:
            raise DataError("want a fraction or a list of subjects, not both", field="fraction")

    def admits(self, cohort: str, subject: str) -> bool:
        """Whether the rule named `cohort` takes `subject`."""
        if self.fraction is None:
            return subject in self.subjects
        key = hashlib.sha256(f"mbd cohort {cohort} {self.seed}".encode()).digest()
        drawn = hmac.new(key, subject.encode("utf-8"), "sha256").digest()
        return int.from_bytes(drawn[:8], "big") < int(self.fraction * 2**64)

    def to_json(self) -> dict[str, Any]:
        """JSON form, as in a spec."""
        if self.fraction is None:
            return {"subjects": list(self.subjects)}
        return {"fraction": self.fraction, "seed": self.seed}

    @staticmethod
    def from_json(value: dict[str, Any]) -> CohortRule:
        """Inverse of `to_json`."""
        if "subjects" in value:
            return CohortRule(subjects=tuple(value["subjects"]))
        return CohortRule(fraction=value["fraction"], seed=value["seed"])


@dataclass(frozen=True, kw_only=True)
class CohortRules:
    """Who is foundation, who is calibration; everybody else is revocable.

    An explicit list beats a fraction; foundation is asked before calibration.
    """

    foundation: CohortRule | None = None
    calibration: CohortRule | None = None

    def __post_init__(self) -> None:
        if self.foundation is None or self.calibration is None:
            return
        both = set(self.foundation.subjects) & set(self.calibration.subjects)
        if both:
            raise DataError(
                f"subject {min(both)!r} is listed in both foundation and calibration",
                field="calibration",
            )

    def cohort_of(self, subject: str) -> Cohort:
        """The cohort of `subject`, whoever else is in the data."""
        named: tuple[tuple[Cohort, CohortRule | None], ...] = (
            ("foundation", self.foundation),
            ("calibration", self.calibration),
        )
        listed = sorted(named, key=lambda item: item[1] is None or item[1].fraction is not None)
        for cohort, rule in listed:
            if rule is not None and rule.admits(cohort, subject):
                return cohort
        return "revocable"

    def listed(self) -> Iterable[tuple[Cohort, str]]:
        """Every explicitly listed subject with its cohort."""
        if self.foundation is not None:
            yield from (("foundation", subject) for subject in self.foundation.subjects)
        if self.calibration is not None:
            yield from (("calibration", subject) for subject in self.calibration.subjects)
