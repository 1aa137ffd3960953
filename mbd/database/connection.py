"""How every SQLite file of a workspace is opened: its pragmas, and errors in our words."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from mbd.errors import ConflictError, IntegrityError, MbdError, StorageError, TemporaryError
from mbd.workspace.files import fsync_directory, storage_errors

_HINTS = {
    "FULL": "free some space, then run `mbd resume`",
    "IOERR": "is the disk full, or failing? mend it, then run `mbd resume`",
    "CANTOPEN": "is it there, and may this user read and write it? then run `mbd resume`",
    "READONLY": "let this user write it and its folder, then run `mbd resume`",
}

BUSY_SECONDS = 30.0
"""How long a writer waits for another one."""

_PRAGMAS = (
    "PRAGMA secure_delete = ON",  # deleted values are overwritten, not only unlinked
    "PRAGMA foreign_keys = ON",
    "PRAGMA synchronous = FULL",  # a commit in WAL mode survives a power cut
    "PRAGMA temp_store = MEMORY",  # nothing personal in temporary files
)


def sqlite_engine(path: Path) -> Engine:
    """An engine on an existing file; every connection is opened and closed anew.

    SQLAlchemy's own BEGIN is replaced: a transaction that is going to write takes the write
    lock at once (BEGIN IMMEDIATE), so that it can never fail half way for want of it.
    """

    def connect() -> sqlite3.Connection:
        location = f"file:{quote(str(path.resolve()))}?mode=rw"
        connection = sqlite3.connect(location, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            for pragma in _PRAGMAS:
                connection.execute(pragma)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
    event.listen(engine, "begin", _begin)
    return engine


def create_database(path: Path, fill: Callable[[Connection], None]) -> None:
    """Make a database in WAL mode that only its owner can read; `fill` makes its tables.

    It is built beside `path` and appears complete or not at all.

    Raises:
        ConflictError: `path` exists.
        StorageError: The disk refused.
    """
    if path.exists():
        raise ConflictError(f"{path} exists", code="database.exists")
    partial = path.with_name(f".{path.name}.partial")
    _remove(partial)
    try:
        _create_empty(partial)
        engine = sqlite_engine(partial)
        with transaction(engine, partial, write=True) as connection:
            fill(connection)
        truncating_checkpoint(engine, partial)
        with storage_errors(path):
            os.replace(partial, path)
            fsync_directory(path.parent)
    finally:
        _remove(partial)


@contextlib.contextmanager
def transaction(engine: Engine, path: Path, *, write: bool) -> Iterator[Connection]:
    """A connection in one transaction: committed at the end, or leaving no trace.

    Raises:
        TemporaryError: Another writer held the lock all the time.
        StorageError: The disk refused.
    """
    options = {"begin": "IMMEDIATE" if write else "DEFERRED"}
    with (
        database_errors(path),
        engine.connect().execution_options(**options) as connection,
        connection.begin(),
    ):
        yield connection


def truncating_checkpoint(engine: Engine, path: Path) -> None:
    """Move everything from the write-ahead log into the file and empty the log.

    Deleted values are gone from the file (secure_delete) but would stay in the log.

    Raises:
        TemporaryError: A reader is still using the log.
    """
    with database_errors(path), contextlib.closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        busy, _, _ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        cursor.close()
    if busy:
        raise TemporaryError(f"{path} is being read; its log could not be emptied")


@contextlib.contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite says about `path` into our error."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        ours = _translate(path, getattr(cause, "sqlite_errorname", ""), str(cause))
        if ours is None:
            raise
        raise ours from error


def _translate(path: Path, name: str, text: str) -> MbdError | None:
    """Our error for SQLite's result code (https://sqlite.org/rescode.html), if it has one."""
    kind = name.removeprefix("SQLITE_").partition("_")[0]
    if kind in ("BUSY", "LOCKED", "PROTOCOL"):  # the last: somebody was stopped while opening it
        return TemporaryError(
            f"{path}: another process is writing",
            code="database.busy",
            hint="try again when it has finished",
        )
    if kind in ("NOTADB", "CORRUPT"):
        return IntegrityError(
            f"{path}: {text}", code="database.corrupt", hint="restore it from a backup"
        )
    if kind in ("FULL", "IOERR", "READONLY", "CANTOPEN"):
        full = kind == "FULL"
        return StorageError(
            f"{path}: {text}",
            code="storage.full" if full else "storage",
            hint=_HINTS.get(kind),
        )
    return None


def _create_empty(path: Path) -> None:
    with storage_errors(path):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with database_errors(path), contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def _remove(path: Path) -> None:
    """Remove an unfinished database and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _begin(connection: Connection) -> None:
    mode = connection.get_execution_options()["begin"]
    connection.exec_driver_sql(f"BEGIN {mode}")
