"""Re-hash the whole log and say where it first breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, or_, select

from mbd.canonical.tree import leaf_hash
from mbd.database import tables
from mbd.errors import IntegrityError, MbdError
from mbd.ledger.binding import check_body, published_labels
from mbd.ledger.bodies import KeyOf, no_keys, open_body
from mbd.ledger.entry import parse_entry
from mbd.ledger.merkle import RightEdge
from mbd.ledger.note import Checkpoint, VerifierKey, open_checkpoint
from mbd.ledger.queries import LogEntry, in_pages, log_size, to_entry

_PAGE = 250
"""Entries with their bodies in memory at a time, and subtrees of a level."""


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
    unreadable: int = 0
    """How many are held sealed, without a key here: only their leaves were checked."""

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


def check_log(
    connection: Connection,
    key: VerifierKey,
    remembered: str | None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    key_of: KeyOf = no_keys,
) -> LogReport:
    """Check, entry by entry in the order of the log:

    1. its leaf: in its place, canonical, equal to the columns listed beside it;
    2. its body, if still held and readable: the one the leaf binds; a certificate says what is
       listed;
    3. the stored hash of every subtree that it completes, recomputed from the leaves;
    4. the checkpoint published after it, and the remembered one: signed by `key`, root as
       recomputed;

    and at the end that nothing is stored or signed beyond the size of the log. A page of rows
    is in memory, and a hash for each level of the tree: no more, however long the log is.

    A wrong checkpoint counts as found at the first entry that no good checkpoint before it
    vouches for: from there on the entries may be others than those that were signed.

    Args:
        connection: A reading transaction.
        key: The log's public key, named after the log.
        remembered: The signer's own last note, kept outside the database.
        progress: Told how many of how many entries were checked, now and then.
        key_of: Keys of sealed bodies, see `ledger.bodies`.
    """
    size = log_size(connection)
    edge, nodes = RightEdge(_nothing, 0), _StoredNodes(connection)
    published = _Published(connection, key, remembered)
    bodies = unreadable = 0
    try:
        published.check(edge)
        for row in _rows(connection):
            _check_place(row.entry_index, edge.size, size)
            body = _opened(row, key_of)
            entry = to_entry(row)
            check_entry(entry, body)
            _check_nodes(edge, entry.leaf_hash, nodes)
            bodies += body is not None
            unreadable += body is None and row.content is not None
            published.check(edge)
            if edge.size % _PAGE == 0:
                progress(edge.size, size)
        if edge.size != size:
            raise LogFault(edge.size, f"entry {edge.size} is missing: the log has {size}")
        nodes.check_end()
        published.check_end(edge)
    except LogFault as fault:
        return LogReport(size=size, root=None, bad_index=fault.index, problem=fault.message)
    return LogReport(
        size=size,
        root=edge.root(),
        checkpoints=published.count,
        bodies=bodies,
        unreadable=unreadable,
    )


def _check_place(found: int, index: int, size: int) -> None:
    if found != index:
        raise LogFault(min(index, found), f"entry {index} is missing")
    if index >= size:
        raise LogFault(index, f"entry {index} is beyond the size of the log, {size}")


def _opened(row: Row[Any], key_of: KeyOf) -> bytes | None:
    """The body of an entry; None if there is none, or none that can be read here."""
    if row.content is None:
        return None
    try:
        return open_body(row.entry_index, bytes(row.leaf), bytes(row.content), key_of)
    except MbdError as error:
        index = row.entry_index
        raise LogFault(index, f"entry {index}: {error.message}") from error


def check_entry(row: LogEntry, body: bytes | None) -> None:
    """Steps 1 and 2 for one entry.

    Raises:
        LogFault: It is not what it should be.
    """
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
    if row.leaf_hash != leaf_hash(row.leaf):
        raise LogFault(row.index, f"entry {row.index}: the hash is not that of its leaf")


def _check_labels(row: LogEntry, body: bytes) -> None:
    identity, modalities, guarantee_class = published_labels(body)
    listed = (row.certificate_id, sorted(row.modalities), row.guarantee_class)
    if listed != (identity, sorted(modalities), guarantee_class):
        raise IntegrityError("what is listed is not what the certificate says")


def _check_nodes(edge: RightEdge, leaf: bytes, stored: _StoredNodes) -> None:
    """Step 3 for the subtrees that an entry, by its leaf hash, completes."""
    index = edge.size
    for level, at, digest in edge.append(leaf):
        if stored.take(level, at) != digest:
            raise LogFault(index, f"the subtree ({level}, {at}) is missing or has another hash")


class _StoredNodes:
    """The stored subtree hashes, level by level in step with the log."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._levels: dict[int, Iterator[Row[Any]]] = {}

    def take(self, level: int, at: int) -> bytes | None:
        """The hash of the next subtree of a level, if that is number `at`."""
        if level not in self._levels:
            self._levels[level] = self._level(level)
        row = next(self._levels[level], None)
        return bytes(row.hash) if row is not None and row.node_index == at else None

    def check_end(self) -> None:
        """Nothing may be left."""
        lefts, column = list[tuple[int, int]](), tables.node.c.level
        last = max(self._levels, default=-1)
        beyond = select(tables.node).where(or_(column < 0, column > last))
        for rows in (*self._levels.values(), iter(self._connection.execute(beyond.limit(1)))):
            row = next(rows, None)
            if row is not None:
                lefts.append((row.level, row.node_index))
        if lefts:
            level, at = min(lefts)
            raise LogFault(at << max(level, 0), f"the subtree ({level}, {at}) belongs to no entry")

    def _level(self, level: int) -> Iterator[Row[Any]]:
        node = tables.node
        query = select(node).where(node.c.level == level)
        return in_pages(self._connection, query, node.c.node_index, rows=_PAGE)


class _Published:
    """The published checkpoints and the remembered one, in step with the log: step 4."""

    def __init__(self, connection: Connection, key: VerifierKey, remembered: str | None) -> None:
        self.count = 0
        self._key = key
        self._vouched = 0
        self._memory = remembered
        table = tables.checkpoint
        self._rows = in_pages(connection, select(table), table.c.size)
        self._next = next(self._rows, None)
        try:
            self._remembered = None if remembered is None else self._open(remembered)
        except LogFault:
            self._remembered = None

    def check(self, edge: RightEdge) -> None:
        """Check what was signed at the size that the log has grown to."""
        while self._next is not None and self._next.size <= edge.size:
            head = self._open(self._next.note)
            if not self._next.size == head.size == edge.size:
                raise self._fault(f"the checkpoint listed at size {self._next.size} has another")
            self._compare(head, edge)
            self.count += 1
            self._next = next(self._rows, None)
        if self._remembered is not None and self._remembered.size == edge.size:
            self._compare(self._remembered, edge)

    def check_end(self, edge: RightEdge) -> None:
        """Nothing may have been signed beyond the log."""
        if self._memory is not None and self._remembered is None:
            self._open(self._memory)
        later = [head for head in (self._remembered,) if head is not None]
        if self._next is not None:
            later.append(self._open(self._next.note))
        for head in later:
            if head.size > edge.size:
                raise LogFault(
                    edge.size,
                    f"a checkpoint of size {head.size} was signed; entry {edge.size} is missing",
                )
        if self._next is not None:
            raise self._fault(f"the checkpoint listed at size {self._next.size} has another")

    def _compare(self, head: Checkpoint, edge: RightEdge) -> None:
        if head.root != edge.root():
            raise self._fault(f"the checkpoint of size {head.size} has another root")
        self._vouched = head.size

    def _open(self, note: str) -> Checkpoint:
        try:
            return open_checkpoint(note, self._key, self._key.name)
        except MbdError as error:
            raise self._fault(f"a checkpoint: {error.message}") from error

    def _fault(self, detail: str) -> LogFault:
        return LogFault(self._vouched, detail)


def _rows(connection: Connection) -> Iterator[Row[Any]]:
    entry, body = tables.entry, tables.body
    query = select(entry, body.c.content).outerjoin(body)
    return in_pages(connection, query, entry.c.entry_index, rows=_PAGE)


def _nothing(level: int, index: int) -> bytes:
    raise AssertionError("the empty tree has no subtree")
