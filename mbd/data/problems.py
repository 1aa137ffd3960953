"""What is wrong with data that wants in: every problem is collected, an import raises the first.

Checking a source and importing it run the same code, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar

from mbd.errors import DataError

T = TypeVar("T")

Effect = Literal["refused", "dropped", "absent"]
"""The import is refused; it goes on without the record; or without this channel of it."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, where, and what an import makes of it."""

    record: str | None
    """The record at fault; None where the whole source is."""
    field: str | None
    """A key of the spec, or for `absent` the modality."""
    reason: str
    effect: Effect

    @property
    def message(self) -> str:
        return self.reason if self.record is None else f"record {self.record!r}: {self.reason}"


class Problems:
    """Collects problems, in the order in which they are found."""

    def __init__(self) -> None:
        self.found: list[Problem] = []
        self.refused: set[str] = set()
        """Records at fault in what refuses the import."""
        self._first: DataError | None = None

    def refuse(self, record: str | None, field: str, reason: str) -> None:
        """Note what no import may overlook."""
        problem = Problem(record, field, reason, "refused")
        self._refuse(problem, DataError(problem.message, field=field))

    def drop(self, record: str, field: str, reason: str) -> None:
        """Note a record that cannot be taken."""
        self.found.append(Problem(record, field, reason, "dropped"))

    def absent(self, record: str, modality: str, reason: str) -> None:
        """Note a channel of a record that cannot be taken."""
        self.found.append(Problem(record, modality, reason, "absent"))

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Go on after a part of the source that cannot be used."""
        try:
            yield
        except DataError as error:
            self._refuse(Problem(None, error.field, error.message, "refused"), error)

    def settle(self, found: T | None) -> T:
        """What was found, if nothing refuses it.

        Raises:
            DataError: The first problem that does; its hint says how many there are.
        """
        if self._first is None and found is not None:
            return found
        error = self._first or DataError("nothing was read", field="SRC")
        others = sum(one.effect == "refused" for one in self.found) - 1
        if others > 0:
            more = f"`mbd data validate` lists this and {others} more"
            error.hint = f"{error.hint}; {more}" if error.hint else more
        raise error

    def _refuse(self, problem: Problem, error: DataError) -> None:
        self.found.append(problem)
        if problem.record is not None:
            self.refused.add(problem.record)
        self._first = self._first or error
