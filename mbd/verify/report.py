"""The result of a verification: checks, the level reached, the verdict, and its limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mbd.certificate.statement import Guarantee

Result = Literal["pass", "fail", "skipped"]
Level = Literal["SIGNED", "LOGGED", "CONSISTENT", "WITNESSED", "ARTIFACTS", "SUBJECT", "REPRODUCED"]
Verdict = Literal["valid", "not-current", "invalid", "undecided"]

BASE_LEVELS: tuple[Level, ...] = ("SIGNED", "LOGGED", "CONSISTENT", "WITNESSED")
"""Each includes the ones before it."""
EXTRA_LEVELS: tuple[Level, ...] = ("ARTIFACTS", "SUBJECT", "REPRODUCED")
"""Each stands beside the base level."""
LEVELS = BASE_LEVELS + EXTRA_LEVELS

DEFAULT_LEVEL: Level = "LOGGED"

EXIT_CODES: dict[Verdict, int] = {"valid": 0, "invalid": 1, "undecided": 3, "not-current": 9}
WORST_FIRST = (70, 1, 3, 9, 0)
"""Which exit code speaks for several files."""

LIMITS = (
    "No signature shows that copies elsewhere are gone.",
    "Without the retained data nobody can tell an honest engine from one that did nothing.",
    "Below WITNESSED the operator could show others another log.",
)


@dataclass(frozen=True)
class CheckResult:
    """What became of one numbered check."""

    number: int
    name: str
    level: Level
    code: str
    """`ok`, or a stable dotted identifier of what failed or is missing."""
    result: Result
    reason: str

    def to_json(self) -> dict[str, Any]:
        """The check as `mbd verify --json` prints it."""
        return {
            "number": self.number,
            "name": self.name,
            "code": self.code,
            "result": self.result,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Report:
    """One bundle, judged. Exists only after the last check has run."""

    checks: tuple[CheckResult, ...]
    required: Level
    current: bool = True
    """False if every key that signed is distrusted from some entry of the log on."""
    ended: bool = False
    """Whether every key that signed was retired or distrusted at some entry of the log."""
    certificate_id: str | None = None
    checkpoint: str | None = None
    """`origin@size` of the verified checkpoint."""
    guarantee: Guarantee | None = None
    """What the certificate states; believe it only if the verdict is good."""

    @property
    def level_reached(self) -> str | None:
        """The highest base level with no check left open, and each extra level, joined by +."""
        reached: list[str] = []
        for level in BASE_LEVELS:
            if not self._passed(level):
                break
            reached = [level]
        if not reached:
            return None
        return "+".join(reached + [level for level in EXTRA_LEVELS if self._passed(level)])

    @property
    def verdict(self) -> Verdict:
        """invalid beats undecided beats not-current."""
        if any(check.result == "fail" for check in self.checks):
            return "invalid"
        # Only the log can tell that a key signed before its end.
        dated = self.ended or not self.current
        needed = ("LOGGED", *self._needed()) if dated else self._needed()
        if not all(self._passed(level) for level in needed):
            return "undecided"
        return "valid" if self.current else "not-current"

    @property
    def exit_code(self) -> int:
        """0, 1, 3 or 9."""
        return EXIT_CODES[self.verdict]

    @property
    def first_failed(self) -> CheckResult | None:
        """The first check that failed."""
        return next((check for check in self.checks if check.result == "fail"), None)

    @property
    def not_checked(self) -> tuple[str, ...]:
        """What was skipped and why, one sentence each, and what no version here can check."""
        skipped = [f"{c.name}: {c.reason}" for c in self.checks if c.result == "skipped"]
        return (*skipped, "whether a later entry supersedes this certificate")

    def to_json(self) -> dict[str, Any]:
        """The report as `mbd verify --json` prints it."""
        return {
            "verdict": self.verdict,
            "exitCode": self.exit_code,
            "levelReached": self.level_reached,
            "certificateId": self.certificate_id,
            "checkpoint": self.checkpoint,
            "class": self.guarantee.guarantee_class if self.guarantee else None,
            "epsilon": self.guarantee.epsilon if self.guarantee else None,
            "delta": self.guarantee.delta if self.guarantee else None,
            "checks": [check.to_json() for check in self.checks],
            "notChecked": list(self.not_checked),
            "limits": list(LIMITS),
        }

    def summary(self) -> str:
        """The checks, what was not checked, the limits, and last the verdict."""
        lines = [
            f"  {c.number:>2}  {c.result:<7}  {c.name}" + (f": {c.reason}" if c.reason else "")
            for c in self.checks
        ]
        return "\n".join([*lines, *self._notes(), self._sentence()])

    def _needed(self) -> tuple[Level, ...]:
        """The base levels up to the required one; an extra level needs the default base too."""
        extra = self.required in EXTRA_LEVELS
        base = DEFAULT_LEVEL if extra else self.required
        below = BASE_LEVELS[: BASE_LEVELS.index(base) + 1]
        return (*below, self.required) if extra else below

    def _passed(self, level: Level) -> bool:
        own = [check for check in self.checks if check.level == level]
        return bool(own) and all(check.result == "pass" for check in own)

    def _sentence(self) -> str:
        level = self.level_reached or "none"
        at = f" at checkpoint {self.checkpoint}" if self.checkpoint else ""
        failed = self.first_failed
        text = {
            "valid": f"VALID{at}; level {level}; {self._claim()}",
            "not-current": f"VALID{at}, NOT CURRENT: the key was distrusted later; "
            f"level {level}; {self._claim()}",
            "invalid": f"INVALID: {failed.code if failed else ''}; level {level}",
            "undecided": f"UNDECIDED: {self.required} was required; level {level}",
        }
        return text[self.verdict]

    def _claim(self) -> str:
        """What was found valid: the class, and what it costs or that it changed nothing."""
        found = self.guarantee
        if found is None:
            return "no claim"
        details = {
            "certified": f": epsilon {found.epsilon}, delta {found.delta}",
            "exact": "" if found.selected_heads else ": no head was replaced",
            "empirical": ": measured, no privacy loss is stated",
        }
        return f"class {found.guarantee_class}{details[found.guarantee_class]}"

    def _notes(self) -> list[str]:
        return [
            "Not checked: " + "; ".join(self.not_checked) + ".",
            "Limits: " + " ".join(LIMITS),
        ]


def worst(codes: Sequence[int]) -> int:
    """The exit code that speaks for several files."""
    return min(codes, key=WORST_FIRST.index)
