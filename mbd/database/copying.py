"""All rows of one database into another, of the same kind or not."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from sqlalchemy import delete, insert, select

from mbd.database import tables
from mbd.database.connection import database_errors
from mbd.database.engine import Database
from mbd.errors import ConflictError
from mbd.workspace.files import fsync_file, storage_errors

_ROWS = 1000
"""Rows held in memory at a time."""


def copy_rows(source: Database, target: Database) -> None:
    """Copy every row, in one transaction of each; `target` is new.

    Raises:
        ConflictError: `target` holds something already.
    """
    with source.read() as old, target.transaction() as new:
        if new.execute(select(tables.head.c.size)).scalar():
            raise ConflictError(f"{target.name} holds a ledger already", code="database.exists")
        new.execute(delete(tables.head))
        for table in tables.metadata.sorted_tables:
            found = old.execute(select(table).execution_options(yield_per=_ROWS))
            for rows in found.mappings().partitions():
                new.execute(insert(table), [dict(row) for row in rows])


def save_as_file(source: Database, path: Path) -> None:
    """Copy a database into a new SQLite file.

    Raises:
        ConflictError: `path` exists.
    """
    made = Database.create(path)
    copy_rows(source, made)
    made.purge()


def sqlite_files(path: Path) -> tuple[Path, ...]:
    """A SQLite file and what SQLite may keep beside it."""
    return tuple(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", ""))


def copy_file(source: Path, target: Path) -> None:
    """Copy a SQLite file through SQLite, so that nothing in its write-ahead log is lost."""
    with storage_errors(target):
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with (
        database_errors(source),
        contextlib.closing(sqlite3.connect(source)) as old,
        contextlib.closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)
    fsync_file(target)
