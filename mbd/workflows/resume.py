"""Finish what a crash left: every open request, the oldest first, each exactly once."""

from __future__ import annotations

import time

from mbd.database.journal import Journal
from mbd.workflows.revoke import Revocation, result_of
from mbd.workflows.session import Session
from mbd.workflows.steps import finish_request


def finish_interrupted(session: Session) -> list[Revocation]:
    """Carry every open request to its end; call it with the workspace's lock held.

    Raises:
        MbdError: A step failed; that request and later ones stay open.
    """
    finished = []
    for request_id in open_requests(session):
        started = time.perf_counter()
        done = finish_request(session, request_id)
        engine = float((done.detail or {}).get("engineSeconds", 0.0))
        total = time.perf_counter() - started
        finished.append(result_of(session, done, engine, total, repeated=False))
    return finished


def open_requests(session: Session) -> list[str]:
    """Ids of the requests that are not completed."""
    with session.database.read() as connection:
        return [request.request_id for request in Journal(connection).open_requests()]
