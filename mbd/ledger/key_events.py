"""What became of keys, told by the log itself: announced, retired, distrusted.

The body of such an entry is canonical JSON. `from` is the first index at which it holds: a
certificate is judged by where in the log it is, not by the time it states.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, cast, get_args

from sqlalchemy import Connection, select

from mbd.canonical.digest import b64decode_strict, b64encode
from mbd.canonical.json import dumps, loads_strict
from mbd.database import tables
from mbd.errors import DataError, IntegrityError, NotFoundError
from mbd.ledger.binding import check_body
from mbd.ledger.entry import parse_entry
from mbd.signing.public import ALGORITHMS, Algorithm, PublicKey, public_key

Role = Literal["issuer", "log"]
EventType = Literal["key-add", "key-retire", "key-revoke"]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)

SCHEMA = "urn:mbd:key-event:v1"
MAX_EVENT_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class KeyEvent:
    """One entry about one key."""

    type: EventType
    role: Role
    key_id: str
    algorithm: Algorithm
    key: PublicKey | None
    """None only in the first entries of old workspaces, which named the id alone."""
    from_index: int
    """First index of the log at which it holds."""
    standby: bool = False
    """key-add: announced, but another key goes on signing."""
    successor: str | None = None
    """key-retire: id of the key that signs from here on."""

    def body(self) -> bytes:
        """What its entry binds."""
        optional = {
            "publicKey": None if self.key is None else b64encode(self.key.der),
            "standby": self.standby or None,
            "successor": self.successor,
        }
        return dumps(
            {
                "schema": SCHEMA,
                "role": self.role,
                "keyId": self.key_id,
                "algorithm": self.algorithm,
                "from": self.from_index,
                **{name: value for name, value in optional.items() if value is not None},
            }
        )


@dataclass(frozen=True, kw_only=True)
class KeyRecord:
    """What the log says of one key, all entries taken together."""

    role: Role
    key_id: str
    algorithm: Algorithm
    key: PublicKey | None
    valid_from: int
    retired_from: int | None = None
    distrusted_from: int | None = None


@dataclass(frozen=True)
class KeyHistory:
    """Every key that the log announced, in order."""

    records: Mapping[str, KeyRecord] = field(default_factory=dict)
    """By key id."""
    issuer: str | None = None
    """Id of the key that signs certificates now."""

    def find(self, reference: str) -> KeyRecord:
        """The key with this id, or with an id that begins like this (8 digits at least).

        Raises:
            NotFoundError: There is none, or more than one.
        """
        wanted = "".join(reference.split()).lower()
        found = [one for name, one in self.records.items() if name.startswith(wanted)]
        if len(wanted) < 8:
            raise NotFoundError(
                f"{reference!r} is too short: want 8 digits of a key id, or more",
                code="key.not_found",
                hint="`mbd key list` shows them",
            )
        if len(found) != 1:
            raise NotFoundError(
                f"the ledger knows no key {reference!r}"
                if len(found) < 2
                else f"{reference!r} is the beginning of more than one key id",
                code="key.not_found",
                hint="`mbd key list` shows them",
            )
        return found[0]

    def issuers(self) -> list[KeyRecord]:
        """The keys for certificates."""
        return [one for one in self.records.values() if one.role == "issuer"]


def added(role: Role, key: PublicKey, index: int, *, standby: bool = False) -> KeyEvent:
    """The entry at `index`, which announces a key."""
    return KeyEvent(
        type="key-add",
        role=role,
        key_id=key.key_id,
        algorithm=key.algorithm,
        key=key,
        from_index=index,
        standby=standby,
    )


def read_history(connection: Connection) -> KeyHistory:
    """What the log says of keys.

    Raises:
        IntegrityError: A body is missing, or not what its leaf binds.
    """
    entry, body = tables.entry, tables.body
    query = (
        select(entry.c.entry_index, entry.c.leaf, body.c.content)
        .join_from(entry, body, entry.c.entry_index == body.c.entry_index, isouter=True)
        .where(entry.c.type.in_(EVENT_TYPES))
        .order_by(entry.c.entry_index)
    )
    rows = connection.execute(query).all()
    return fold(_event(row.entry_index, row.leaf, row.content) for row in rows)


def fold(events: Iterable[KeyEvent]) -> KeyHistory:
    """All events taken together, in the order of the log.

    Raises:
        IntegrityError: An event is about a key that was never announced.
    """
    records: dict[str, KeyRecord] = {}
    issuer: str | None = None
    for event in events:
        if event.type == "key-add":
            records.setdefault(event.key_id, _announced(event))
            if event.role == "issuer" and not event.standby:
                issuer = issuer or event.key_id
            continue
        known = records.get(event.key_id)
        if known is None:
            raise IntegrityError(
                f"the ledger ends key {event.key_id}, which it never announced", code="key.unknown"
            )
        if event.type == "key-revoke":
            earliest = _earlier(known.distrusted_from, event.from_index)
            records[event.key_id] = replace(known, distrusted_from=earliest)
        else:
            earliest = _earlier(known.retired_from, event.from_index)
            records[event.key_id] = replace(known, retired_from=earliest)
            issuer = event.successor or issuer
    return KeyHistory(records, issuer)


def parse_event(kind: EventType, index: int, body: bytes) -> KeyEvent:
    """Read the body of the entry at `index`.

    Raises:
        DataError: It is not that of an event about a key.
    """
    content = loads_strict(body, max_bytes=MAX_EVENT_BYTES, max_depth=2)
    try:
        der = content.get("publicKey")
        key = None if der is None else public_key(b64decode_strict(der))
        event = KeyEvent(
            type=kind,
            role=cast(Role, content["role"]),
            key_id=content["keyId"],
            algorithm=cast(Algorithm, content["algorithm"]),
            key=key,
            from_index=content.get("from", index),
            standby=content.get("standby", False),
            successor=content.get("successor"),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError("the body is about no key", code="entry.body") from error
    if (
        event.role not in get_args(Role)
        or event.algorithm not in ALGORITHMS
        or type(event.from_index) is not int
        or event.from_index < 0
        or (key is not None and (key.key_id, key.algorithm) != (event.key_id, event.algorithm))
    ):
        raise DataError("the body contradicts itself about its key", code="entry.body")
    return event


def _event(index: int, leaf: bytes, body: bytes | None) -> KeyEvent:
    entry = parse_entry(leaf)
    if body is None:
        raise IntegrityError(
            f"ledger entry {index} is about a key, and its body is gone", code="entry.body"
        )
    check_body(entry, body)
    return parse_event(cast(EventType, entry.type), index, body)


def _announced(event: KeyEvent) -> KeyRecord:
    return KeyRecord(
        role=event.role,
        key_id=event.key_id,
        algorithm=event.algorithm,
        key=event.key,
        valid_from=event.from_index,
    )


def _earlier(known: int | None, found: int) -> int:
    return found if known is None else min(known, found)
