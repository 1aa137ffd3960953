"""The text that proves offline that something was logged.

Source: C2SP tlog-proof, "Format" (https://c2sp.org/tlog-proof): every rule here is of that
section, line by line from the first.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from dataclasses import dataclass

from mbd.canonical.digest import b64decode_strict, b64encode
from mbd.errors import DataError, MbdError
from mbd.ledger.merkle import HASH_BYTES

HEADER = "c2sp.org/tlog-proof@v1"
MAX_HASHES = 63
"""Longest inclusion proof of a tree that an int64 can count."""

_INDEX = re.compile(r"index (0|[1-9][0-9]{0,17})")
_EXTRA = "extra "
_HASHES = re.compile(r"([A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=\n)*+")
"""Lines of 32 bytes each, in their one spelling."""


@dataclass(frozen=True)
class TlogProof:
    """Where an entry is, how it leads to a root, and the checkpoint that signs the root."""

    index: int
    hashes: tuple[bytes, ...]
    """Inclusion proof, 32 bytes each, sibling of the leaf first (RFC 6962, section 2.1.1)."""
    checkpoint: str
    """The signed note, verbatim."""
    extra: bytes | None = None
    """Opaque and unauthenticated: never trust it."""

    @property
    def text(self) -> str:
        """The proof as it is stored and sent."""
        extra = [] if self.extra is None else [_EXTRA + b64encode(self.extra)]
        hashes = [b64encode(digest) for digest in self.hashes]
        head = "\n".join([HEADER, *extra, f"index {self.index}", *hashes])
        return f"{head}\n\n{self.checkpoint}"


def parse_tlog_proof(text: str) -> TlogProof:
    """Read a proof; nothing in it is checked against a key or a root yet.

    Raises:
        DataError: It is not a proof, or holds more than one reading.
    """
    head, separator, checkpoint = text.partition("\n\n")
    lines = head.split("\n")
    if not separator or lines.pop(0) != HEADER:
        raise _malformed(f"want {HEADER!r}, lines, a blank line and a checkpoint")
    extra = _parse_extra(lines.pop(0)) if lines and lines[0].startswith(_EXTRA) else None
    found = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if found is None:
        raise _malformed("want 'index N', a plain decimal")
    if len(lines) > MAX_HASHES:
        raise _malformed(f"more than {MAX_HASHES} hashes")
    return TlogProof(int(found[1]), _parse_hashes(lines), checkpoint, extra)


def _parse_extra(line: str) -> bytes:
    content = _base64(line.removeprefix(_EXTRA))
    if not content:
        raise _malformed("an empty 'extra' line is left out")
    return content


def _parse_hashes(lines: list[str]) -> tuple[bytes, ...]:
    if _HASHES.fullmatch("\n".join([*lines, ""])):  # all at once, quickly
        return tuple(map(a2b_base64, lines))
    return tuple(map(_parse_hash, lines))


def _parse_hash(line: str) -> bytes:
    digest = _base64(line)
    if len(digest) != HASH_BYTES:
        raise _malformed(f"a hash has {HASH_BYTES} bytes, one per line")
    return digest


def _base64(text: str) -> bytes:
    try:
        return b64decode_strict(text)
    except MbdError as error:
        raise _malformed(error.message) from error


def _malformed(detail: str) -> DataError:
    return DataError(f"log proof: {detail}", code="tlog_proof.malformed")
