"""The database of a workspace: make it, open it, read it, change it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine, inspect

from mbd.database.sqlite_file import SqliteFile
from mbd.errors import IntegrityError, VersionError
from mbd.workspace.ledger_place import Place, Server

REVISIONS = ("0001", "0002", "0003")
"""Every migration (migrations/versions), the oldest first; a test compares them."""

SCHEMA_REVISION = REVISIONS[-1]
"""The one that this program reads and writes."""


class Backend(Protocol):
    """What SQLite and PostgreSQL do each in its own way."""

    @property
    def engine(self) -> Engine:
        """Where connections come from."""

    @property
    def name(self) -> str:
        """What to call the database in messages."""

    def transaction(self, *, write: bool) -> AbstractContextManager[Connection]:
        """One transaction, with the write lock from its first statement if it is to write."""

    def purge(self, *, bodies: bool = False) -> None:
        """Destroy what deleted rows left behind."""


@dataclass(frozen=True)
class Database:
    """The tables of one workspace, wherever they are. Holds no transaction open."""

    backend: Backend

    @classmethod
    def create(cls, place: Place) -> Database:
        """Make every table; they appear complete or not at all.

        Raises:
            ConflictError: There is a database already.
            StorageError: The disk refused.
            MbdError: The server refused.
        """
        from mbd.database.migrate import upgrade  # alembic is slow to import; `open` needs none

        make_database(place, upgrade)
        return cls.open(place)

    @classmethod
    def open(cls, place: Place) -> Database:
        """Open what is there after checking that this program can read it.

        Raises:
            NotFoundError: There is no such database.
            IntegrityError: It is truncated, or not one of ours.
            VersionError: A newer program made it, or an older one, and it was not upgraded.
            TemporaryError: The server is not there.
        """
        database = cls.open_any(place)
        _check_revision(revision_of(database), database.name)
        return database

    @classmethod
    def open_any(cls, place: Place) -> Database:
        """The same without a look at its version: to upgrade it."""
        return cls(_open(place))

    @property
    def engine(self) -> Engine:
        """Where connections come from."""
        return self.backend.engine

    @property
    def name(self) -> str:
        """What to call it in messages; holds no password."""
        return self.backend.name

    @property
    def path(self) -> Path | None:
        """Its file; None on a server."""
        return self.backend.path if isinstance(self.backend, SqliteFile) else None

    def transaction(self) -> AbstractContextManager[Connection]:
        """A connection that holds the write lock; commits at the end, or leaves no trace.

        Raises:
            TemporaryError: Another writer held the lock all the time, or the server went away.
            StorageError: The disk refused; nothing was changed.
        """
        return self.backend.transaction(write=True)

    def read(self) -> AbstractContextManager[Connection]:
        """A connection that sees one state of the database, whatever others write."""
        return self.backend.transaction(write=False)

    def purge(self, *, bodies: bool = False) -> None:
        """Destroy what deleted and overwritten rows left behind, as far as one can from here.

        Afterwards deleted values are in no file of a SQLite database. On PostgreSQL they are in
        no table any more; what the server keeps beside the tables is out of reach
        (`mbd.database.postgres.NOT_COVERED`).

        Args:
            bodies: Those of the log too, where it takes a pass over all that are left.

        Raises:
            TemporaryError: A reader still uses them.
        """
        self.backend.purge(bodies=bodies)


def make_database(place: Place, fill: Callable[[Connection], None]) -> None:
    """Make a database of what `fill` makes; it appears complete or not at all.

    Raises:
        ConflictError: There is one.
    """
    if isinstance(place, Server):
        from mbd.database.postgres import PostgresSchema

        PostgresSchema.create(place, fill)
    else:
        SqliteFile.create(place, fill)


def _open(place: Place) -> Backend:
    if isinstance(place, Server):
        from mbd.database.postgres import PostgresSchema

        return PostgresSchema.open(place)
    return SqliteFile.open(place)


def revision_of(database: Database) -> str:
    """The migration that a database is at.

    Raises:
        IntegrityError: It has none: it is not one of ours.
    """
    with database.read() as connection:
        found = None
        if inspect(connection).has_table("alembic_version"):
            query = "SELECT version_num FROM alembic_version"
            found = connection.exec_driver_sql(query).scalar()
    if found is None:
        raise IntegrityError(
            f"{database.name}: not a ledger database, or an empty one",
            code="database.corrupt",
            hint="restore it from a backup",
        )
    return str(found)


def check_known(found: str, name: str) -> None:
    """Refuse a database that a newer program made.

    Raises:
        VersionError: This program does not know its schema.
    """
    if found not in REVISIONS:
        raise VersionError(
            f"{name} has schema {found}; this program knows {SCHEMA_REVISION}",
            hint="use the version of mbd that made it, or a newer one",
        )


def _check_revision(found: str, name: str) -> None:
    check_known(found, name)
    if found != SCHEMA_REVISION:
        raise VersionError(
            f"{name} has schema {found}, of an older version; this program wants {SCHEMA_REVISION}",
            code="version.older",
            hint="save a copy of the database, then run `mbd db upgrade`",
        )
