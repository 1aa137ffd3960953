"""From a recorded batch to its certificates, and the way back while there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mbd.database.batches import Batch, Batches
from mbd.database.journal import STAGES, Journal, Request
from mbd.errors import ArithmeticRefused, RefusedError
from mbd.workflows.cancel import cancel_batch
from mbd.workflows.papers import PAPERS
from mbd.workflows.session import Session
from mbd.workflows.steps import STEPS, detail_of

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Finished:
    """A batch that was carried to its end."""

    request_ids: tuple[str, ...]
    """Those that were open when it was taken up."""
    engine_seconds: float
    """Planning, subtraction, release, and everything written beside the old."""


def finish_batch(
    session: Session,
    batch_id: str,
    progress: Progress = lambda done, total: None,
) -> Finished:
    """Take every step that is left.

    Args:
        session: A workspace, with its lock held.
        batch_id: A batch with an open request.
        progress: Told how many steps of how many are taken, over all requests.

    Raises:
        ArithmeticRefused: No release can be made as asked; the requests were cancelled and the
            channels are in service as before.
        RefusedError: The same, because nothing would be left to learn from.
        MbdError: A step failed; the requests stay open at the step before.
    """
    batch = _read(session, batch_id)
    names = tuple(member.request_id for member in batch.members)
    total = len(names) * (len(STAGES) - 1)
    while batch.stage in STEPS:
        _take(session, batch, _report(progress, batch, total))
        batch = _read(session, batch_id)
    seconds = float(batch.detail.get("engineSeconds", 0.0))
    done = total - sum(len(STAGES) - 1 - STAGES.index(one.stage) for one in batch.members)
    for bucket in _buckets(batch):
        for member in bucket:
            done += len(STAGES) - 1 - STAGES.index(member.stage)
        _finish_papers(session, batch, bucket)
        progress(done, total)
    return Finished(names, seconds)


def _take(session: Session, batch: Batch, report: Callable[[int], None]) -> None:
    """One shared step; what cannot be released as asked is given up."""
    try:
        STEPS[batch.stage](session, batch, report)
    except (ArithmeticRefused, RefusedError) as error:
        if batch.stage != "suppressed":
            raise
        cancel_batch(session, batch.batch_id)
        raise type(error)(
            f"{error.message}; the request was cancelled, the channel is in service as before",
            code=error.code,
            field=error.field,
            hint=error.hint,
        ) from error


def _report(progress: Progress, batch: Batch, total: int) -> Callable[[int], None]:
    done = STAGES.index(batch.stage) * len(batch.members)
    progress(done, total)

    def more(requests: int) -> None:
        nonlocal done
        done += requests
        progress(done, total)

    return more


def _finish_papers(session: Session, batch: Batch, members: list[Request]) -> None:
    """Sign, log and complete the requests of one bucket, from wherever they are."""
    for stage, step in PAPERS.items():
        if members[0].stage == stage:
            step(session, batch, members)
            with session.database.read() as connection:
                members = [Journal(connection).get(one.request_id) for one in members]


def _buckets(batch: Batch) -> Iterator[list[Request]]:
    found: dict[int, list[Request]] = {}
    for member in batch.members:
        found.setdefault(detail_of(member)["bucket"], []).append(member)
    return (found[bucket] for bucket in sorted(found))


def _read(session: Session, batch_id: str) -> Batch:
    with session.database.read() as connection:
        return Batches(connection).get(batch_id)
