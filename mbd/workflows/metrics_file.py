"""The curves of a training as JSON lines: one per epoch, one for the heads.

A training that goes on from checkpoints continues the file: an epoch that is made again has
its line once. Nothing in it is about anybody: means over all rows, and settings.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbd.errors import ConflictError
from mbd.training.observer import Epoch
from mbd.values import HeadParameters
from mbd.workspace.files import refuse_existing, storage_errors, write_atomically


@dataclass(frozen=True)
class MetricsFile:
    """Where the curves go."""

    path: Path

    @classmethod
    def open(cls, path: Path, *, resume: bool) -> MetricsFile:
        """Begin a new file, or keep what a killed training told in it.

        Args:
            path: Where.
            resume: Whether a training may have been killed that wrote there.

        Raises:
            ConflictError: Something is there, and is not the curves of a killed training.
            StorageError: There is no such folder, or the disk refused.
        """
        made = cls(path)
        if not (resume and path.is_file()):
            refuse_existing(path, field="--metrics")
            made._replace([])
            return made
        lines = made._lines()
        if any(line["event"] == "heads" for line in lines):
            raise _exists(path, "the curves of a training that was finished")
        made._replace(lines)
        return made

    def stage(self, name: str) -> StageObserver:
        """Watches one core: 'half' is judged, 'core' is kept."""
        return StageObserver(self, name)

    def heads(
        self, core: str, heads: Iterable[tuple[str, HeadParameters, int]], seconds: float
    ) -> None:
        """What became of the training: its heads, and how long it took."""
        rows = [
            {
                "head": name,
                "rows": count,
                "d": head.dimension,
                "lambda": head.strong_convexity,
                "sigma": head.sigma,
                "tau": head.tolerance,
            }
            for name, head, count in heads
        ]
        self.append({"event": "heads", "core": core, "heads": rows, "seconds": round(seconds, 3)})

    def append(self, line: dict[str, Any]) -> None:
        """One more line.

        Raises:
            StorageError: The disk refused.
        """
        with storage_errors(self.path), self.path.open("ab") as stream:
            stream.write(_encode(line))

    def forget(self, stage: str, done: int) -> None:
        """Remove what was told of later epochs of a stage, and everything after that."""
        lines = self._lines()
        first = next((i for i, x in enumerate(lines) if x["stage"] == stage and x["epoch"] > done),
                     len(lines))  # fmt: skip
        self._replace(lines[:first])

    def _lines(self) -> list[dict[str, Any]]:
        """Every whole line; the last one may have been cut when its writer was killed."""
        if not self.path.exists():
            return []
        with storage_errors(self.path):
            content = self.path.read_bytes()
        try:
            found = [json.loads(line) for line in content.split(b"\n")[:-1]]
            if all(_is_ours(line) for line in found):
                return found
        except ValueError:
            pass
        raise _exists(self.path, "something else than curves")

    def _replace(self, lines: Iterable[dict[str, Any]]) -> None:
        write_atomically(self.path, b"".join(map(_encode, lines)))


@dataclass(frozen=True)
class StageObserver:
    """Writes a line for each epoch of one core."""

    file: MetricsFile
    stage: str

    def begin(self, done: int) -> None:
        """See `Observer`."""
        self.file.forget(self.stage, done)

    def epoch(self, epoch: Epoch) -> None:
        """See `Observer`."""
        terms = dict(epoch.terms)
        self.file.append(
            {
                "event": "epoch",
                "stage": self.stage,
                "epoch": epoch.number,
                "loss": terms.pop("loss"),
                "terms": terms,
                "validLoss": epoch.valid_loss,
                "learningRate": epoch.learning_rate,
                "seconds": round(epoch.seconds, 4),
            }
        )


def _exists(path: Path, what: str) -> ConflictError:
    return ConflictError(
        f"{path} exists, and holds {what}",
        code="export.exists",
        field="--metrics",
        hint="name another file",
    )


def _is_ours(line: object) -> bool:
    if not isinstance(line, dict):
        return False
    if line.get("event") == "heads":
        return True
    return line.get("event") == "epoch" and {"stage", "epoch"} <= line.keys()


def _encode(line: dict[str, Any]) -> bytes:
    return json.dumps(line, allow_nan=False).encode() + b"\n"
