"""Opening a workspace: whoever loads data or model first finishes what a crash left.

So a revocation that was begun is never forgotten, whatever command runs next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from mbd.database.batches import Batch, Batches
from mbd.errors import MbdError, TemporaryError
from mbd.head.accelerator import working_on
from mbd.signing.keys import check_signer
from mbd.workflows.destruction import is_waiting
from mbd.workflows.growth import unsettled
from mbd.workflows.leftovers import remove_leftovers
from mbd.workflows.lock import exclusive
from mbd.workflows.restoration import finish_restore, is_unfinished
from mbd.workflows.resume import finish_interrupted
from mbd.workflows.session import Session, interrupted
from mbd.workflows.walk import suppress_batch
from mbd.workspace.layout import Workspace
from mbd.workspace.settings import load_settings

Note = Callable[[str], None]

READER_ATTEMPTS = 2
"""Releases that may be lost before readers stop trying: each one costs the person epsilon."""

READER_WAIT_SECONDS = 60.0
"""How long a reader waits for somebody who restores a backup."""


@contextmanager
def open_session(
    workspace: Workspace,
    *,
    write: bool = False,
    finish: bool = True,
    note: Note = lambda text: None,
) -> Iterator[Session]:
    """Open a workspace; finish interrupted requests first.

    A reader goes on when that fails: what was asked to be forgotten is suppressed already,
    and service must not stop because a disk is full. A writer does not.

    Args:
        workspace: Where.
        write: Hold the workspace's lock until the end: one writer at a time.
        finish: Finish what a crash left. Off for commands that only report.
        note: Told what was finished, or why it could not be.

    Raises:
        IntegrityError: The ledger is older than what was signed: it has forgotten revocations.
        TemporaryError: Another writer holds the lock for too long.
        LockedError: A writer was given no passphrase for the log's key, or a wrong one.
        MbdError: A writer could not finish an interrupted request.
    """
    session = Session(workspace, load_settings(workspace))
    opened = _open_to_write if write else _open_to_read
    with working_on(session.settings.device), opened(session, finish, note):
        yield session


@contextmanager
def open_to_look(workspace: Workspace, *, note: Note = lambda text: None) -> Iterator[Session]:
    """Open a workspace for a dry run: what was interrupted stays so, and is mentioned.

    Raises:
        IntegrityError: The ledger is older than what was signed.
    """
    with open_session(workspace, finish=False, note=note) as session:
        if interrupted(session) or unsettled(session):
            note("something was interrupted, and is finished first: `mbd resume` does that")
        yield session


@contextmanager
def _open_to_write(session: Session, finish: bool, note: Note) -> Iterator[None]:
    with exclusive(session.workspace.lock_file):
        _restore_first(session, note)
        check_signer(session.log_key)  # nothing is recorded that could not be published
        if finish:
            _finish(session, note)
        try:
            yield
        except MbdError:
            with suppress(MbdError):  # what failed matters more; the next writer tidies up
                remove_leftovers(session)
            raise


@contextmanager
def _open_to_read(session: Session, finish: bool, note: Note) -> Iterator[None]:
    workspace = session.workspace
    if is_unfinished(workspace):
        with exclusive(workspace.lock_file, wait_seconds=READER_WAIT_SECONDS):
            _restore_first(session, note)
            remove_leftovers(session)
    else:
        session.log.refuse_older()
    if finish and (interrupted(session) or unsettled(session) or is_waiting(session)):
        _finish_if_possible(session, note)
    yield


def _restore_first(session: Session, note: Note) -> None:
    """Nothing is read or changed with an older ledger, or while a restore is half done."""
    session.log.refuse_older()
    restore_id = finish_restore(session)
    if restore_id is not None:
        note(f"finished an interrupted restore: {restore_id}")


def _finish_if_possible(session: Session, note: Note) -> None:
    if any(_lost(batch) >= READER_ATTEMPTS for batch in _interrupted(session)):
        note("an interrupted request lost its release more than once: run `mbd resume`")
        return
    try:
        with exclusive(session.workspace.lock_file, wait_seconds=0.0):
            if _waits_for_training(session):
                note("an interrupted retraining waits, its channels are off: run `mbd resume`")
                return
            _finish(session, note)
    except TemporaryError as error:
        # A request whose process is alive holds the lock: it is not interrupted, let it be.
        if error.code != "workspace.busy":
            note(f"an interrupted request could not be finished: {error.message}")
    except MbdError as error:
        note(f"an interrupted request could not be finished: {error.message}")


def _finish(session: Session, note: Note) -> None:
    resumed = finish_interrupted(session, note=note)
    for done in resumed.finished:
        note(f"finished an interrupted request: certificate {done.certificate_id}")
    for given_up in resumed.cancelled:
        note(f"gave up the interrupted request {given_up.request_id}: {given_up.reason}")
    if resumed.settled.learned:
        note("finished an interrupted addition: the model learned it")
    elif resumed.settled.undone:
        note("took back an interrupted addition: its records had not been held yet")


def _waits_for_training(session: Session) -> bool:
    """Whether finishing what was interrupted takes a training, which no reader is made to wait for.

    The channels are switched off first, if they are not yet.
    """
    waiting = False
    for batch in _interrupted(session):
        if batch.detail["method"] == "retrain" and not batch.members[0].reached("staged"):
            suppress_batch(session, batch)
            waiting = True
    return waiting


def _interrupted(session: Session) -> list[Batch]:
    names = interrupted(session)
    with session.database.read() as connection:
        found = [Batches(connection).find(name) for name in names]
    return [batch for batch in found if batch is not None]


def _lost(batch: Batch) -> int:
    """Releases that were drawn and are not staged."""
    if batch.members[0].reached("staged"):
        return 0
    return max(member.attempts for member in batch.members)
