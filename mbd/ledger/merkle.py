"""Merkle tree proofs: made from stored subtree hashes, checked from nothing but hashes.

The tree is that of RFC 6962, section 2.1 (RFC 9162, section 2.1.1). A log stores the hash of
every complete subtree: `read(level, index)` is the hash of the 2**level leaves that start at
leaf index * 2**level. Every proof needs O(log size) of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mbd.canonical.tree import empty_root, node_hash
from mbd.errors import DataError, IntegrityError

HASH_BYTES = 32

HashReader = Callable[[int, int], bytes]
"""(level, index) of a complete subtree -> its hash, 32 bytes."""

Node = tuple[int, int, bytes]
"""(level, index, hash) of a complete subtree."""


def completed_nodes(index: int, leaf: bytes, read: HashReader) -> list[Node]:
    """The complete subtrees that appear when leaf number `index` (a leaf hash) is appended.

    The leaf itself is (0, index); each odd position completes its parent.
    """
    nodes: list[Node] = [(0, index, leaf)]
    level, position, digest = 0, index, leaf
    while position % 2 == 1:
        digest = node_hash(read(level, position - 1), digest)
        level, position = level + 1, position // 2
        nodes.append((level, position, digest))
    return nodes


class RightEdge:
    """The complete subtrees that make up a tree, at most one per level: all it needs to grow.

    They are the terms of MTH(D[size]) that the split of RFC 6962, section 2.1, ends in: one of
    2**level leaves for every bit of `size`, largest first.
    """

    def __init__(self, read: HashReader, size: int) -> None:
        self.size = size
        levels = [level for level in range(size.bit_length()) if size >> level & 1]
        self._peaks = {level: read(level, (size >> level) - 1) for level in levels}

    def append(self, leaf: bytes) -> list[Node]:
        """Grow by a leaf (its hash); the complete subtrees that appear."""
        nodes = completed_nodes(self.size, leaf, lambda level, _: self._peaks.pop(level))
        level, _, digest = nodes[-1]
        self._peaks[level] = digest
        self.size += 1
        return nodes

    def root(self) -> bytes:
        """MTH(D[size])."""
        if not self._peaks:
            return empty_root()
        smallest, *larger = sorted(self._peaks)
        digest = self._peaks[smallest]
        for level in larger:
            digest = node_hash(self._peaks[level], digest)
        return digest


def root_of(read: HashReader, size: int) -> bytes:
    """Tree head of the first `size` leaves: MTH(D[size]), RFC 6962, section 2.1."""
    return _subtree(read, 0, size) if size else empty_root()


def inclusion_proof(read: HashReader, index: int, size: int) -> list[bytes]:
    """PATH(index, D[size]), RFC 6962, section 2.1.1: sibling of the leaf first.

    Raises:
        DataError: `index` is not in a tree of this size.
    """
    if not 0 <= index < size:
        raise DataError(f"leaf {index} is not in a tree of {size}", code="merkle.range")
    return _path(read, index, 0, size)


def consistency_proof(read: HashReader, old_size: int, new_size: int) -> list[bytes]:
    """PROOF(old_size, D[new_size]), RFC 6962, section 2.1.2; empty for equal or empty trees.

    Raises:
        DataError: The old tree is larger than the new one.
    """
    if not 0 <= old_size <= new_size:
        raise DataError(f"no proof from size {old_size} to size {new_size}", code="merkle.range")
    if old_size in (0, new_size):
        return []
    return _subproof(read, old_size, 0, new_size, is_old_root=True)


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that the leaf hash is number `index` of the tree with this size and root.

    Raises:
        IntegrityError: It is not, or the proof has another shape.

    Source: RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size:
        raise _refused("inclusion", f"leaf {index} is not in a tree of {size}")
    _check_hashes("inclusion", [leaf, root, *proof])
    position, last, digest = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise _refused("inclusion", "the proof has too many hashes")
        if position % 2 == 1 or position == last:
            digest = node_hash(sibling, digest)
            position, last = _skip_right_edge(position, last)
        else:
            digest = node_hash(digest, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise _refused("inclusion", "the proof has too few hashes")
    if digest != root:
        raise _refused("inclusion", f"leaf {index} does not lead to the root of size {size}")


def earlier_root(index: int, size: int, proof: Sequence[bytes], old_size: int) -> bytes | None:
    """The root of the first `old_size` leaves, if an inclusion proof that holds gives it away.

    The left siblings on the way up from leaf `index` are the complete subtrees that make up
    the leaves before it, the last one first; a prefix of them is a tree of its own.

    Args:
        index, size, proof: What `verify_inclusion` accepted.
        old_size: At most `index`.
    """
    if old_size == 0:
        return empty_root()
    if index ^ old_size >= old_size & -old_size:  # not the largest of the subtrees before it
        return None
    lefts: list[bytes] = []
    position, last = index, size - 1
    for sibling in proof:
        if position % 2 == 1 or position == last:
            lefts.append(sibling)
            position, last = _skip_right_edge(position, last)
        position, last = position >> 1, last >> 1
    digest, *larger = lefts[-old_size.bit_count() :]
    for left in larger:
        digest = node_hash(left, digest)
    return digest


def verify_consistency(
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the tree of `old_size` is a prefix of the tree of `new_size`.

    Raises:
        IntegrityError: It is not, or the proof has another shape.

    Source: RFC 9162, section 2.1.4.2; the empty tree is a prefix of every tree and, like
    equal sizes, takes an empty proof only.
    """
    if not 0 <= old_size <= new_size:
        raise _refused("consistency", f"size {old_size} does not precede size {new_size}")
    _check_hashes("consistency", [old_root, new_root, *proof])
    if old_size in (0, new_size):
        _check_trivial(old_size, old_root, new_root, proof)
        return
    if not proof:
        raise _refused("consistency", "the proof is empty")
    computed_old, computed_new = _roots_from_proof(old_size, new_size, old_root, proof)
    if computed_old != old_root:
        raise _refused("consistency", f"the proof does not lead to the root of size {old_size}")
    if computed_new != new_root:
        raise _refused("consistency", f"the proof does not lead to the root of size {new_size}")


def _roots_from_proof(
    old_size: int, new_size: int, old_root: bytes, proof: Sequence[bytes]
) -> tuple[bytes, bytes]:
    """Steps 2 to 6 of RFC 9162, section 2.1.4.2."""
    hashes = list(proof)
    if old_size & (old_size - 1) == 0:  # the old tree is itself a node of the new one
        hashes.insert(0, old_root)
    position, last = old_size - 1, new_size - 1
    while position % 2 == 1:
        position, last = position >> 1, last >> 1
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise _refused("consistency", "the proof has too many hashes")
        if position % 2 == 1 or position == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            position, last = _skip_right_edge(position, last)
        else:
            new = node_hash(new, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise _refused("consistency", "the proof has too few hashes")
    return old, new


def _skip_right_edge(position: int, last: int) -> tuple[int, int]:
    """Climb past the levels on which a node at the right edge has no sibling."""
    while position % 2 == 0 and position != 0:
        position, last = position >> 1, last >> 1
    return position, last


def _check_trivial(old_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    if proof:
        raise _refused("consistency", "the proof has too many hashes")
    expected = new_root if old_size else empty_root()
    if old_root != expected:
        raise _refused("consistency", f"two roots for size {old_size}")


def _check_hashes(what: str, hashes: Sequence[bytes]) -> None:
    if set(map(len, hashes)) != {HASH_BYTES}:
        raise _refused(what, f"every hash has {HASH_BYTES} bytes")


def _refused(what: str, detail: str) -> IntegrityError:
    return IntegrityError(f"{what} proof: {detail}", code=f"merkle.{what}")


def _subtree(read: HashReader, start: int, size: int) -> bytes:
    """MTH(D[start:start+size]) where `start` is a multiple of the next power of two."""
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return read(level, start >> level)
    left = _split(size)
    return node_hash(_subtree(read, start, left), _subtree(read, start + left, size - left))


def _path(read: HashReader, index: int, start: int, size: int) -> list[bytes]:
    if size == 1:
        return []
    left = _split(size)
    if index < left:
        sibling = _subtree(read, start + left, size - left)
        return [*_path(read, index, start, left), sibling]
    sibling = _subtree(read, start, left)
    return [*_path(read, index - left, start + left, size - left), sibling]


def _subproof(
    read: HashReader, old_size: int, start: int, size: int, *, is_old_root: bool
) -> list[bytes]:
    """SUBPROOF(m, D[n], b) of RFC 6962, section 2.1.2."""
    if old_size == size:
        return [] if is_old_root else [_subtree(read, start, size)]
    left = _split(size)
    if old_size <= left:
        sibling = _subtree(read, start + left, size - left)
        return [*_subproof(read, old_size, start, left, is_old_root=is_old_root), sibling]
    rest = _subproof(read, old_size - left, start + left, size - left, is_old_root=False)
    return [*rest, _subtree(read, start, left)]


def _split(size: int) -> int:
    """k: the largest power of two smaller than `size` (> 1)."""
    return 1 << ((size - 1).bit_length() - 1)
