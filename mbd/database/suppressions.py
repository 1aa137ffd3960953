"""Which modality of whom may not be used any more, whatever arrives.

The list is retained for as long as the service runs, so it holds keyed hashes only.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.sqlite import insert

from mbd.canonical.times import timestamp
from mbd.database.tables import suppression

_LABEL = "suppression"


def keyed_hash(key: bytes, *parts: str) -> str:
    """HMAC-SHA256 (hex) of the parts, each behind its length, so that none can flow over.

    Source: RFC 2104; the length is eight bytes, big-endian, of the UTF-8 form.
    """
    code = hmac.new(key, digestmod=hashlib.sha256)
    for part in parts:
        content = part.encode()
        code.update(len(content).to_bytes(8, "big") + content)
    return code.hexdigest()


@dataclass(frozen=True)
class Suppressions:
    """The list at one moment; asking needs no database."""

    key: bytes
    hashes: frozenset[str]

    def blocks(self, subject: str, modality: str) -> bool:
        """Whether this modality of this subject must be treated as absent."""
        return bool(self.hashes) and _hash(self.key, subject, modality) in self.hashes


def add(
    connection: Connection, key: bytes, subject: str, modality: str, at: datetime, request_id: str
) -> None:
    """Suppress from now on; again is fine and keeps the first time and request."""
    hashed = _hash(key, subject, modality)
    row = {"key_hash": hashed, "at": timestamp(at), "request_id": request_id}
    connection.execute(insert(suppression).values(row).on_conflict_do_nothing())


def remove_of(connection: Connection, request_id: str) -> None:
    """Lift what this request suppressed: it was cancelled."""
    connection.execute(delete(suppression).where(suppression.c.request_id == request_id))


def find(connection: Connection, key: bytes, subject: str, modality: str) -> str | None:
    """The request that suppressed this modality of this subject, if one did."""
    hashed = _hash(key, subject, modality)
    query = select(suppression.c.request_id).where(suppression.c.key_hash == hashed)
    return connection.execute(query).scalar()


def requests(connection: Connection) -> frozenset[str]:
    """Every request that something is suppressed for."""
    return frozenset(connection.execute(select(suppression.c.request_id)).scalars())


def load(connection: Connection, key: bytes) -> Suppressions:
    """The whole list."""
    hashes = connection.execute(select(suppression.c.key_hash)).scalars()
    return Suppressions(key, frozenset(hashes))


def _hash(key: bytes, subject: str, modality: str) -> str:
    return keyed_hash(key, _LABEL, subject, modality)
