"""Reading the log: who may look sees types, times, classes, modalities and hashes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, and_, func, or_, select

from mbd.canonical.ulid import is_ulid
from mbd.database import tables
from mbd.errors import IntegrityError, NotFoundError
from mbd.ledger.merkle import HASH_BYTES, HashReader
from mbd.values import availability_name

T = TypeVar("T")

MAX_INDEX = 2**31 - 1
"""What a column of indices can hold."""

PAGE = 1000
"""Rows held in memory while a long table is read."""

_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")


@dataclass(frozen=True, kw_only=True)
class LogEntry:
    """One row of the log as it is stored; `ledger.check` says whether it is sound."""

    index: int
    type: str
    time: str
    leaf: bytes
    leaf_hash: bytes
    guarantee_class: str | None
    modalities: tuple[str, ...]
    certificate_id: str | None


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which entries to list; None does not restrict."""

    after: int | None = None
    """Entries with a larger index."""
    before: int | None = None
    """Entries with a smaller index."""
    type: str | None = None
    since: date | None = None
    """First day, UTC."""
    until: date | None = None
    """Last day, UTC, included."""
    modality: str | None = None
    guarantee_class: str | None = None
    certificate_id: str | None = None
    certificate_ids: frozenset[str] | None = None
    """Any of these; few: a person's, say."""


def log_size(connection: Connection, *, lock: bool = False) -> int:
    """How many entries the log has.

    Args:
        connection: Inside a transaction.
        lock: Keep other writers away until the transaction ends, where BEGIN did not.
    """
    query = select(tables.head.c.size)
    size = connection.execute(query.with_for_update() if lock else query).scalar()
    if size is None:
        raise IntegrityError("the ledger has lost its head row", code="log.corrupt")
    return int(size)


def with_nodes(connection: Connection, calculate: Callable[[HashReader], T]) -> T:
    """What `calculate` makes of stored subtree hashes, which are read in one query.

    It runs twice: to learn what it reads, and with what was read. So which hashes it asks for
    must not depend on their values, as no proof of `ledger.merkle` does.

    Raises:
        IntegrityError: A subtree is missing.
    """
    wanted: set[tuple[int, int]] = set()

    def note(level: int, index: int) -> bytes:
        wanted.add((level, index))
        return bytes(HASH_BYTES)

    calculate(note)
    found = read_nodes(connection, wanted)
    return calculate(lambda level, index: found[level, index])


def read_nodes(
    connection: Connection, wanted: Collection[tuple[int, int]]
) -> dict[tuple[int, int], bytes]:
    """Stored subtree hashes by (level, index).

    Raises:
        IntegrityError: One is missing.
    """
    found = dict[tuple[int, int], bytes]()
    if wanted:
        for level, index, digest in connection.execute(_nodes_at(wanted)):
            found[level, index] = bytes(digest)
    for level, index in sorted(wanted):
        if (level, index) not in found:
            raise IntegrityError(
                f"the ledger has lost the subtree ({level}, {index})",
                code="log.corrupt",
                hint="run `mbd ledger check`",
            )
    return found


def _nodes_at(wanted: Collection[tuple[int, int]]) -> Select[Any]:
    """One look-up per subtree; for a list of pairs SQLite would read the whole table."""
    node, levels = tables.node, dict[int, list[int]]()
    for level, index in sorted(wanted):
        levels.setdefault(level, []).append(index)
    terms = [
        and_(node.c.level == level, node.c.node_index.in_(indices))
        for level, indices in levels.items()
    ]
    return select(node).where(or_(*terms))


def in_pages(
    connection: Connection, query: Select[Any], key: Column[int], rows: int = PAGE
) -> Iterator[Row[Any]]:
    """Rows in the order of `key`, which is indexed, unique and selected; one page in memory."""
    page = query.order_by(key).limit(rows)
    found = connection.execute(page).all()
    while found:
        yield from found
        if len(found) < rows:
            return
        found = connection.execute(page.where(key > found[-1]._mapping[key])).all()


def list_entries(
    connection: Connection, chosen: Filter | None = None, *, limit: int | None = None
) -> list[LogEntry]:
    """The entries that `chosen` lets through, in the order of the log; the first `limit`."""
    entries = iterate_entries(connection, chosen)
    return list(entries if limit is None else itertools.islice(entries, limit))


def iterate_entries(connection: Connection, chosen: Filter | None = None) -> Iterator[LogEntry]:
    """The same one by one, with one page of them in memory."""
    entry, chosen = tables.entry, chosen or Filter()
    query = select(entry).where(*conditions(connection, chosen))
    for row in in_pages(connection, query, entry.c.entry_index):
        yield to_entry(row)


def conditions(connection: Connection, chosen: Filter) -> list[ColumnElement[bool]]:
    """A filter in SQL; every column it compares has an index."""
    entry, found = tables.entry.c, list[ColumnElement[bool]]()
    if chosen.after is not None:
        found.append(entry.entry_index > chosen.after)
    if chosen.before is not None:
        found.append(entry.entry_index < chosen.before)
    if chosen.type is not None:
        found.append(entry.type == chosen.type)
    if chosen.since is not None:
        found.append(entry.time >= chosen.since.isoformat())
    if chosen.until is not None:
        found.append(entry.time < (chosen.until + timedelta(days=1)).isoformat())
    if chosen.guarantee_class is not None:
        found.append(entry.guarantee_class == chosen.guarantee_class)
    if chosen.certificate_id is not None:
        found.append(entry.certificate_id == chosen.certificate_id)
    if chosen.certificate_ids is not None:
        found.append(entry.certificate_id.in_(sorted(chosen.certificate_ids)))
    if chosen.modality is not None:
        listed = [text for text in _modalities(connection) if chosen.modality in text.split("+")]
        found.append(entry.modalities.in_(listed))
    return found


def _modalities(connection: Connection) -> Iterator[str]:
    """Every combination of modalities that an entry lists: few, each found by one index look-up."""
    column = tables.entry.c.modalities
    smallest = select(func.min(column))
    found = connection.execute(smallest).scalar()
    while found is not None:
        yield found
        found = connection.execute(smallest.where(column > found)).scalar()


def find_entry(connection: Connection, reference: str) -> LogEntry:
    """The entry with this index, or the certificate with this id.

    Raises:
        NotFoundError: There is none.
    """
    entry = tables.entry
    query = select(entry)
    if _INDEX.fullmatch(reference) and int(reference) <= MAX_INDEX:
        query = query.where(entry.c.entry_index == int(reference))
    elif is_ulid(reference):
        query = query.where(entry.c.certificate_id == reference, entry.c.type == "certificate")
    else:
        raise NotFoundError(
            f"{reference!r} is neither an index nor a certificate id", code="log.not_found"
        )
    row = connection.execute(query).first()
    if row is None:
        raise NotFoundError(f"the ledger has no entry {reference}", code="log.not_found")
    return to_entry(row)


def body_of(connection: Connection, index: int) -> bytes | None:
    """What the digest of an entry is of; None if it was erased or never stored."""
    body = tables.body
    return connection.execute(select(body.c.content).where(body.c.entry_index == index)).scalar()


def latest_note(connection: Connection, *, above: int = -1) -> str | None:
    """The newest published checkpoint, if its size is larger than `above`."""
    checkpoint = tables.checkpoint
    query = select(checkpoint.c.note).where(checkpoint.c.size > above)
    return connection.execute(query.order_by(checkpoint.c.size.desc()).limit(1)).scalar()


def to_entry(row: Row[Any]) -> LogEntry:
    """A row of the entry table as a value."""
    modalities = row.modalities
    return LogEntry(
        index=row.entry_index,
        type=row.type,
        time=row.time,
        leaf=row.leaf,
        leaf_hash=row.leaf_hash,
        guarantee_class=row.guarantee_class,
        modalities=tuple(modalities.split("+")) if modalities else (),
        certificate_id=row.certificate_id,
    )


def modalities_text(modalities: tuple[str, ...]) -> str | None:
    """How the entry table writes modalities."""
    return availability_name(modalities) or None
