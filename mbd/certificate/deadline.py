"""The legal clock of a request, by the days that its certificate states."""

from __future__ import annotations

from datetime import date, timedelta

from mbd.certificate.statement import Request

LONGEST_DAYS = 92
"""Three months, at their longest: what the GDPR, article 12(3), allows at most, with reasons."""


def days_late(request: Request) -> int:
    """How many days after the last one it was completed; negative if before."""
    return _between(request.due_by, request.completed_on).days


def days_allowed(request: Request) -> int:
    """How many days the issuer gave itself."""
    return _between(request.received_on, request.due_by).days


def _between(first: str, second: str) -> timedelta:
    return date.fromisoformat(second) - date.fromisoformat(first)
