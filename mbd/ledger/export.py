"""The log as a table for other programs: CSV, JSON lines, SQLite.

Leaves are exported as they are, so that whoever holds the file can hash them: SHA-256(0x00 ||
leaf). Bodies are not: nobody could erase them from a copy.
"""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from mbd.database import tables
from mbd.errors import StorageError
from mbd.ledger.note import VerifierKey
from mbd.ledger.queries import LogEntry, in_pages
from mbd.workspace.files import fsync_file, refuse_existing, storage_errors

FIELDS = (
    "index", "time", "type", "class", "modalities", "certificateId", "leafHash", "leaf",
)  # fmt: skip

_SCHEMA = """
CREATE TABLE log (origin TEXT NOT NULL, vkey TEXT NOT NULL);
CREATE TABLE entry (
    "index" INTEGER PRIMARY KEY, time TEXT NOT NULL, type TEXT NOT NULL, class TEXT,
    modalities TEXT, certificateId TEXT, leafHash TEXT NOT NULL, leaf TEXT NOT NULL
);
CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, note TEXT NOT NULL);
CREATE INDEX entry_certificate ON entry (certificateId);
"""


def csv_lines(entries: Iterable[LogEntry]) -> Iterator[bytes]:
    """A header and one line per entry; modalities joined with '+'."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for row in ([FIELDS], (tuple(_row(one).values()) for one in entries)):
        for values in row:
            writer.writerow(values)
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()


def json_lines(entries: Iterable[LogEntry]) -> Iterator[bytes]:
    """One JSON object per line; what an entry does not have is left out."""
    for one in entries:
        row = {name: value for name, value in _row(one).items() if value is not None}
        if one.modalities:
            row["modalities"] = list(one.modalities)
        yield json.dumps(row, ensure_ascii=False).encode() + b"\n"


def write_sqlite(
    path: Path, entries: Iterable[LogEntry], notes: Mapping[int, str], key: VerifierKey
) -> None:
    """A database of its own: `entry`, `checkpoint`, and whose `log` it is.

    Raises:
        ConflictError: The file is there.
        StorageError: The disk refused.
    """
    refuse_existing(path)
    partial = path.with_name(f".{path.name}.partial")
    with storage_errors(path):
        partial.unlink(missing_ok=True)
        try:
            _fill(partial, entries, notes, key)
            fsync_file(partial)
            partial.replace(path)
        except sqlite3.OperationalError as error:
            raise StorageError(f"{path}: {error}") from error
        finally:
            partial.unlink(missing_ok=True)


def published_notes(connection: Connection) -> dict[int, str]:
    """Every published checkpoint by its size."""
    table = tables.checkpoint
    rows = in_pages(connection, select(table), table.c.size)
    return {row.size: row.note for row in rows}


def _fill(
    path: Path, entries: Iterable[LogEntry], notes: Mapping[int, str], key: VerifierKey
) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(_SCHEMA)
        connection.execute("INSERT INTO log VALUES (?, ?)", (key.name, str(key)))
        places = ", ".join("?" for _ in FIELDS)
        rows = (tuple(_row(one).values()) for one in entries)
        connection.executemany(f"INSERT INTO entry VALUES ({places})", rows)
        connection.executemany("INSERT INTO checkpoint VALUES (?, ?)", notes.items())


def _row(entry: LogEntry) -> dict[str, Any]:
    """The fields of `FIELDS`, in their order."""
    return {
        "index": entry.index,
        "time": entry.time,
        "type": entry.type,
        "class": entry.guarantee_class,
        "modalities": "+".join(entry.modalities) or None,
        "certificateId": entry.certificate_id,
        "leafHash": entry.leaf_hash.hex(),
        "leaf": bytes(entry.leaf).decode("utf-8", errors="replace"),
    }


Writer = Callable[[Iterable[LogEntry]], Iterator[bytes]]
"""Entries to the bytes of a text file."""
