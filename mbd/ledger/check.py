"""Re-hash the whole log and say where it first breaks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from mbd.database import tables
from mbd.errors import IntegrityError, MbdError
from mbd.ledger.binding import check_body, published_labels
from mbd.ledger.entry import Entry, parse_entry
from mbd.ledger.merkle import completed_nodes, root_of
from mbd.ledger.note import VerifierKey, open_checkpoint
from mbd.ledger.queries import LogEntry, log_size, to_entry

Nodes = dict[tuple[int, int], bytes]
"""(level, index) -> hash."""


@dataclass(frozen=True, kw_only=True)
class LogReport:
    """What a full check found."""

    size: int
    root: bytes | None
    """The recomputed root; None where the log is broken."""
    bad_index: int | None = None
    """The first entry that is not what it should be."""
    problem: str | None = None
    checkpoints: int = 0
    bodies: int = 0
    """How many bodies are still held, and were compared with their leaves."""

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return self.problem is None


class LogFault(IntegrityError):
    """The first thing that does not hold, and the entry it was found at."""

    code = "log.corrupt"

    def __init__(self, index: int | None, detail: str) -> None:
        super().__init__(detail)
        self.index = index


def check_log(connection: Connection, key: VerifierKey, remembered: str | None) -> LogReport:
    """Check, in the order of the log:

    1. every leaf: in its place, canonical, equal to the columns listed beside it;
    2. every body still held: the one its leaf binds; a certificate says what is listed;
    3. every stored subtree hash, recomputed from the leaves;
    4. nothing stored beyond the size of the log;
    5. every published checkpoint, and the remembered one: signed by `key`, root as recomputed.

    Args:
        connection: A reading transaction.
        key: The log's public key, named after the log.
        remembered: The signer's own last note, kept outside the database.
    """
    size = log_size(connection)
    try:
        nodes, bodies = _check_entries(connection, size)
        published = _notes(connection)
        for listed, note in published:
            if _check_note(note, key, nodes, size) != listed:
                raise LogFault(None, f"the checkpoint listed at size {listed} has another size")
        if remembered is not None:
            _check_note(remembered, key, nodes, size)
    except LogFault as fault:
        return LogReport(size=size, root=None, bad_index=fault.index, problem=fault.message)
    return LogReport(size=size, root=_root(nodes, size), checkpoints=len(published), bodies=bodies)


def _check_entries(connection: Connection, size: int) -> tuple[Nodes, int]:
    stored = _stored_nodes(connection)
    checked: Nodes = {}
    index = bodies = 0
    for row in _rows(connection):
        _check_place(row.entry_index, index, size)
        _check_nodes(index, _check_entry(to_entry(row), row.content), stored, checked)
        bodies += row.content is not None
        index += 1
    if index != size:
        raise LogFault(index, f"entry {index} is missing: the log has {size}")
    if stored:
        level, at = min(stored)
        raise LogFault(at << level, f"the subtree ({level}, {at}) belongs to no entry")
    return checked, bodies


def _check_place(found: int, index: int, size: int) -> None:
    if found != index:
        raise LogFault(min(index, found), f"entry {index} is missing")
    if index >= size:
        raise LogFault(index, f"entry {index} is beyond the size of the log, {size}")


def _check_entry(row: LogEntry, body: bytes | None) -> Entry:
    """Steps 1 and 2 for one entry."""
    try:
        entry = parse_entry(row.leaf)
        if body is not None:
            check_body(entry, body)
            if entry.type == "certificate":
                _check_labels(row, body)
    except MbdError as error:
        raise LogFault(row.index, f"entry {row.index}: {error.message}") from error
    if (row.type, row.time) != (entry.type, entry.time):
        raise LogFault(row.index, f"entry {row.index}: type or time is not that of its leaf")
    if row.leaf_hash != entry.leaf_hash():
        raise LogFault(row.index, f"entry {row.index}: the hash is not that of its leaf")
    return entry


def _check_labels(row: LogEntry, body: bytes) -> None:
    identity, modalities, guarantee_class = published_labels(body)
    listed = (row.certificate_id, sorted(row.modalities), row.guarantee_class)
    if listed != (identity, sorted(modalities), guarantee_class):
        raise IntegrityError("what is listed is not what the certificate says")


def _check_nodes(index: int, entry: Entry, stored: Nodes, checked: Nodes) -> None:
    """Step 3 for the subtrees that this entry completes."""

    def read(level: int, at: int) -> bytes:
        return checked[level, at]

    for level, at, digest in completed_nodes(index, entry.leaf_hash(), read):
        if stored.pop((level, at), None) != digest:
            raise LogFault(index, f"the subtree ({level}, {at}) is missing or has another hash")
        checked[level, at] = digest


def _check_note(note: str, key: VerifierKey, nodes: Nodes, size: int) -> int:
    """Step 5 for one note; the size that it signs."""
    try:
        checkpoint = open_checkpoint(note, key, key.name)
    except MbdError as error:
        raise LogFault(None, f"a checkpoint: {error.message}") from error
    if checkpoint.size > size:
        raise LogFault(
            size, f"a checkpoint of size {checkpoint.size} was signed; entry {size} is missing"
        )
    if _root(nodes, checkpoint.size) != checkpoint.root:
        raise LogFault(None, f"the checkpoint of size {checkpoint.size} has another root")
    return checkpoint.size


def _root(nodes: Nodes, size: int) -> bytes:
    return root_of(lambda level, at: nodes[level, at], size)


def _rows(connection: Connection) -> Iterator[Row[Any]]:
    entry, body = tables.entry, tables.body
    query = select(entry, body.c.content).outerjoin(body).order_by(entry.c.entry_index)
    yield from connection.execute(query)


def _stored_nodes(connection: Connection) -> Nodes:
    rows = connection.execute(select(tables.node))
    return {(level, at): digest for level, at, digest in rows}


def _notes(connection: Connection) -> list[tuple[int, str]]:
    checkpoint = tables.checkpoint
    query = select(checkpoint.c.size, checkpoint.c.note).order_by(checkpoint.c.size)
    return [(size, note) for size, note in connection.execute(query)]
