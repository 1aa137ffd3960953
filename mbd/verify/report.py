"""The result of a verification: checks, the level reached, the verdict, and its limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

from mbd.certificate.statement import Guarantee
from mbd.verify.words import in_words

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
INTERNAL = 70
"""Exit code where a check did not judge but broke, which is a defect of ours."""
WORST_FIRST = (INTERNAL, 1, 3, 9, 0)
"""Which exit code speaks for several files."""

ALTERED = "sig.invalid"
"""The code that speaks first: whatever else fails in altered bytes, the signer did not say it."""

INPUT_AT_FAULT = {
    "ckpt.proof": "the proof of --consistency does not hold for these checkpoints",
    "ckpt.sig": "the checkpoint in the proof of --consistency is not the log's",
    "artifact.missing": "the folder is not the model of this certificate",
    "artifact.extra": "the folder is not the model of this certificate",
    "artifact.changed": "the folder is not the model of this certificate",
    "receipt.subject": "the receipt and the certificate do not belong together",
    "receipt.modalities": "the receipt and the certificate do not belong together",
    "receipt.opening": "the receipt and the certificate do not belong together",
    "receipt.items": "the receipt and the certificate do not belong together",
    "receipt.item": "the receipt and the certificate do not belong together",
}
"""What may be wrong with what was given beside a certificate, which alone is not at fault then."""

OTHER_FILES = ("artifact.missing", "artifact.extra", "artifact.changed")
"""Codes of a folder that holds other files than the certificate lists."""

PASSED = "ok"
"""The code of a check that passed."""

NOTHING_REMEMBERED = ("ckpt.first", "ckpt.no_memory")
"""Codes of a check 17 that has nothing to compare with."""

OF_ANOTHER = ("receipt.other", "reproduce.other", "not_reached")
"""Codes of a check whose input names another certificate, or cannot be told to name this one."""

LIMITS = (
    "No signature shows that copies elsewhere are gone.",
    "Without the retained data nobody can tell an honest engine from one that did nothing.",
    "Below WITNESSED the operator could show others another log.",
)


class CheckResult(NamedTuple):
    """What became of one numbered check."""

    number: int
    name: str
    level: Level
    code: str
    """`PASSED`, or a stable dotted identifier of what failed or is missing."""
    result: Result
    reason: str

    @property
    def text(self) -> str:
        """The same in plain words."""
        return in_words(self.number, self.code, self.reason)

    def to_json(self) -> dict[str, Any]:
        """The check as `mbd verify --json` prints it."""
        return {
            "number": self.number,
            "name": self.name,
            "level": self.level,
            "code": self.code,
            "result": self.result,
            "reason": self.reason,
            "text": self.text,
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
    given: tuple[Level, ...] = ()
    """Levels for which something was given: what is given has to hold."""
    remember: str | None = None
    """The signed checkpoint to remember, should the exit code be 0."""
    unseen_root: int | None = None
    """Size of the log at issue, where nothing gave its root away to compare with."""
    not_held_against: str | None = None
    """What was seen of the log before, where nothing showed that this is the same log."""
    model_only: bool = False
    """Whether the model was rebuilt, and nobody could say whose data should be gone."""

    @cached_property
    def level_reached(self) -> str | None:
        """The highest base level with no check left open, and each extra level, joined by +."""
        reached: list[str] = []
        for level in BASE_LEVELS:
            if not self.holds(level):
                break
            reached = [level]
        if not reached:
            return None
        extra = [level for level in EXTRA_LEVELS if self.holds(level)]
        own = [f"{one}(model)" if one == "REPRODUCED" and self.model_only else one for one in extra]
        return "+".join(reached + own)

    @property
    def reproduced(self) -> str | None:
        """What of it was rebuilt: the model, or that and whose data is gone; None if nothing."""
        if not self.holds("REPRODUCED"):
            return None
        return "model" if self.model_only else "model and subject"

    @cached_property
    def verdict(self) -> Verdict:
        """invalid beats undecided beats not-current."""
        if self.failed:
            return "invalid"
        if self.missing:
            return "undecided"
        return "valid" if self.current else "not-current"

    @property
    def missing(self) -> tuple[Level, ...]:
        """Levels that have to hold and were not reached."""
        return tuple(level for level in self._needed() if not self.holds(level))

    @property
    def exit_code(self) -> int:
        """0, 1, 3 or 9."""
        return EXIT_CODES[self.verdict]

    @property
    def first_failed(self) -> CheckResult | None:
        """The check that decides: a signature that does not hold, or else the first to fail."""
        failed = self.failed
        return next((check for check in failed if check.code == ALTERED), next(iter(failed), None))

    @cached_property
    def failed(self) -> tuple[CheckResult, ...]:
        """Every check that failed, in order."""
        return tuple([check for check in self.checks if check.result == "fail"])

    @property
    def input_at_fault(self) -> str | None:
        """What is wrong with what was given, if nothing else failed; None otherwise."""
        words = [INPUT_AT_FAULT.get(check.code) for check in self.failed]
        return words[0] if words and None not in words else None

    @property
    def not_checked(self) -> tuple[str, ...]:
        """What was skipped and why, one sentence each, and what no version here can check."""
        skipped = [f"{c.name}: {c.reason}" for c in self.checks if c.result == "skipped"]
        return (*skipped, *self.not_compared, "whether a later entry supersedes this certificate")

    @property
    def not_compared(self) -> tuple[str, ...]:
        """What a check that passed had no means to look at."""
        if self.unseen_root is None:
            return ()
        return (f"the root at issue (size {self.unseen_root}) was not compared",)

    def to_json(self) -> dict[str, Any]:
        """The report as `mbd verify --json` prints it."""
        return {
            "verdict": self.verdict,
            "exitCode": self.exit_code,
            "levelReached": self.level_reached,
            "reproduced": self.reproduced,
            "certificateId": self.certificate_id,
            "checkpoint": self.checkpoint,
            "class": self.guarantee.guarantee_class if self.guarantee else None,
            "epsilon": self.guarantee.epsilon if self.guarantee else None,
            "delta": self.guarantee.delta if self.guarantee else None,
            "checks": [check.to_json() for check in self.checks],
            "notChecked": list(self.not_checked),
            "limits": list(LIMITS),
        }

    def opens(self, level: Level) -> bool:
        """Whether what was given for this level names this certificate."""
        own = [check for check in self.checks if check.level == level]
        return all(check.code not in OF_ANOTHER for check in own)

    def of_other_release(self) -> Report:
        """The same report where another certificate of the run is about the given files."""
        checks = tuple(
            one._replace(code="artifact.other_release", result="skipped")
            if one.code in OTHER_FILES
            else one
            for one in self.checks
        )
        changed = replace(self, checks=checks)
        return changed if checks == self.checks else changed.without("ARTIFACTS")

    def without(self, level: Level) -> Report:
        """The same report where what was given for this level is another certificate's."""
        return replace(self, given=tuple(one for one in self.given if one != level))

    def _needed(self) -> tuple[Level, ...]:
        """The base levels up to the highest that is asked for, and the others asked for.

        An extra level needs the default base too, and so does a key that has an end: only the
        log can tell that it signed before that.
        """
        asked: set[Level] = {self.required, *self.given}
        if self.required in EXTRA_LEVELS or self.ended or not self.current:
            asked.add(DEFAULT_LEVEL)
        highest = max(BASE_LEVELS.index(level) for level in asked if level in BASE_LEVELS)
        extra = tuple(level for level in EXTRA_LEVELS if level in asked)
        return (*BASE_LEVELS[: highest + 1], *extra)

    def holds(self, level: Level) -> bool:
        """Whether all of its checks passed; witnesses stand in for a first visit."""
        if level == "CONSISTENT" and self._standing.get(level) in NOTHING_REMEMBERED:
            return self.holds("WITNESSED")
        return self._standing.get(level) == PASSED

    @cached_property
    def _standing(self) -> dict[Level, str]:
        """The code of the first check of each level that did not pass, or `ok`."""
        found: dict[Level, str] = {}
        for check in self.checks:
            if found.setdefault(check.level, check.code) == PASSED:
                found[check.level] = check.code
        return found


def settle(reports: Sequence[Report]) -> list[Report]:
    """Reports of several files that were judged with one receipt, one escrow or one model.

    It is required of the certificate that it belongs to; if it belongs to one, the others are
    excused, unless the level was asked for by name.
    """
    matched = any(report.holds("ARTIFACTS") for report in reports)
    settled = [report.of_other_release() if matched else report for report in reports]
    for level in ("SUBJECT", "REPRODUCED"):
        own = [report.opens(level) for report in reports]
        if any(own):
            settled = [
                report if mine else report.without(level)
                for report, mine in zip(settled, own, strict=True)
            ]
    return settled


def worst(codes: Sequence[int]) -> int:
    """The exit code that speaks for several files."""
    return min(codes, key=WORST_FIRST.index)
