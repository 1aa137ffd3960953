"""A workspace examined end to end: every finding, what it means, and what to do about it.

Nothing is changed, and nothing stops the examination: each check is made alone, and what a
damaged workspace raises in it is a finding like any other.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from mbd.canonical.times import from_timestamp
from mbd.database import pointers
from mbd.database.batches import Batches
from mbd.database.journal import Journal, Request
from mbd.errors import MbdError
from mbd.signing.signers import file_of
from mbd.verify.trust import load_trust
from mbd.workflows.damage import find_damage
from mbd.workflows.findings import Finding, error, note, of_error, warning
from mbd.workflows.key_findings import key_findings
from mbd.workflows.ledger_findings import certificate_findings, ledger_findings
from mbd.workflows.restoration import is_unfinished
from mbd.workflows.session import Session
from mbd.workflows.store_findings import (
    leftover_findings,
    store_findings,
    unlearned_findings,
)
from mbd.workspace.layout import Workspace
from mbd.workspace.settings import Settings, load_settings

SPARE_BYTES = 64 << 20
"""What should be free beside a second copy of state and model."""

PRIVATE = 0o077
"""Permission bits of group and others."""

_ANYTHING = (OSError, ValueError, LookupError, TypeError, SQLAlchemyError, sqlite3.Error)
"""What reading something damaged may raise beside our own errors."""

Check = Callable[[Session, datetime], Iterator[Finding]]


def examine(workspace: Workspace, now: datetime) -> list[Finding]:
    """Every finding, the worst first.

    Args:
        workspace: Where; may lack anything.
        now: To tell ages.
    """
    found: dict[str, Finding] = {}
    session = Session(workspace, _stand_in(workspace))
    try:
        session = Session(workspace, load_settings(workspace))
    except MbdError as problem:
        one = of_error(problem, where="mbd.toml", todo="mend mbd.toml, or the MBD_* variables")
        found[one.what] = one
    for check in CHECKS:
        for one in _alone(check, session, now):
            found.setdefault(one.what, one)
    return sorted(found.values(), key=lambda one: (one.rank, one.code, one.where))


def _alone(check: Check, session: Session, now: datetime) -> Iterator[Finding]:
    try:
        yield from check(session, now)
    except MbdError as problem:
        yield of_error(problem, where=str(session.workspace.root))
    except _ANYTHING as problem:
        yield error(
            "unreadable",
            f"{type(problem).__name__}: {problem}",
            str(session.workspace.root),
            "something is damaged beyond a message of its own: restore a backup",
        )


def _stand_in(workspace: Workspace) -> Settings:
    """For settings that cannot be read; the trust file knows the log's name too."""
    try:
        log = load_trust(workspace.trust_file).log
    except MbdError:
        log = None
    origin = "unknown" if log is None else log.origin
    return Settings.model_construct(format=1, id="", issuer="", origin=origin)


def _places(session: Session, now: datetime) -> Iterator[Finding]:
    """Folders and files that every workspace has."""
    workspace = session.workspace
    for folder in workspace.folders:
        if not folder.is_dir():
            todo = f"restore it from a backup, or make it: mkdir -m 700 {folder}"
            yield error("folder.missing", f"{folder} is missing", str(folder), todo)
    place = session.ledger_place
    for path in (
        workspace.settings_file,
        workspace.trust_file,
        *([place] if isinstance(place, Path) else []),
        workspace.secrets_db,
        workspace.workspace_key,
        *_key_files(session),
    ):
        if not path.is_file():
            yield error("file.missing", f"{path} is missing", str(path), "restore it from a backup")
    if not isinstance(place, Path) and workspace.ledger_db.exists():
        what = f"{workspace.ledger_db} is not used: the ledger is in the {place.name}"
        yield warning("ledger.unused", what, str(workspace.ledger_db), "remove it, with -wal, -shm")


def _key_files(session: Session) -> list[Path]:
    """Those of issuer and log, unless they are in a token."""
    uris = (session.settings.issuer_key, session.settings.log_key)
    paths = [file_of(uri, session.workspace.root) for uri in uris]
    return [path for path in paths if path is not None]


def _permissions(session: Session, now: datetime) -> Iterator[Finding]:
    """Secrets are for their owner only, and so are the folders that hold people's data."""
    workspace = session.workspace
    for folder in workspace.folders:
        if folder != workspace.certs and folder.is_dir():
            yield from _too_open(folder, "700")
    files = [workspace.ledger_db, workspace.secrets_db, *_files(workspace.keys)]
    for path in (*files, *_files(workspace.receipts)):
        if path.is_file():
            yield from _too_open(path, "600")


def _too_open(path: Path, wanted: str) -> Iterator[Finding]:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & PRIVATE:
        what = f"{path} has mode {mode:04o}: others may read or change it"
        yield error("permissions.open", what, str(path), f"chmod {wanted} {path}")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_file())


def _damage(session: Session, now: datetime) -> Iterator[Finding]:
    """Every file of data, rows, model and state against its digest."""
    for found in find_damage(session):
        where = found.error.field or str(session.workspace.root)
        todo = "restore a backup: `mbd restore DIR`"
        yield error(found.code, found.error.message, where, todo)


def _unfinished(session: Session, now: datetime) -> Iterator[Finding]:
    """Requests, restores and additions that were interrupted."""
    if is_unfinished(session.workspace):
        what = "a restore was interrupted after it was decided"
        yield error("restore.unfinished", what, "staging/.restore", "`mbd resume` finishes it")
    with session.database.read() as connection:
        requests = Journal(connection).open_requests()
        waiting = Batches(connection).open(queued=True)
        growth = pointers.get(connection, "growth")
        secrets = pointers.get(connection, "destroy")
    if growth is not None:
        what = "an addition of data was interrupted"
        yield warning("growth.interrupted", what, "data", "`mbd resume` finishes it")
    if secrets is not None:
        what = "an erasure of secrets was interrupted"
        yield warning("destroy.interrupted", what, "secrets.db", "`mbd resume` finishes it")
    for request in requests:
        yield _open_request(request, now, queued=request.batch_id in waiting)


def _open_request(request: Request, now: datetime, *, queued: bool) -> Finding:
    age, due = now - from_timestamp(request.received_at), from_timestamp(request.due_by)
    where = "is queued for a retraining" if queued else f"is at stage {request.stage}"
    what = (
        f"request {request.request_id} {where}, "
        f"{age.days} days after it was received; due by {request.due_by[:10]}"
    )
    todo = "`mbd resume` finishes it, or says why it cannot"
    if now > due:
        return error("request.overdue", f"{what}, which has passed", "ledger.db", todo)
    return warning(f"request.{'queued' if queued else 'interrupted'}", what, "ledger.db", todo)


def _receipts(session: Session, now: datetime) -> Iterator[Finding]:
    """Receipts that belong to people and lie here."""
    for path in _files(session.workspace.receipts):
        days = int((now.timestamp() - path.stat().st_mtime) // 86400)
        what = f"{path.name} was not handed over yet: {days} days"
        todo = "hand it to the person, then delete it"
        yield warning("receipt.waiting", what, str(path), todo)


def _disk(session: Session, now: datetime) -> Iterator[Finding]:
    """A revocation writes a second state and model before it removes the first."""
    workspace = session.workspace
    copies = sum(_size(folder) for folder in (workspace.state, workspace.models))
    free = shutil.disk_usage(workspace.root).free
    if free < copies + SPARE_BYTES:
        what = f"{free >> 20} MiB are free; a revocation needs {(copies + SPARE_BYTES) >> 20}"
        yield warning("disk.low", what, str(workspace.root), "free some space")


def _size(folder: Path) -> int:
    return sum(
        (Path(parent) / name).lstat().st_size
        for parent, _, names in os.walk(folder)
        for name in names
    )


def _contents(session: Session, now: datetime) -> Iterator[Finding]:
    """What a new workspace does not have yet."""
    if not session.has_data():
        yield note("data.none", "nothing was imported yet", "data", "`mbd data import --help`")
    elif session.find_model() is None:
        yield note("model.none", "no model was trained yet", "models", "run `mbd train`")


CHECKS: tuple[Check, ...] = (
    _places,
    _permissions,
    lambda session, now: key_findings(session),
    lambda session, now: ledger_findings(session),
    lambda session, now: certificate_findings(session),
    _unfinished,
    _damage,
    lambda session, now: store_findings(session),
    lambda session, now: unlearned_findings(session),
    lambda session, now: leftover_findings(session),
    _receipts,
    _contents,
    _disk,
)
"""Each is made alone; a finding that two of them make is told once."""
