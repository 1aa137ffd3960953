"""Bodies of entries: what a leaf holds the digest of. Without them the tree still verifies.

The body of a certificate is stored sealed, under a key of its own that lies elsewhere
(`secrets.db`). Who destroys the key has erased the body from every copy of the ledger. All other
bodies are stored as they are: policies and keys are public, and the rest holds commitments.

Sealed form: `HEADER`, 12 bytes of nonce, then AES-256-GCM (NIST SP 800-38D) of the body. The
associated data binds index and leaf, so a sealed body opens in its own place only. A plain body
is told apart by its first bytes: none may begin like `HEADER`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, delete, select

from mbd.database.secrets import SECRET_BYTES, Secrets
from mbd.database.tables import body, entry
from mbd.errors import DataError, IntegrityError
from mbd.ledger.entry import EntryType

HEADER = b"mbd-sealed-body-1\n"
SEALED: frozenset[EntryType] = frozenset({"certificate", "supersede"})
"""Types whose bodies are about one person."""

KeyOf = Callable[[int], bytes | None]
"""Key of the body of an entry, by its index; None if it is not here."""

_NONCE_BYTES = 12
_PURPOSE = b"urn:mbd:sealed-body:v1\n"
_PAGE = 1024


@dataclass(frozen=True)
class Vault:
    """Where the keys of bodies are; opened when it is first needed."""

    path: Path

    @cached_property
    def secrets(self) -> Secrets:
        """The database of secrets.

        Raises:
            NotFoundError: It is not there.
        """
        return Secrets.open(self.path)

    def seal_all(self, bodies: Mapping[int, tuple[bytes, bytes]]) -> dict[int, bytes]:
        """Seal bodies under new keys, which are kept before this returns.

        Args:
            bodies: Leaf and body, by entry index. If their entries are not appended after
                all, the next ones at the same places replace the keys.

        Returns:
            What to store, by entry index.
        """
        keys = {index: secrets.token_bytes(SECRET_BYTES) for index in bodies}
        if keys:
            self.secrets.put_body_keys(keys)
        return {i: seal(i, leaf, content, keys[i]) for i, (leaf, content) in bodies.items()}

    def reader(self) -> KeyOf:
        """A function that looks keys up, some at a time: quick for whoever goes through the log.

        Where there is no database of secrets, there are no keys.
        """
        pages: dict[int, dict[int, bytes]] = {}

        def key_of(index: int) -> bytes | None:
            page = index // _PAGE
            if page not in pages:
                pages.clear()
                pages[page] = self._keys(page * _PAGE, (page + 1) * _PAGE - 1)
            return pages[page].get(index)

        return key_of

    def _keys(self, first: int, last: int) -> dict[int, bytes]:
        return self.secrets.body_keys(first, last) if self.path.is_file() else {}


def no_keys(index: int) -> bytes | None:
    """For those who have a copy of the ledger and nothing else."""
    return None


def seal(index: int, leaf: bytes, content: bytes, key: bytes) -> bytes:
    """The sealed form of a body.

    Args:
        index: Of its entry.
        leaf: The content of its leaf.
        content: The body.
        key: 32 bytes, used for nothing else.
    """
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return HEADER + nonce + AESGCM(key).encrypt(nonce, content, _bound(index, leaf))


def is_sealed(stored: bytes) -> bool:
    """Whether a stored body can be read with its key only."""
    return stored.startswith(HEADER)


def refuse_ambiguous(content: bytes) -> None:
    """Refuse a body that could not be told from a sealed one.

    Raises:
        DataError: It begins like one.
    """
    if is_sealed(content):
        raise DataError("no body may begin like a sealed one", code="entry.body")


def open_body(index: int, leaf: bytes, stored: bytes, key_of: KeyOf) -> bytes | None:
    """A body as it was appended; None if it is sealed and its key is not here.

    Raises:
        IntegrityError: It was altered, moved, or sealed under another key.
    """
    if not is_sealed(stored):
        return stored
    key = key_of(index)
    if key is None:
        return None
    nonce = stored[len(HEADER) : len(HEADER) + _NONCE_BYTES]
    try:
        sealed = stored[len(HEADER) + _NONCE_BYTES :]
        return AESGCM(key).decrypt(nonce, sealed, _bound(index, leaf))
    except (InvalidTag, ValueError) as error:
        raise IntegrityError(
            "the sealed body does not open with its key: it was altered", code="entry.body"
        ) from error


def read_body(connection: Connection, index: int, key_of: KeyOf) -> bytes | None:
    """The body of an entry; None if it was erased, never stored, or its key is not here.

    Raises:
        IntegrityError: It was altered.
    """
    return dict(read_bodies(connection, [index], key_of))[index]


def read_bodies(
    connection: Connection, indices: Iterable[int], key_of: KeyOf
) -> Iterable[tuple[int, bytes | None]]:
    """The same for several entries, one after the other."""
    query = select(entry.c.leaf, body.c.content).outerjoin_from(entry, body)
    for index in indices:
        row = connection.execute(query.where(entry.c.entry_index == index)).first()
        if row is None or row.content is None:
            yield index, None
        else:
            yield index, open_body(index, bytes(row.leaf), bytes(row.content), key_of)


def has_body(connection: Connection, index: int) -> bool:
    """Whether a body is stored, readable or not."""
    query = select(body.c.entry_index).where(body.c.entry_index == index)
    return connection.execute(query).first() is not None


def erase_body(connection: Connection, index: int) -> None:
    """Erase a stored body; its leaf, with the digest, stays. The key is the caller's to destroy."""
    connection.execute(delete(body).where(body.c.entry_index == index))


def erase_policies(connection: Connection, *, keep: int) -> None:
    """Erase the body of every policy but one; their leaves, with the digests, stay.

    A policy holds numbers that were computed from people: means of features, say. Where two
    of them differ by one person, they show that person.

    Args:
        connection: Inside a transaction.
        keep: Index of the policy that is in force.
    """
    policies = select(entry.c.entry_index).where(entry.c.type == "policy")
    connection.execute(
        delete(body).where(body.c.entry_index.in_(policies), body.c.entry_index != keep)
    )


def _bound(index: int, leaf: bytes) -> bytes:
    """What a sealed body belongs to: purpose, index (8 bytes, big-endian), leaf."""
    return _PURPOSE + index.to_bytes(8, "big") + leaf
