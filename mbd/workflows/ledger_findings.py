"""What `mbd doctor` finds in the databases and in the log's memory."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import select

from mbd.database.connection import database_errors
from mbd.database.engine import Database
from mbd.database.postgres import NOT_COVERED, PostgresSchema
from mbd.database.tables import body, request
from mbd.errors import MbdError
from mbd.ledger.check import check_log
from mbd.ledger.queries import latest_note, log_size
from mbd.signing.signers import file_of
from mbd.workflows.findings import Finding, error, note, of_error, warning
from mbd.workflows.papers import bundle_path
from mbd.workflows.session import Session


def ledger_findings(session: Session) -> Iterator[Finding]:
    """Both databases page by page, the log entry by entry, and what was signed of it."""
    workspace, whole, place = session.workspace, True, session.ledger_place
    files = [place, workspace.secrets_db] if isinstance(place, Path) else [workspace.secrets_db]
    for path in files:
        for problem in _pages(path):
            whole = False
            todo = "restore it from a backup; a ledger.db must be the newest there is"
            yield error("database.corrupt", f"{path}: {problem}", str(path), todo)
    key_file = file_of(session.settings.log_key, workspace.root)
    if not whole or (key_file is not None and not key_file.is_file()):
        return
    log, where = session.log, session.database.name
    yield from server_findings(session.database)
    try:
        remembered = log.remembered()
        if remembered is None:
            yield warning(
                "log.memory_missing",
                "this machine does not remember what the log signed last",
                str(log.memory.path),
                "was the workspace moved? move the folder of memories too ($XDG_STATE_HOME/mbd)",
            )
        log.refuse_older()
    except MbdError as problem:
        yield of_error(problem, where=where)
    with session.database.read() as connection:
        report = check_log(connection, log.verifier_key, None, key_of=session.body_keys())
        size, newest = log_size(connection), latest_note(connection)
    if not report.ok:
        todo = "put the newest good ledger back"
        yield error("log.corrupt", f"the ledger is damaged: {report.problem}", where, todo)
    elif newest is None or log.latest().size < size:
        what = "the newest entries are not covered by a signed checkpoint yet"
        yield note("log.unpublished", what, where, "the next change signs one")
    if report.unreadable:
        what = f"{report.unreadable} sealed bodies of the ledger have no key in secrets.db"
        todo = "bodies that are to be gone: `mbd ledger erase-body`; else restore secrets.db"
        yield warning("ledger.unreadable", what, str(workspace.secrets_db), todo)


def server_findings(database: Database) -> Iterator[Finding]:
    """What a server keeps, and what it may lose; nothing for a file."""
    backend = database.backend
    if not isinstance(backend, PostgresSchema):
        return
    for setting, value in backend.weaknesses():
        what = (
            f"the server runs with {setting} = {value}: what was committed and signed may be lost"
        )
        yield error("server.durability", what, database.name, f"set {setting} = on and reload")
    for what, why in NOT_COVERED:
        found = f"erased values may stay in {what}"
        yield note("server.not_covered", found, database.name, why)


def certificate_findings(session: Session) -> Iterator[Finding]:
    """Certificates that were issued, and whose file is gone, but for those that were erased."""
    query = (
        select(request.c.certificate_id)
        .join(body, body.c.entry_index == request.c.entry_index)
        .where(request.c.completed_at.is_not(None), request.c.certificate_id.is_not(None))
    )
    with session.database.read() as connection:
        issued = connection.execute(query).scalars().all()
    for name in issued:
        path = bundle_path(session, name)
        if not path.is_file():
            what = f"certificate {name} was issued, but its file is gone"
            todo = "put it back from a backup; the ledger still holds what was signed"
            yield warning("certificate.missing", what, str(path), todo)


def _pages(path: Path) -> Iterator[str]:
    """What SQLite's own check says of a file; nothing if it is missing."""
    if not path.is_file():
        return
    try:
        with database_errors(path), contextlib.closing(sqlite3.connect(path)) as connection:
            rows = connection.execute("PRAGMA quick_check").fetchall()
    except (MbdError, sqlite3.Error) as problem:
        yield str(problem)
        return
    yield from (str(row[0]) for row in rows if row[0] != "ok")
