"""Which modality of whom may not be used any more, whatever arrives.

The list is retained for as long as the service runs, so it holds keyed hashes only. It is a
history: what was lifted stays in it, because a certificate stands on it.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from mbd.canonical.times import timestamp
from mbd.database.journal import FINISHED
from mbd.database.tables import request, suppression

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
    lifted: frozenset[str] = frozenset()
    """What was suppressed once, and may be used again if it arrived since."""

    def blocks(self, subject: str, modality: str) -> bool:
        """Whether this modality of this subject must be treated as absent."""
        return bool(self.hashes) and _hash(self.key, subject, modality) in self.hashes

    def granted(self, subject: str, modality: str) -> bool:
        """Whether this modality of this subject was revoked, and granted again."""
        return bool(self.lifted) and _hash(self.key, subject, modality) in self.lifted


def add(
    connection: Connection, key: bytes, subject: str, modality: str, at: datetime, request_id: str
) -> None:
    """Suppress from now on; again is fine and keeps the first time and request."""
    if find(connection, key, subject, modality) is not None:
        return
    hashed = _hash(key, subject, modality)
    row = {"key_hash": hashed, "at": timestamp(at), "request_id": request_id}
    connection.execute(insert(suppression).values(row))


def lift(connection: Connection, key: bytes, subject: str, modality: str, at: datetime) -> bool:
    """Let what arrives from now on be used again; False if it is not suppressed."""
    statement = update(suppression).where(*_in_force(key, subject, modality))
    changed = connection.execute(statement.values(lifted_at=timestamp(at)))
    return bool(changed.rowcount)


def reinstate(connection: Connection, key: bytes, subject: str, modality: str) -> None:
    """Undo the last `lift` of a channel that is not suppressed."""
    mine = suppression.c.key_hash == _hash(key, subject, modality)
    last = select(func.max(suppression.c.lifted_at)).where(mine).scalar_subquery()
    statement = update(suppression).where(mine, suppression.c.lifted_at == last)
    connection.execute(statement.values(lifted_at=None))


def remove_of(connection: Connection, request_id: str) -> None:
    """Take back what this request suppressed: it was cancelled."""
    connection.execute(delete(suppression).where(suppression.c.request_id == request_id))


def find(connection: Connection, key: bytes, subject: str, modality: str) -> str | None:
    """The request that suppressed this modality of this subject, if it is suppressed."""
    query = select(suppression.c.request_id).where(*_in_force(key, subject, modality))
    return connection.execute(query).scalar()


def requests(connection: Connection) -> frozenset[str]:
    """Every request that something was suppressed for, in force or lifted since."""
    return frozenset(connection.execute(select(suppression.c.request_id)).scalars())


def load(connection: Connection, key: bytes) -> Suppressions:
    """The whole list."""
    found = connection.execute(select(suppression.c.key_hash, suppression.c.lifted_at)).all()
    hashes = frozenset(hashed for hashed, lifted_at in found if lifted_at is None)
    return Suppressions(key, hashes, frozenset(hashed for hashed, _ in found) - hashes)


def load_erased(connection: Connection, key: bytes) -> Suppressions:
    """Those whose request was carried out: nothing that they block may be stored any more."""
    query = (
        select(suppression.c.key_hash)
        .join(request)
        .where(suppression.c.lifted_at.is_(None), request.c.stage.in_(FINISHED))
    )
    return Suppressions(key, frozenset(connection.execute(query).scalars()))


def _in_force(key: bytes, subject: str, modality: str) -> tuple[ColumnElement[bool], ...]:
    hashed = _hash(key, subject, modality)
    return (suppression.c.key_hash == hashed, suppression.c.lifted_at.is_(None))


def _hash(key: bytes, subject: str, modality: str) -> str:
    return keyed_hash(key, _LABEL, subject, modality)
