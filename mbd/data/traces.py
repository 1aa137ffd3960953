"""Fingerprints of erased values: they find a value again, and show it to nobody.

A trace of a piece (see `pieces`) is a polynomial hash modulo 2**64 under a random odd base
and 16 bytes of SHA-256 over a random salt and the piece. The first can be had for every
offset of a file at once: with prefix sums P of byte * base**offset, the piece at o hashes to
(P[o + length] - P[o]) / base**o (Karp & Rabin 1987, without a modulus to choose). The second
confirms. Whoever holds traces can test a guess of all bytes of a piece, and do no more.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

from mbd.canonical.digest import b64decode_strict, b64encode
from mbd.data.needles import Needles
from mbd.data.pieces import LENGTHS
from mbd.errors import DataError

VALUE_KINDS = ("features", "prepared rows")
"""Kinds of needles that are traced; the others are in a receipt as they are."""

LIMIT = 1 << 16
"""Pieces traced at most: about 2 MB of receipt."""

_HASH_BYTES, _DIGEST_BYTES = 8, 16
_ENTRY_BYTES = _HASH_BYTES + _DIGEST_BYTES
_BLOCK = 1 << 14  # offsets hashed at once: what stays in the processor's cache
_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd; spreads a hash over its upper bits

U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class TraceGroup:
    """The traces of one kind and length."""

    kind: str
    length: int
    entries: bytes
    """24 bytes each: hash (little-endian), then digest."""

    def __post_init__(self) -> None:
        if len(self.entries) % _ENTRY_BYTES or self.length not in LENGTHS:
            raise DataError(f"traces of {self.length} bytes are torn", field="traces")

    def __len__(self) -> int:
        return len(self.entries) // _ENTRY_BYTES


@dataclass(frozen=True)
class Traces:
    """What a later scan looks for."""

    base: int
    """Odd, below 2**64."""
    salt: bytes
    groups: tuple[TraceGroup, ...]
    left_out: int
    """Pieces beyond `LIMIT`: not traced, evenly spread over those that are."""

    def __post_init__(self) -> None:
        if self.base % 2 == 0 or not 0 < self.base < 1 << 64:
            raise DataError("the base of traces is not odd", field="traces.base")

    def __len__(self) -> int:
        return sum(len(group) for group in self.groups)

    def to_json(self) -> dict[str, Any]:
        """As a receipt holds it."""
        return {
            "base": f"{self.base:016x}",
            "salt": self.salt.hex(),
            "groups": [
                {"kind": one.kind, "length": one.length, "entries": b64encode(one.entries)}
                for one in self.groups
            ],
            "leftOut": self.left_out,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Traces:
        """Inverse of `to_json`.

        Raises:
            DataError: A group is torn or the base is even.
        """
        groups = (
            TraceGroup(one["kind"], one["length"], b64decode_strict(one["entries"]))
            for one in value["groups"]
        )
        salt = bytes.fromhex(value["salt"])
        return Traces(int(value["base"], 16), salt, tuple(groups), value["leftOut"])


def make_traces(needles: Needles, limit: int = LIMIT) -> Traces:
    """Trace the pieces of erased values, at most `limit` of them."""
    base, salt = secrets.randbits(64) | 1, secrets.token_bytes(32)
    pieces = [
        (kind, piece)
        for kind in VALUE_KINDS
        for piece in dict.fromkeys(needles.by_kind.get(kind, ()))
    ]
    stride = max(1, -(-len(pieces) // limit))
    kept = pieces[::stride]
    grouped: dict[tuple[str, int], list[bytes]] = {}
    for kind, piece in kept:
        grouped.setdefault((kind, len(piece)), []).append(piece)
    groups = (
        TraceGroup(kind, length, _entries(found, base, salt))
        for (kind, length), found in grouped.items()
    )
    return Traces(base, salt, tuple(groups), len(pieces) - len(kept))


def _entries(pieces: list[bytes], base: int, salt: bytes) -> bytes:
    """Traces of pieces of one length."""
    content = np.frombuffer(b"".join(pieces), np.uint8).reshape(len(pieces), -1)
    hashes = (content * _powers(base, content.shape[1])).sum(axis=1, dtype=np.uint64)
    return b"".join(
        hashed.tobytes() + _digest(salt, piece)
        for hashed, piece in zip(hashes.astype("<u8"), pieces, strict=True)
    )


class TraceIndex:
    """Finds traced pieces at every offset of a byte string."""

    def __init__(self, traces: Traces) -> None:
        longest = max(LENGTHS)
        self._salt = traces.salt
        self._powers = _powers(traces.base, _BLOCK + longest)
        self._shifted = _powers(pow(traces.base, -1, 1 << 64), _BLOCK) * _MIX
        self._sums = np.zeros(_BLOCK + longest + 1, np.uint64)
        self._keys = np.empty(_BLOCK, np.uint64)
        self._tables = [
            _Table.of([one for one in traces.groups if one.length == length])
            for length in sorted({one.length for one in traces.groups})
        ]

    def hits(self, content: bytes | memoryview) -> Iterator[tuple[str, int]]:
        """(kind, offset) of every traced piece that `content` holds."""
        view = memoryview(content).cast("B")
        for start in range(0, len(view), _BLOCK):
            block = view[start : start + _BLOCK + max(LENGTHS) - 1]
            for kind, offset in self._block_hits(block):
                yield kind, start + offset

    def _block_hits(self, block: memoryview) -> Iterator[tuple[str, int]]:
        size = len(block)
        sums = self._sums[: size + 1]
        np.multiply(np.frombuffer(block, np.uint8), self._powers[:size], out=sums[1:])
        np.cumsum(sums[1:], out=sums[1:])
        for table in self._tables:
            count = min(_BLOCK, size - table.length + 1)
            if count < 1:
                continue
            keys = self._keys[:count]
            np.subtract(sums[table.length : table.length + count], sums[:count], out=keys)
            np.multiply(keys, self._shifted[:count], out=keys)
            for offset in table.likely(keys).tolist():
                piece = block[offset : offset + table.length]
                kind = table.kinds.get(_digest(self._salt, piece))
                if kind is not None:
                    yield kind, offset


@dataclass(frozen=True)
class _Table:
    """The traces of one length, ready to be looked up."""

    length: int
    keys: U64
    """Mixed hashes, ascending."""
    kinds: dict[bytes, str]
    """Digest -> kind."""
    shift: np.uint64
    filter: npt.NDArray[np.bool_]
    """Whether a key begins with these bits."""

    @staticmethod
    def of(groups: list[TraceGroup]) -> _Table:
        kinds: dict[bytes, str] = {}
        hashes = []
        for group in groups:
            entries = np.frombuffer(group.entries, np.uint8).reshape(-1, _ENTRY_BYTES)
            hashes.append(np.ascontiguousarray(entries[:, :_HASH_BYTES]).view("<u8").ravel())
            kinds |= {entry[_HASH_BYTES:].tobytes(): group.kind for entry in entries}
        keys = np.unique(np.concatenate(hashes).astype(np.uint64) * _MIX)
        bits = max(16, len(keys).bit_length() + 5)  # about one offset in 32 or more passes
        shift = np.uint64(64 - bits)
        found = np.zeros(1 << bits, dtype=bool)
        found[(keys >> shift).astype(np.intp)] = True
        return _Table(groups[0].length, keys, kinds, shift, found)

    def likely(self, keys: U64) -> npt.NDArray[np.intp]:
        """Offsets of the keys that are in the table."""
        passed = np.flatnonzero(self.filter.take((keys >> self.shift).view(np.int64)))
        wanted = keys[passed]
        places = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        found: npt.NDArray[np.intp] = passed[self.keys[places] == wanted]
        return found


def _powers(base: int, count: int) -> U64:
    """base**0 .. base**(count - 1) modulo 2**64."""
    factors = np.full(count, base, np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)


def _digest(salt: bytes, piece: bytes | memoryview) -> bytes:
    return sha256(salt + bytes(piece)).digest()[:_DIGEST_BYTES]
