"""The days of a certificate: which there may be, and in which order."""

from __future__ import annotations

from datetime import timedelta

from mbd.canonical.ulid import ulid_time
from mbd.certificate.fields import parse_time
from mbd.certificate.statement import Predicate
from mbd.errors import DataError, UsageError

YEARS = ("2020", "2200")
"""Dates outside these years are slips or lies."""
_ONE_MOMENT = timedelta(minutes=1)
"""How far the time inside a certificate's id may be from `issuedAt`: they are made together."""


def check_order(predicate: Predicate) -> None:
    """Received, then completed, then issued; the policy is in the log before all of them.

    The id carries the time of issuing too, and a certificate supersedes older ones only.
    """
    request, first, last = predicate.request, *YEARS
    days = (request.received_on, request.completed_on, request.due_by, predicate.issued_at)
    if not first <= min(days)[:4] <= max(days)[:4] <= last:
        raise DataError(f"a date outside {first} to {last}", code="time.year")
    if not request.received_on <= request.completed_on <= predicate.issued_at[:10]:
        raise DataError("want receivedOn <= completedOn <= issuedAt", code="time.order")
    if request.due_by < request.received_on:
        raise DataError("dueBy is before receivedOn", code="time.order")
    if predicate.guarantee.policy_entry.index >= predicate.ledger.size:
        raise DataError("the policy was logged after the checkpoint", code="policy.index")
    if predicate.supersedes is not None and predicate.supersedes >= predicate.certificate_id:
        raise DataError("a certificate supersedes older ones only", code="class.supersedes")
    try:
        made = ulid_time(predicate.certificate_id)
    except UsageError as error:
        raise DataError(error.message, code="time.id") from error
    if abs(made - parse_time(predicate.issued_at)) > _ONE_MOMENT:
        raise DataError(
            f"certificateId is of {made:%Y-%m-%d %H:%M}, issuedAt says {predicate.issued_at}",
            code="time.id",
        )
