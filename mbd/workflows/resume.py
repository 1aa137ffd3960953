"""Finish what a crash left: every open request, the oldest first, each exactly once."""

from __future__ import annotations

import time
from dataclasses import dataclass

from mbd.database.journal import CANCELLED, Journal
from mbd.errors import ArithmeticRefused
from mbd.workflows.growth import Settled, settle
from mbd.workflows.leftovers import remove_leftovers
from mbd.workflows.revoke import Revocation, result_of
from mbd.workflows.session import Session, open_requests
from mbd.workflows.steps import finish_request


@dataclass(frozen=True, kw_only=True)
class Cancelled:
    """A request that was given up: no release can be made as it asks."""

    request_id: str
    reason: str


@dataclass(frozen=True)
class Resumed:
    """What became of the requests that were open, and of an addition."""

    finished: tuple[Revocation, ...]
    cancelled: tuple[Cancelled, ...]
    settled: Settled


def finish_interrupted(session: Session) -> Resumed:
    """Carry every open request to its end, then an addition; remove what killed writers left.

    Call it with the workspace's lock held.

    Raises:
        MbdError: A step failed; that request and later ones stay open.
    """
    finished: list[Revocation] = []
    cancelled: list[Cancelled] = []
    for request_id in open_requests(session):
        try:
            finished.append(_finish(session, request_id))
        except ArithmeticRefused as error:
            if not _is_cancelled(session, request_id):
                raise
            cancelled.append(Cancelled(request_id=request_id, reason=error.message))
    settled = settle(session)
    remove_leftovers(session)
    return Resumed(tuple(finished), tuple(cancelled), settled)


def _finish(session: Session, request_id: str) -> Revocation:
    started = time.perf_counter()
    done = finish_request(session, request_id)
    engine = float((done.detail or {}).get("engineSeconds", 0.0))
    return result_of(session, done, engine, time.perf_counter() - started, repeated=False)


def _is_cancelled(session: Session, request_id: str) -> bool:
    with session.database.read() as connection:
        return Journal(connection).get(request_id).stage == CANCELLED
