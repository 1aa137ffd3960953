"""From a recorded batch to its certificates, and the way back while there is one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mbd.database.batches import Batch, Batches
from mbd.database.journal import CANCELLABLE, STAGES, Journal, Request
from mbd.errors import ArithmeticRefused, IntegrityError, NotFoundError, RefusedError
from mbd.workflows.batch import ERASING, Report, members_by_bucket
from mbd.workflows.cancel import cancel_batch
from mbd.workflows.papers import PAPERS
from mbd.workflows.session import Session
from mbd.workflows.steps import STEPS

Progress = Callable[[int, int], None]
Note = Callable[[str], None]


@dataclass(frozen=True)
class Finished:
    """A batch that was carried to its end."""

    request_ids: tuple[str, ...]
    """Requests that were completed; none if they are queued."""
    engine_seconds: float
    """Planning, subtraction, release, and everything written beside the old."""


def finish_batch(
    session: Session,
    batch_id: str,
    progress: Progress = lambda done, total: None,
    note: Note = lambda text: None,
) -> Finished:
    """Take every step that is left; a batch that is to be queued stops where it waits.

    Args:
        session: A workspace, with its lock held.
        batch_id: A batch with an open request.
        progress: Told how many steps of how many are taken, over all requests.
        note: Told what is going on, where that takes long.

    Raises:
        ArithmeticRefused: No release can be made as asked; the requests were cancelled and the
            channels are in service as before.
            Or nothing can be trained: they are queued, and their channels stay off.
        RefusedError: The same.
        MbdError: A step failed; the requests stay open at the step before.
    """
    batch = _read(session, batch_id)
    taken_up = True
    while batch.stage in STEPS and not batch.queued:
        if batch.stage == "suppressed":
            batch = _with_queued(session, batch)
        _take(session, batch, _report(progress, note, batch, taken_up=taken_up))
        batch, taken_up = _read(session, batch_id), False
    if batch.queued:
        return Finished((), 0.0)
    names = tuple(member.request_id for member in batch.members)
    total = _total(batch)
    seconds = float(batch.detail.get("engineSeconds", 0.0))
    done = total - sum(len(STAGES) - 1 - STAGES.index(one.stage) for one in batch.members)
    for _, members in members_by_bucket(batch):
        for member in members:
            done += len(STAGES) - 1 - STAGES.index(member.stage)
        _finish_papers(session, batch, members)
        progress(done, total)
    return Finished(names, seconds)


def suppress_batch(session: Session, batch: Batch) -> None:
    """Take the first step only, if it was not taken yet: the channels are off."""
    if batch.stage == "received":
        STEPS["received"](session, batch, Report(lambda done: None, lambda text: None))


def _with_queued(session: Session, batch: Batch) -> Batch:
    """A retraining takes in all requests that wait for one."""
    if batch.detail["method"] != "retrain":
        return batch
    with session.database.transaction() as connection:
        Batches(connection).unite(batch.batch_id)
        return Batches(connection).get(batch.batch_id)


def _take(session: Session, batch: Batch, report: Report) -> None:
    """One shared step; what cannot be released as asked is given up."""
    try:
        STEPS[batch.stage](session, batch, report)
    except (IntegrityError, NotFoundError) as error:
        error.hint = error.hint or _way_out(batch)
        raise
    except (ArithmeticRefused, RefusedError) as error:
        if batch.stage != "suppressed":
            raise
        raise type(error)(
            f"{error.message}; {_given_up(session, batch)}",
            code=error.code,
            field=error.field,
            hint=error.hint,
        ) from error


def _given_up(session: Session, batch: Batch) -> str:
    """What becomes of requests that nothing can be released for, in words.

    People who wait for a retraining are not at fault if it cannot be done with one of them:
    nobody's channel is put back into service unasked.
    """
    if batch.detail["method"] != "retrain":
        cancel_batch(session, batch.batch_id)
        return "the request was cancelled, the channel is in service as before"
    with session.database.transaction() as connection:
        Batches(connection).queue(batch.batch_id)
    return "the requests wait, their channels stay off; `mbd revoke --cancel` gives one up"


def _way_out(batch: Batch) -> str:
    """What to do about a file that is damaged, as far as the batch has come."""
    mend = "put the file back, then run `mbd resume`"
    if batch.stage not in CANCELLABLE or batch.detail.get(ERASING):
        return mend
    return f"{mend}; or give up: `mbd revoke --cancel {batch.members[0].request_id}`, ask again"


def _report(progress: Progress, note: Note, batch: Batch, *, taken_up: bool) -> Report:
    total = _total(batch)
    done = STAGES.index(batch.stage) * len(batch.members)
    progress(done, total)

    def more(requests: int) -> None:
        nonlocal done
        done += requests
        progress(done, total)

    return Report(more, note, taken_up)


def _finish_papers(session: Session, batch: Batch, members: list[Request]) -> None:
    """Sign, log and complete the requests of one bucket, from wherever they are."""
    for stage, step in PAPERS.items():
        if members[0].stage == stage:
            step(session, batch, members)
            with session.database.read() as connection:
                members = [Journal(connection).get(one.request_id) for one in members]


def _total(batch: Batch) -> int:
    """Steps of all its requests."""
    return len(batch.members) * (len(STAGES) - 1)


def _read(session: Session, batch_id: str) -> Batch:
    with session.database.read() as connection:
        return Batches(connection).get(batch_id)
