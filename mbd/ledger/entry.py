"""What a leaf of the log holds: hashes, a type and a time, so that bodies can be erased.

The leaf is canonical JSON `{"digest", "signatures", "time", "type"}`. An entry that was signed
binds SHA-256 of the bytes that were signed (DSSE's PAE) and of each signature; one that was
not binds SHA-256 of its body.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast, get_args

from mbd.canonical.digest import sha256_hex
from mbd.canonical.json import dumps, loads_and_compare
from mbd.canonical.times import from_timestamp, timestamp
from mbd.canonical.tree import leaf_hash
from mbd.errors import DataError

EntryType = Literal[
    "policy",
    "certificate",
    "attempt",
    "key-add",
    "key-retire",
    "key-revoke",
    "supersede",
    "cancel",
    "growth",
    "consent",
    "erasure",
]
ENTRY_TYPES: tuple[EntryType, ...] = get_args(EntryType)

MAX_LEAF_BYTES = 4096
MAX_SIGNATURES = 16

_HEX_DIGEST = re.compile(r"[0-9a-f]{64}")
_FIELDS = {"digest", "signatures", "time", "type"}


@dataclass(frozen=True)
class Entry:
    """One leaf of the log."""

    type: EntryType
    time: str
    """When it was appended, UTC, `YYYY-MM-DDThh:mm:ssZ`."""
    digest: str
    """SHA-256 (hex) of the signed bytes, or of the body of an unsigned entry."""
    signatures: tuple[str, ...] = ()
    """SHA-256 (hex) of each signature, in the order of the envelope."""

    def __post_init__(self) -> None:
        if self.type not in ENTRY_TYPES:
            raise _invalid("type", self.type)
        from_timestamp(self.time)
        if len(self.signatures) > MAX_SIGNATURES:
            raise _invalid("signatures", f"{len(self.signatures)} of them")
        for digest in (self.digest, *self.signatures):
            if not _HEX_DIGEST.fullmatch(digest):
                raise _invalid("digest", digest)

    def leaf_bytes(self) -> bytes:
        """The content of the leaf."""
        return dumps(
            {
                "digest": self.digest,
                "signatures": list(self.signatures),
                "time": self.time,
                "type": self.type,
            }
        )

    def leaf_hash(self) -> bytes:
        """The hash of the leaf in the tree: SHA-256(0x00 || leaf), RFC 6962, section 2.1."""
        return leaf_hash(self.leaf_bytes())


def unsigned_entry(kind: EntryType, now: datetime, body: bytes) -> Entry:
    """The entry of a body that nobody signed."""
    return Entry(kind, timestamp(now), sha256_hex(body))


def signed_entry(
    kind: EntryType, now: datetime, signed_bytes: bytes, signatures: Sequence[bytes]
) -> Entry:
    """The entry of an envelope: `signed_bytes` is the PAE that the signatures are over."""
    if not signatures:
        raise DataError("a signed entry needs a signature", code="entry.invalid")
    hashes = tuple(hashlib.sha256(signature).hexdigest() for signature in signatures)
    return Entry(kind, timestamp(now), sha256_hex(signed_bytes), hashes)


def parse_entry(leaf: bytes) -> Entry:
    """Read the content of a leaf; only the canonical bytes are accepted.

    Raises:
        DataError: It is not the leaf of any entry.
    """
    content, canonical = loads_and_compare(leaf, max_bytes=MAX_LEAF_BYTES, max_depth=3)
    if not isinstance(content, dict) or content.keys() != _FIELDS:
        raise _invalid("fields", content)
    signatures = content["signatures"]
    texts = [content["type"], content["time"], content["digest"]]
    if not isinstance(signatures, list) or not all(isinstance(t, str) for t in texts + signatures):
        raise _invalid("fields", content)
    entry = Entry(
        cast(EntryType, content["type"]), content["time"], content["digest"], tuple(signatures)
    )
    if not canonical:  # `leaf_bytes` would write `content` again
        raise DataError("log entry: the bytes are not canonical", code="entry.invalid")
    return entry


def _invalid(field: str, value: object) -> DataError:
    return DataError(
        f"log entry: {field} {str(value)[:80]!r} is not valid", code="entry.invalid", field=field
    )
