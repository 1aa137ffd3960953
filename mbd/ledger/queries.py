"""Reading the log: who may look sees types, times, classes, modalities and hashes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select

from mbd.canonical.ulid import is_ulid
from mbd.database import tables
from mbd.errors import IntegrityError, NotFoundError
from mbd.ledger.merkle import HashReader
from mbd.values import availability_name

_INDEX = re.compile(r"0|[1-9][0-9]{0,17}")


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

    since: date | None = None
    """First day, UTC."""
    until: date | None = None
    """Last day, UTC, included."""
    modality: str | None = None
    guarantee_class: str | None = None
    certificate_id: str | None = None


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


def node_reader(connection: Connection) -> HashReader:
    """Read stored subtree hashes one by one; IntegrityError where one is missing."""
    node = tables.node

    def read(level: int, index: int) -> bytes:
        query = select(node.c.hash).where(node.c.level == level, node.c.node_index == index)
        found = connection.execute(query).scalar()
        if found is None:
            raise IntegrityError(
                f"the ledger has lost the subtree ({level}, {index})",
                code="log.corrupt",
                hint="run `mbd ledger check`",
            )
        return bytes(found)

    return read


def list_entries(connection: Connection, chosen: Filter | None = None) -> list[LogEntry]:
    """The entries that `chosen` lets through, in the order of the log."""
    entry, chosen = tables.entry, chosen or Filter()
    query = select(entry).order_by(entry.c.entry_index)
    if chosen.since is not None:
        query = query.where(entry.c.time >= chosen.since.isoformat())
    if chosen.until is not None:
        query = query.where(entry.c.time < (chosen.until + timedelta(days=1)).isoformat())
    if chosen.guarantee_class is not None:
        query = query.where(entry.c.guarantee_class == chosen.guarantee_class)
    if chosen.certificate_id is not None:
        query = query.where(entry.c.certificate_id == chosen.certificate_id)
    found = [to_entry(row) for row in connection.execute(query)]
    if chosen.modality is None:
        return found
    return [one for one in found if chosen.modality in one.modalities]


def find_entry(connection: Connection, reference: str) -> LogEntry:
    """The entry with this index, or the certificate with this id.

    Raises:
        NotFoundError: There is none.
    """
    entry = tables.entry
    query = select(entry)
    if _INDEX.fullmatch(reference):
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
