"""The files of one `mbd verify`: judged one after the other, with one memory of the log."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mbd.canonical.digest import sha256_hex
from mbd.canonical.text import printable
from mbd.certificate.bundle import MAX_BUNDLE_BYTES
from mbd.cli.output import note
from mbd.errors import MbdError, UsageError
from mbd.verify import Report, TrustPolicy, verify_bundle
from mbd.verify.last_visit import Recalled, recall, remember
from mbd.verify.reading import read_regular
from mbd.verify.report import INTERNAL, LIMITS, settle


@dataclass(frozen=True)
class Judged:
    """One file, and what became of it."""

    name: str
    report: Report | None
    """None after a defect in a check: then nothing is known."""
    defect: str = ""

    @property
    def exit_code(self) -> int:
        return INTERNAL if self.report is None else self.report.exit_code

    def to_json(self) -> dict[str, Any]:
        """The report; after a defect, that nothing is known."""
        if self.report is not None:
            return {"file": self.name, **self.report.to_json()}
        error = {"code": "internal", "exitCode": INTERNAL, "message": self.defect}
        nothing = dict.fromkeys(("levelReached", "certificateId", "checkpoint", "class"))
        return {
            "file": self.name,
            "verdict": "error",
            "exitCode": INTERNAL,
            **nothing,
            "epsilon": None,
            "delta": None,
            "checks": [],
            "notChecked": ["everything: a check failed for a defect of this program"],
            "limits": list(LIMITS),
            "error": error,
        }


@dataclass
class Remembered:
    """What was seen of the log before, and since: written once, at the end."""

    path: Path | None
    before: Recalled
    now: Recalled

    @classmethod
    def open(cls, path: Path | None) -> Remembered:
        found = recall(path) if path is not None else Recalled()
        return cls(path, found, found)

    @property
    def given(self) -> Recalled | None:
        """For the next file: what the last one left."""
        return self.now if self.path is not None else None

    def advance(self, report: Report) -> None:
        """Only a whole success is remembered, and only what agrees with what was before."""
        if report.exit_code == 0 and report.remember is not None:
            self.now = Recalled(report.remember.encode())

    def save(self) -> None:
        """Write what is new. Failing at that changes no verdict, but it is said."""
        if self.path is None or self.now.note is None or self.now == self.before:
            return
        try:
            remember(self.path, self.before, self.now.note.decode())
        except MbdError as error:
            note(f"the checkpoint is not remembered: {printable(error.message)}")


STDIN = Path("-")


def read_bundle(path: Path) -> bytes:
    """The content of a file, or of standard input, cut after what a bundle may have.

    Raises:
        UsageError: It cannot be read, or is no regular file.
    """
    if path == STDIN:
        if sys.stdin is None:
            raise UsageError("standard input is closed")
        return sys.stdin.buffer.read(MAX_BUNDLE_BYTES + 1)
    return read_regular(path, MAX_BUNDLE_BYTES)


@dataclass(frozen=True)
class Run:
    """What all files of one command line are judged with."""

    policy: TrustPolicy | None
    inputs: dict[str, Any]
    memory: Remembered
    unread: list[str] = field(default_factory=list)
    """What could not be read, and why; it stops none of the others."""

    def judge(self, paths: Sequence[Path]) -> list[Judged]:
        """Every file, the same bytes once; a defect in one loses none of the others."""
        first: dict[str, Path] = {}
        found = []
        for path in paths:
            try:
                data = read_bundle(path)
            except UsageError as error:
                self.unread.append(error.message)
                continue
            same = first.setdefault(sha256_hex(data), path)
            if same is path:
                found.append(self._one(path, data))
            else:
                note(f"{printable(str(path))} is {printable(str(same))} again: counted once")
        reports = iter(settle([one.report for one in found if one.report is not None]))
        return [
            Judged(one.name, next(reports) if one.report else None, one.defect) for one in found
        ]

    def _one(self, path: Path, data: bytes) -> Judged:
        name = printable(str(path))
        try:
            report = verify_bundle(data, self.policy, recalled=self.memory.given, **self.inputs)
        except UsageError:
            raise
        except Exception as error:  # noqa: BLE001  a defect of ours: the other files go on
            traceback.print_exc()
            return Judged(name, None, f"unexpected {type(error).__name__}: {error}")
        self.memory.advance(report)
        return Judged(name, report)
