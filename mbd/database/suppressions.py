"""Which modality of whom may not be used any more, whatever arrives.

The list is retained for as long as the service runs, so it holds keyed hashes only. It is a
history: what was lifted stays in it, because a certificate stands on it. A channel that is
revoked again after it was granted takes another turn, with another hash: without the key nobody
sees that two revocations were of one channel.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex
from typing import Any

from sqlalchemy import Connection, Row, Update, delete, insert, select, update

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
        return bool(self.hashes) and any(
            hashed in self.hashes for hashed in self._turns(subject, modality)
        )

    def granted(self, subject: str, modality: str) -> bool:
        """Whether this modality of this subject was revoked, and granted again."""
        if not self.lifted or self.blocks(subject, modality):
            return False
        return _hash(self.key, subject, modality) in self.lifted

    def _turns(self, subject: str, modality: str) -> Iterator[str]:
        """The hashes of a channel, one for each time that it was revoked."""
        for turn in itertools.count():
            hashed = _hash(self.key, subject, modality, turn)
            if hashed not in self.hashes and hashed not in self.lifted:
                return
            yield hashed


def add(
    connection: Connection, key: bytes, subject: str, modality: str, at: datetime, request_id: str
) -> None:
    """Suppress from now on, on behalf of a request; again is fine and keeps the first time."""
    past = _history(connection, key, subject, modality)
    in_force = [row for row in past if row.lifted_at is None]
    if any(row.request_id == request_id for row in in_force):
        return
    hashed = _hash(key, subject, modality, len({row.key_hash for row in past}))
    if in_force:  # another request revokes it too: each keeps it off for itself
        hashed = in_force[0].key_hash
    row = {"key_hash": hashed, "at": timestamp(at), "request_id": request_id}
    connection.execute(insert(suppression).values(row))


def lift(connection: Connection, key: bytes, subject: str, modality: str, at: datetime) -> bool:
    """Let what arrives from now on be used again; False if it is not suppressed."""
    past = _history(connection, key, subject, modality)
    in_force = [row for row in past if row.lifted_at is None]
    for row in in_force:
        connection.execute(_of(row).values(lifted_at=timestamp(at)))
    return bool(in_force)


def reinstate(connection: Connection, key: bytes, subject: str, modality: str) -> None:
    """Undo the last `lift` of a channel that is not suppressed."""
    past = _history(connection, key, subject, modality)
    for row in past:
        if (row.key_hash, row.lifted_at) == (past[-1].key_hash, past[-1].lifted_at):
            connection.execute(_of(row).values(lifted_at=None))


def remove_of(connection: Connection, request_id: str) -> None:
    """Take back what this request suppresses: it was cancelled.

    What was granted again since stays in the history.
    """
    mine = (suppression.c.request_id == request_id, suppression.c.lifted_at.is_(None))
    connection.execute(delete(suppression).where(*mine))


def find(connection: Connection, key: bytes, subject: str, modality: str) -> str | None:
    """A request that keeps this modality of this subject off, if it is off."""
    past = _history(connection, key, subject, modality)
    return next((row.request_id for row in past if row.lifted_at is None), None)


def requests_of(
    connection: Connection, key: bytes, subject: str, modalities: Iterable[str]
) -> frozenset[str]:
    """Every request that one of these channels was suppressed for, in force or lifted since."""
    past = (_history(connection, key, subject, modality) for modality in modalities)
    return frozenset(row.request_id for rows in past for row in rows)


def unlink(connection: Connection, request_ids: Collection[str], to: str, at: datetime) -> None:
    """Let suppressions stand on another request than the one that they came from.

    They are stored anew, as of now: neither time nor place says any more when they came. In
    their old places are random ones, so that nobody sees which requests were unlinked: those of
    one person would be told from all others, and so linked.

    Args:
        connection: Inside a transaction.
        request_ids: Requests that they stand on.
        to: The request that they stand on from now on.
        at: What is said to be the time of each.
    """
    mine = suppression.c.request_id.in_(list(request_ids))
    query = select(suppression.c.key_hash, suppression.c.lifted_at.is_(None)).where(mine)
    in_force: dict[str, bool] = {}
    for hashed, one in connection.execute(query):
        in_force[hashed] = one or in_force.get(hashed, False)
    for row in connection.execute(select(suppression).where(mine)).all():
        connection.execute(_of(row).values(key_hash=token_hex(32)))
    when = timestamp(at)
    rows = [
        {"key_hash": name, "request_id": to, "at": when, "lifted_at": None if one else when}
        for name, one in sorted(in_force.items())
    ]
    if rows:
        connection.execute(insert(suppression), rows)


def requests(connection: Connection) -> frozenset[str]:
    """Every request that something was suppressed for, in force or lifted since."""
    return frozenset(connection.execute(select(suppression.c.request_id)).scalars())


def load(connection: Connection, key: bytes) -> Suppressions:
    """The whole list."""
    found = connection.execute(select(suppression.c.key_hash, suppression.c.lifted_at)).all()
    hashes = frozenset(hashed for hashed, lifted_at in found if lifted_at is None)
    return Suppressions(key, hashes, frozenset(hashed for hashed, _ in found) - hashes)


def load_erased(connection: Connection, key: bytes) -> Suppressions:
    """Those that a request was carried out for: nothing that they block may be stored any more."""
    query = select(suppression.c.key_hash, suppression.c.lifted_at, request.c.stage).join(request)
    found = connection.execute(query).all()
    hashes = frozenset(
        hashed for hashed, lifted_at, stage in found if lifted_at is None and stage in FINISHED
    )
    return Suppressions(key, hashes, frozenset(hashed for hashed, _, _ in found) - hashes)


def _history(connection: Connection, key: bytes, subject: str, modality: str) -> list[Row[Any]]:
    """Every suppression of a channel, the oldest first; those in force are of the last turn."""
    found: list[Row[Any]] = []
    for turn in itertools.count():
        mine = suppression.c.key_hash == _hash(key, subject, modality, turn)
        last = suppression.c.lifted_at.is_(None)
        query = select(suppression).where(mine).order_by(last, suppression.c.lifted_at)
        rows = connection.execute(query).all()
        if not rows:
            return found
        found += rows
    raise AssertionError("counting does not end")


def _of(row: Row[Any]) -> Update:
    mine = (suppression.c.key_hash == row.key_hash, suppression.c.request_id == row.request_id)
    return update(suppression).where(*mine)


def _hash(key: bytes, subject: str, modality: str, turn: int = 0) -> str:
    """Of a channel at its first revocation, or at a later one."""
    later = (str(turn),) if turn else ()
    return keyed_hash(key, _LABEL, subject, modality, *later)
