"""One finding of `mbd doctor`: a stable code, how bad it is, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mbd.errors import MbdError

Severity = Literal["error", "warning", "note"]
_ORDER: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something about a workspace that its operator should know."""

    code: str
    severity: Severity
    """'error': it cannot do its work, or something is in it that must not be."""
    what: str
    where: str
    todo: str

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return _ORDER.index(self.severity)


def error(code: str, what: str, where: str, todo: str) -> Finding:
    """A finding that makes the examination fail."""
    return Finding(code=code, severity="error", what=what, where=where, todo=todo)


def warning(code: str, what: str, where: str, todo: str) -> Finding:
    """A finding that somebody should attend to."""
    return Finding(code=code, severity="warning", what=what, where=where, todo=todo)


def note(code: str, what: str, where: str, todo: str) -> Finding:
    """A finding that is no fault."""
    return Finding(code=code, severity="note", what=what, where=where, todo=todo)


def of_error(problem: MbdError, *, where: str, todo: str | None = None) -> Finding:
    """What one of our errors says, as a finding."""
    return error(
        problem.code,
        problem.message,
        problem.field or where,
        todo or problem.hint or "restore a backup: `mbd restore DIR`",
    )
