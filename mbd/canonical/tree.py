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
    return _levels(leaf_hashes)[-1][0] if leaf_hashes else empty_root()


def tree_proofs(leaf_hashes: Sequence[bytes]) -> list[list[bytes]]:
    """PATH(index, D[n]) of every leaf, RFC 6962 section 2.1.1: sibling of the leaf first.

    A node that is carried up alone has no sibling at that level.
    """
    levels = _levels(leaf_hashes)[:-1] if leaf_hashes else []
    return [
        [
            level[(index >> height) ^ 1]
            for height, level in enumerate(levels)
            if (index >> height) ^ 1 < len(level)
        ]
        for index in range(len(leaf_hashes))
    ]


def root_from_proof(leaf: bytes, place: int, size: int, proof: Sequence[bytes]) -> bytes:
    """Root of the tree of this size in which the leaf hash lies there, see `tree_proofs`."""
    digest, siblings = leaf, iter(proof)
    while size > 1:
        if place ^ 1 < size:
            sibling = next(siblings)
            digest = node_hash(sibling, digest) if place % 2 else node_hash(digest, sibling)
        place, size = place >> 1, (size + 1) >> 1
    return digest


def _levels(leaf_hashes: Sequence[bytes]) -> list[list[bytes]]:
    """All levels of a tree that has leaves, from these to the root."""
    levels = [list(leaf_hashes)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        carried = below[-1:] if len(below) % 2 else []
        pairs = zip(below[::2], below[1::2], strict=False)
        levels.append([node_hash(left, right) for left, right in pairs] + carried)
    return levels
