"""A SQLite file that somebody else made: opened without writing to it, and asked in bounded time.

A view, a trigger or a virtual table may do anything when it is asked, for ever if its maker wants
so; a ledger has none.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from mbd.errors import DataError

_MAX_BYTES = 1 << 33
"""Of the file and of its write-ahead log, which are copied if there is one."""
_MAX_VALUE_BYTES = 1 << 24  # of a body; leaves and notes are asked for with limits of their own
_STEPS = 1 << 17  # virtual machine instructions between two looks
_MAX_LOOKS = 1 << 12  # five hundred million in all; a million entries take some ten million


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The database, read only; SQLite would write beside one that has a write-ahead log.

    Raises:
        DataError: It is no plain file, too large, or has more than tables and indices.
        sqlite3.Error: It is torn; also later, where an answer takes too long.
    """
    with contextlib.ExitStack() as stack:
        log = path.with_name(f"{path.name}-wal")
        options = "mode=ro&immutable=1"
        files = [one for one in (path, log) if one.is_file() and one.stat().st_size]
        if any(one.is_symlink() or one.stat().st_size > _MAX_BYTES for one in files):
            raise DataError(f"{path.name} is a link, or too large")
        if log in files:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            for file in files:
                shutil.copyfile(file, place / file.name)
            path, options = place / path.name, "mode=rw"
        location = f"file:{quote(str(path.resolve()))}?{options}"
        connection = sqlite3.connect(location, uri=True)
        yield guarded(stack.enter_context(contextlib.closing(connection)))


def guarded(connection: sqlite3.Connection) -> sqlite3.Connection:
    """The connection, after a look at what the database is made of."""
    looks = iter(range(_MAX_LOOKS))
    connection.set_progress_handler(lambda: int(next(looks, None) is None), _STEPS)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
    connection.execute("PRAGMA trusted_schema = OFF")
    for kind, name, made_by in connection.execute("SELECT type, name, sql FROM sqlite_master"):
        words = str(made_by or "").upper().split()[:2]
        if kind not in ("table", "index") or (kind == "table" and words != ["CREATE", "TABLE"]):
            raise DataError(f"{kind} {name!r} does not belong into a ledger")
        if kind == "table":
            _refuse_computed(connection, str(name))
    return connection


def _refuse_computed(connection: sqlite3.Connection, table: str) -> None:
    """A column that is computed may make sixty megabytes in one step, for each of its rows."""
    quoted = table.replace('"', '""')
    for *_, hidden in connection.execute(f'PRAGMA table_xinfo("{quoted}")'):
        if hidden:
            raise DataError(f"table {table!r} computes a column, as no ledger does")
