"""One channel of one record, as the tree of a data set holds it.

Data store, issuer and verifier hash an item with the one function here. The salt is random
and erased with the features, so a leaf says nothing to whoever was not shown its item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from mbd.canonical.json import dumps
from mbd.canonical.tree import leaf_hash, tree_proofs, tree_root


@dataclass(frozen=True, kw_only=True)
class Item:
    """Everything that learning reads of one channel of one record."""

    record: str
    subject: str
    cohort: str
    split: str
    label: str
    """The float in its one decimal spelling, see `canonical.numbers.to_decimal`."""
    modality: str
    steps: int
    features: str
    """SHA-256 (hex) of the values as little-endian float32, row by row."""
    salt: str
    """32 random bytes (hex)."""

    def leaf(self) -> bytes:
        """RFC 6962 leaf hash of the canonical JSON of all fields."""
        return leaf_hash(dumps(self.to_json()))

    def to_json(self) -> dict[str, Any]:
        """Plain values; keys are the field names."""
        return {name: getattr(self, name) for name in _FIELDS}


_FIELDS = tuple(one.name for one in fields(Item))


@dataclass(frozen=True)
class ProvedItem:
    """An item with its place in a tree and the path from there to the root."""

    item: Item
    index: int
    proof: tuple[bytes, ...]


def sorted_leaves(items: Sequence[Item]) -> list[bytes]:
    """The leaf hashes in ascending order: where an item lies says nothing about it."""
    return sorted(item.leaf() for item in items)


def root_of_items(items: Sequence[Item]) -> bytes:
    """Root of the tree over `items`, whatever their order."""
    return tree_root(sorted_leaves(items))


def prove_items(items: Sequence[Item]) -> list[ProvedItem]:
    """Each item with its inclusion proof, in the order of the tree that `root_of_items` has."""
    keyed = sorted(((item.leaf(), item) for item in items), key=lambda pair: pair[0])
    proofs = tree_proofs([leaf for leaf, _ in keyed])
    return [
        ProvedItem(item, index, tuple(proof))
        for index, ((_, item), proof) in enumerate(zip(keyed, proofs, strict=True))
    ]
