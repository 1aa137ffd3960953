"""The database of a workspace: make it, open it, read it, change it."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine

from mbd.database.connection import (
    create_database,
    sqlite_engine,
    transaction,
    truncating_checkpoint,
)
from mbd.errors import IntegrityError, NotFoundError, VersionError
from mbd.workspace.files import storage_errors

SCHEMA_REVISION = "0002"
"""The newest migration (migrations/versions); a test compares them."""


@dataclass(frozen=True)
class Database:
    """One SQLite file in WAL mode. Holds no open connection."""

    path: Path
    engine: Engine

    @classmethod
    def create(cls, path: Path) -> Database:
        """Make the file with every table; it appears complete or not at all.

        Raises:
            ConflictError: It exists.
            StorageError: The disk refused.
        """
        from mbd.database.migrate import upgrade  # alembic is slow to import; `open` needs none

        create_database(path, upgrade)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Database:
        """Open an existing file after checking that this program can read it.

        Raises:
            NotFoundError: There is no such file.
            IntegrityError: It is truncated, or not one of our databases.
            VersionError: A newer program made it.
        """
        if not path.is_file():
            raise NotFoundError(
                f"{path}: no such database",
                code="database.not_found",
                hint="restore it from a backup",
            )
        _check_length(path)
        database = cls(path, sqlite_engine(path))
        with database.read() as connection:
            _check_revision(connection, path)
        return database

    def transaction(self) -> AbstractContextManager[Connection]:
        """A connection that holds the write lock; commits at the end, or leaves no trace.

        Raises:
            TemporaryError: Another writer held the lock all the time.
            StorageError: The disk refused; nothing was changed.
        """
        return transaction(self.engine, self.path, write=True)

    def read(self) -> AbstractContextManager[Connection]:
        """A connection that sees one state of the database, whatever others write."""
        return transaction(self.engine, self.path, write=False)

    def truncating_checkpoint(self) -> None:
        """Empty the write-ahead log, so that deleted values are in no file any more.

        Raises:
            TemporaryError: A reader is still using the log.
        """
        truncating_checkpoint(self.engine, self.path)


def _check_length(path: Path) -> None:
    """Refuse a file that ends inside a page: SQLite would only notice when it reads that page.

    With a write-ahead log beside it SQLite repairs the end. The header's bytes 16 and 17 hold
    the page size (https://sqlite.org/fileformat.html, section 1.3.2; 1 means 65,536).
    """
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        return
    with storage_errors(path), path.open("rb") as stream:
        header = stream.read(18)
        size_bytes = stream.seek(0, os.SEEK_END)
    page = int.from_bytes(header[16:18], "big")
    page_bytes = 65536 if page == 1 else page
    if not page_bytes or size_bytes % page_bytes:
        raise IntegrityError(
            f"{path}: truncated, or not a database",
            code="database.corrupt",
            hint="restore it from a backup",
        )


def _check_revision(connection: Connection, path: Path) -> None:
    tables = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")
    if "alembic_version" not in tables.scalars().all():
        raise IntegrityError(
            f"{path}: not a ledger database, or an empty one",
            code="database.corrupt",
            hint="restore it from a backup",
        )
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    if found != SCHEMA_REVISION:
        raise VersionError(
            f"{path} has schema {found}; this program knows {SCHEMA_REVISION}",
            hint="use the version of mbd that made it, or a newer one",
        )
