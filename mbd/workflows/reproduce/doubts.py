"""What else than a lie may be the reason of a difference: the ledger is asked before accusing.

An honest service goes on: data and models change. So a difference is held against what the
ledger says came later, and only one that nothing logged can explain is a refutation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn

from mbd.verify.case import Case, CheckFailed, Undecided
from mbd.workflows.reproduce.history import History, read_history
from mbd.workflows.reproduce.later import Later

Explanation = Callable[[History], Iterable[Later]]

_NAMED = 5


def changing(history: History) -> Iterable[Later]:
    """Entries since which data or model may be others."""
    return history.changing()


def consents(history: History) -> Iterable[Later]:
    """Entries since which a person's channel may be there again."""
    return history.of_type("consent")


def nothing(history: History) -> Iterable[Later]:
    """No entry can be the reason; only what was going on when the folder was copied."""
    return ()


@dataclass(frozen=True)
class Doubts:
    """What the ledger of one workspace can say for the issuer of one certificate."""

    case: Case
    folder: Path

    @cached_property
    def history(self) -> History:
        """Read when it is first asked for.

        Raises:
            Undecided: See `read_history`.
        """
        return read_history(self.folder, self.case)

    def explained(self) -> tuple[Later, ...]:
        """Later entries that change data; none, if the ledger cannot be asked."""
        try:
            return self.history.changing()
        except Undecided:
            return ()

    def refute(
        self,
        refuted: str,
        why: str,
        explained_by: Explanation = nothing,
        *,
        certain: bool = False,
        code: str = "reproduce.changed_since",
    ) -> NoReturn:
        """Refute, or say what else may be the reason.

        Args:
            refuted: The code of the refutation.
            why: The difference.
            explained_by: Later entries that may be the reason of it.
            certain: The commitment to the state opens, so that nothing later is the reason.
            code: Of the doubt.
        """
        if not certain:
            self.weigh(why, explained_by, code=code)
        raise CheckFailed(why, code=refuted)

    def weigh(
        self, why: str, explained_by: Explanation, *, code: str = "reproduce.changed_since"
    ) -> None:
        """Return if nothing later can be the reason of a difference.

        Raises:
            Undecided: Something can, or the ledger cannot be asked.
        """
        if self.history.unfinished is not None:
            raise busy(f"{why}; {self.history.unfinished}")
        later = tuple(explained_by(self.history))
        if later:
            raise Undecided(why + named(later), code=code)


def busy(why: str) -> Undecided:
    """What to raise where the folder was not at rest."""
    hint = "let `mbd resume` finish it, and copy again"
    return Undecided(f"{why}: {hint}", code="reproduce.unfinished")


def more(found: Sequence[str]) -> str:
    """Like ', and 2 more', after the first of them."""
    return f", and {len(found) - 1} more" if len(found) > 1 else ""


def named(later: Sequence[Later]) -> str:
    """Like '; entries that came later: 12 (growth), 14 (certificate)'; empty if there are none."""
    if not later:
        return ""
    names = ", ".join(str(one) for one in later[:_NAMED])
    rest = f" and {len(later) - _NAMED} more" if len(later) > _NAMED else ""
    return f"; entries that came later: {names}{rest}"
