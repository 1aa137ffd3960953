"""The tree is the one of RFC 6962."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbd.canonical.tree import empty_root, leaf_hash, node_hash, tree_proofs, tree_root
from mbd.errors import IntegrityError
from mbd.ledger.merkle import verify_inclusion
from tests.shared import shared_path


def recursive_root(leaves: list[bytes]) -> bytes:
    """The definition, word for word: split at the largest power of two below n."""
    if not leaves:
        return empty_root()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(recursive_root(leaves[:split]), recursive_root(leaves[split:]))


def test_published_hashes_and_roots():
    path = shared_path("vectors/rfc6962-reference") / "reference.json"
    vectors = json.loads(path.read_text())
    assert empty_root().hex() == vectors["empty_root"]
    for case in vectors["leaf_hash"]:
        assert leaf_hash(bytes.fromhex(case["data"])).hex() == case["hash"]
    for case in vectors["node_hash"]:
        joined = node_hash(bytes.fromhex(case["left"]), bytes.fromhex(case["right"]))
        assert joined.hex() == case["hash"]
    leaves = [leaf_hash(bytes.fromhex(leaf)) for leaf in vectors["tree"]["leaves"]]
    roots = [tree_root(leaves[:size]).hex() for size in range(1, len(leaves) + 1)]
    assert roots == vectors["tree"]["roots_by_size_1_to_8"]


def test_every_small_tree_equals_its_recursive_definition():
    leaves = [leaf_hash(bytes([i])) for i in range(70)]
    for size in range(71):
        assert tree_root(leaves[:size]) == recursive_root(leaves[:size])


def test_every_leaf_of_every_small_tree_has_its_proof():
    leaves = [leaf_hash(bytes([i])) for i in range(40)]
    assert tree_proofs([]) == []
    for size in range(1, 41):
        root, proofs = tree_root(leaves[:size]), tree_proofs(leaves[:size])
        for index, proof in enumerate(proofs):
            verify_inclusion(leaves[index], index, size, proof, root)
            with pytest.raises(IntegrityError):
                verify_inclusion(leaf_hash(b"other"), index, size, proof, root)


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=20), st.data())
def test_changing_one_leaf_changes_the_root(contents, data):
    where = data.draw(st.integers(0, len(contents) - 1))
    leaves = [leaf_hash(content) for content in contents]
    changed = list(leaves)
    changed[where] = leaf_hash(contents[where] + b"x")
    assert tree_root(changed) != tree_root(leaves)


def test_a_leaf_cannot_pose_as_a_node():
    left, right = leaf_hash(b"l"), leaf_hash(b"r")
    assert leaf_hash(left + right) != node_hash(left, right)
