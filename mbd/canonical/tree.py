"""The Merkle tree of RFC 6962 section 2.1, over SHA-256.

A leaf and a node hash under different prefixes, so neither can pose as the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || data), 32 bytes."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right), 32 bytes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def empty_root() -> bytes:
    """Root of the tree without leaves: SHA-256 of nothing."""
    return hashlib.sha256(b"").digest()


def tree_root(leaf_hashes: Sequence[bytes]) -> bytes:
    """Merkle tree hash of leaves in order, from their leaf hashes.

    RFC 6962 splits at the largest power of two below n. Pairing neighbours level by level,
    with a last odd one carried up as it is, gives the same tree.
    """
    if not leaf_hashes:
        return empty_root()
    level = list(leaf_hashes)
    while len(level) > 1:
        carried = level[-1:] if len(level) % 2 else []
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [node_hash(left, right) for left, right in pairs] + carried
    return level[0]
