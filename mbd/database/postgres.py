"""The ledger as a schema on a PostgreSQL server, for those who outgrow one machine.

Every workspace has a schema of its own, so two of them never meet in one database.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import ArgumentError

from mbd.database.postgres_errors import server_errors
from mbd.errors import ConflictError, MbdError, NotFoundError, TemporaryError, UsageError
from mbd.workspace.ledger_place import Server

BUSY_SECONDS = 30.0
"""How long a writer waits for another one, and forgetting for a reader."""

CONNECT_SECONDS = 10
"""How long to wait for a server that does not answer; `connect_timeout` in the URL wins."""

JOURNAL = ("request", "batch", "pointer")
"""Tables whose rows say, for a while, what may not stay. A suppression is a keyed hash."""

NOT_COVERED = (
    (
        "the server's write-ahead log (pg_wal) and its archive",
        "they repeat every change until they are recycled: keep archives no longer than you must",
    ),
    (
        "replicas, base backups and dumps of the server",
        "copies out of reach from here: give them an end",
    ),
    (
        "freed blocks of the server's file system, its logs and its memory",
        "where old bytes may stay until they are overwritten",
    ),
)
"""What may still hold a value that was deleted from the tables, and why."""

_BEGIN = text(
    "SELECT set_config('search_path', :schema, true), "
    "set_config('lock_timeout', :wait, true), "
    "set_config('synchronous_commit', CASE current_setting('synchronous_commit') "
    "WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, true)"
)
_LOCK = text("SELECT size FROM head FOR UPDATE")
_MODE, _READ, _WRITE, _DEFINE = "mbd_mode", "read", "write", "define"
_FIRST_NUMBER = re.compile(r"[0-9]+")


@dataclass(frozen=True)
class PostgresSchema:
    """The tables of one workspace on a server. Keeps idle connections, but no transaction."""

    server: Server
    engine: Engine = field(init=False, repr=False)

    def __post_init__(self) -> None:
        engine = _engine(self.server)
        object.__setattr__(self, "engine", engine)
        weakref.finalize(self, engine.dispose)

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return self.server.name

    @classmethod
    def create(cls, server: Server, fill: Callable[[Connection], None]) -> PostgresSchema:
        """Make the schema; it appears with everything that `fill` makes, or not at all.

        Raises:
            ConflictError: It exists.
            MbdError: The server refused, or its text is not UTF-8.
        """
        made = cls(server)
        with made._transaction(_DEFINE) as connection:
            _check_encoding(connection, server)
            if _exists(connection, server):
                raise ConflictError(f"{server.name} exists", code="database.exists")
            connection.exec_driver_sql(f"CREATE SCHEMA {_quoted(server.schema)}")
            fill(connection)
        return made

    @classmethod
    def open(cls, server: Server) -> PostgresSchema:
        """The schema that is there.

        Raises:
            NotFoundError: There is none.
            TemporaryError: The server is not there.
        """
        found = cls(server)
        with found.transaction(write=False) as connection:
            if not _exists(connection, server):
                raise NotFoundError(
                    f"{server.name}: no such schema",
                    code="database.not_found",
                    hint="is MBD_DATABASE_URL, or database_url in mbd.toml, that of this "
                    "workspace? One that keeps its ledger in ledger.db needs neither",
                )
        return found

    def transaction(self, *, write: bool) -> contextlib.AbstractContextManager[Connection]:
        """One transaction.

        A writer locks the log's one-row head before anything else and sees what others
        committed (READ COMMITTED), so writers follow one another as they do under SQLite. A
        reader sees one state throughout (REPEATABLE READ).

        Raises:
            TemporaryError: Another writer held the lock all the time, or the server went away.
        """
        return self._transaction(_WRITE if write else _READ)

    def drop(self) -> None:
        """Destroy the schema and everything in it: what made it could not go on."""
        with self._transaction(_DEFINE) as connection:
            connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {_quoted(self.schema)} CASCADE")

    def purge(self, *, bodies: bool = False) -> None:
        """Rewrite the tables of the journal, so that no dead row is left in them.

        A deleted row stays where it was until a vacuum, and its bytes even then; VACUUM FULL
        writes the live rows to a new file. A row that an older transaction may still see is
        kept, so it is tried again until there is none.

        Raises:
            TemporaryError: Somebody's older transaction still sees deleted rows.
        """
        tables: tuple[str, ...] = (*JOURNAL, "body") if bodies else JOURNAL
        deadline = time.monotonic() + BUSY_SECONDS
        while kept := self._rewrite(tables):
            if time.monotonic() >= deadline:
                raise TemporaryError(
                    f"{self.name}: an older transaction still sees what was deleted from "
                    f"{', '.join(kept)}",
                    code="database.busy",
                    hint="wait for it to end, or end it (pg_stat_activity, replication slots)",
                )
            time.sleep(0.1)
            tables = kept

    def contents(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Every table of the schema, ours or not, with its live rows as bytes, piece by piece.

        The pieces are those of a binary COPY: texts and bytes are in it as they are.
        """
        with self.transaction(write=False) as connection:
            driver: Any = connection.connection.driver_connection
            query = text(
                "SELECT relname FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace n "
                "ON n.oid = relnamespace WHERE nspname = :schema AND relkind IN ('r', 'm')"
            )
            found = connection.execute(query, {"schema": self.schema}).scalars().all()
            for table in sorted(found):
                where = f"{_quoted(self.schema)}.{_quoted(table)}"
                with driver.cursor() as cursor:
                    statement = f"COPY (SELECT * FROM {where}) TO STDOUT (FORMAT binary)"
                    with cursor.copy(statement) as pieces:
                        yield table, map(bytes, pieces)

    def weaknesses(self) -> Iterator[tuple[str, str]]:
        """(setting, value) of what lets the server lose a commit, or hand out a torn page."""
        with self.transaction(write=False) as connection:
            for name in ("fsync", "full_page_writes"):
                value = connection.exec_driver_sql(f"SHOW {name}").scalar()
                if value == "off":
                    yield name, str(value)

    @property
    def schema(self) -> str:
        """Its name on the server."""
        return self.server.schema

    @contextlib.contextmanager
    def _transaction(self, mode: str) -> Iterator[Connection]:
        options: dict[str, Any] = {
            _MODE: mode,
            "isolation_level": "REPEATABLE READ" if mode == _READ else "READ COMMITTED",
            "postgresql_readonly": mode == _READ,
        }
        with (
            server_errors(self.name),
            self.engine.connect().execution_options(**options) as connection,
            connection.begin(),
        ):
            yield connection

    def _rewrite(self, tables: tuple[str, ...]) -> tuple[str, ...]:
        """VACUUM FULL; the tables that still hold dead rows."""
        kept = []
        with (
            server_errors(self.name),
            self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        ):
            driver: Any = connection.connection.driver_connection
            connection.exec_driver_sql(f"SET lock_timeout = {round(BUSY_SECONDS * 1000)}")
            for table in tables:
                details: list[str] = []
                with _noticing(driver, details):
                    where = f"{_quoted(self.schema)}.{_quoted(table)}"
                    connection.exec_driver_sql(f"VACUUM (FULL, VERBOSE) {where}")
                if any(_dead_rows(detail) for detail in details):
                    kept.append(table)
            connection.exec_driver_sql("RESET lock_timeout")
        return tuple(kept)


def _engine(server: Server) -> Engine:
    """An engine whose transactions find the workspace's tables, and no others.

    Raises:
        MbdError: The driver is not installed.
        UsageError: The URL cannot be read.
    """
    try:
        engine = create_engine(
            server.url,
            pool_size=2,
            pool_pre_ping=True,  # a server that was restarted is no reason to fail
            hide_parameters=True,  # values stay out of error messages
            connect_args={"application_name": "mbd", "connect_timeout": CONNECT_SECONDS},
        )
    except ImportError as error:
        raise MbdError(
            "PostgreSQL needs the package psycopg, which is not installed",
            code="database.driver",
            hint="pip install 'mbd[postgres]'",
        ) from error
    except (ArgumentError, ValueError):
        raise UsageError(
            "the URL of the database cannot be read",
            code="database.url",
            field="database_url",
        ) from None

    def begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get(_MODE)
        if mode is None:
            return
        wait = str(round(BUSY_SECONDS * 1000))
        connection.execute(_BEGIN, {"schema": _quoted(server.schema), "wait": wait})
        if mode == _WRITE:
            connection.execute(_LOCK)

    event.listen(engine, "begin", begin)
    _engines.add(engine)
    return engine


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def _forget_connections() -> None:
    """A child process may not use the connections of its parent, nor close them."""
    for engine in _engines:
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_forget_connections)


@contextlib.contextmanager
def _noticing(driver: Any, details: list[str]) -> Iterator[None]:
    def hear(notice: Any) -> None:
        details.append(notice.message_detail or "")

    driver.add_notice_handler(hear)
    try:
        yield
    finally:
        driver.remove_notice_handler(hear)


def _dead_rows(detail: str) -> int:
    """How many dead rows a verbose VACUUM FULL had to keep: its detail begins with the number.

    Source: PostgreSQL, src/backend/commands/cluster.c, copy_table_data.
    """
    found = _FIRST_NUMBER.match(detail)
    return int(found.group()) if found else 0


def _exists(connection: Connection, server: Server) -> bool:
    query = text("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = :schema")
    return connection.execute(query, {"schema": server.schema}).scalar() is not None


def _check_encoding(connection: Connection, server: Server) -> None:
    found = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if found != "UTF8":
        raise MbdError(
            f"{server.name}: the database's text is {found}; want UTF8",
            code="database.encoding",
            hint="CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0",
        )


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
