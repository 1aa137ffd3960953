"""Finish what a crash left: every interrupted request, the oldest first, each exactly once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mbd.database.batches import Batches
from mbd.database.journal import CANCELLED, Journal
from mbd.errors import ArithmeticRefused, RefusedError
from mbd.signing.keys import check_signer
from mbd.workflows.destruction import finish_destruction
from mbd.workflows.growth import Settled, settle
from mbd.workflows.issuer_name import check_known_name
from mbd.workflows.key_change import finish_change
from mbd.workflows.leftovers import remove_leftovers
from mbd.workflows.revoke import Revocation, result_of
from mbd.workflows.session import Session, interrupted
from mbd.workflows.walk import finish_batch

Progress = Callable[[int, int], None]
Note = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Cancelled:
    """A request that was given up: no release can be made as it asks."""

    request_id: str
    reason: str


@dataclass(frozen=True)
class Resumed:
    """What became of the requests that were interrupted, and of an addition."""

    finished: tuple[Revocation, ...]
    cancelled: tuple[Cancelled, ...]
    settled: Settled


def finish_interrupted(
    session: Session,
    *,
    queued: bool = False,
    progress: Progress = lambda done, total: None,
    note: Note = lambda text: None,
) -> Resumed:
    """Carry a change of keys, interrupted requests and an addition to their end, and tidy up.

    Args:
        session: A workspace, with its lock held.
        queued: Carry out what waits for a retraining, too.
        progress, note: Told how it is going.

    Raises:
        MbdError: A step failed; that request and later ones stay open.
    """
    check_signer(session.log_key)
    finish_change(session)
    finish_destruction(session)
    finished: list[Revocation] = []
    cancelled: list[Cancelled] = []
    for batch_id in _batches(session, queued):
        names = _members(session, batch_id)
        _check_issuer(session, batch_id)
        try:
            finished += _finish(session, batch_id, progress, note)
        except (ArithmeticRefused, RefusedError) as error:
            if not _is_cancelled(session, names[0]):
                raise
            cancelled += [Cancelled(request_id=name, reason=error.message) for name in names]
    settled = settle(session)
    remove_leftovers(session)
    return Resumed(tuple(finished), tuple(cancelled), settled)


def _check_issuer(session: Session, batch_id: str) -> None:
    """Nothing is drawn for what could not be signed."""
    with session.database.read() as connection:
        members = Batches(connection).get(batch_id).members
    if not all(member.reached("signed") for member in members):
        check_known_name(session)
        check_signer(session.issuer_key)


def _batches(session: Session, queued: bool) -> Iterator[str]:
    """What is to be finished, looked up when it is its turn: a retraining takes others in."""
    yield from interrupted(session)
    if queued:
        yield from _united(session)


def _united(session: Session) -> list[str]:
    """What waits for a retraining, as one batch; none if nothing waits."""
    with session.database.transaction() as connection:
        waiting = Batches(connection).open(queued=True)[:1]
        for batch_id in waiting:
            Batches(connection).unite(batch_id)
    return waiting


def _finish(session: Session, batch_id: str, progress: Progress, note: Note) -> list[Revocation]:
    started = time.perf_counter()
    done = finish_batch(session, batch_id, progress, note)
    total = time.perf_counter() - started
    with session.database.read() as connection:
        requests = [Journal(connection).get(name) for name in done.request_ids]
    return [result_of(session, request, done.engine_seconds, total) for request in requests]


def _members(session: Session, batch_id: str) -> list[str]:
    with session.database.read() as connection:
        return [member.request_id for member in Batches(connection).get(batch_id).members]


def _is_cancelled(session: Session, request_id: str) -> bool:
    with session.database.read() as connection:
        return Journal(connection).get(request_id).stage == CANCELLED
