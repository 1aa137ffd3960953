"""Promises of the tree: what RFC 6962 says, and no proof that says anything else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbd.canonical.tree import empty_root, leaf_hash, tree_root
from mbd.errors import DataError, IntegrityError
from mbd.ledger.merkle import (
    completed_nodes,
    consistency_proof,
    earlier_root,
    inclusion_proof,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from tests.shared import shared_path


class StoredTree:
    """The complete subtrees of some leaves, appended one by one."""

    def __init__(self, leaves):
        self.nodes = {}
        self.leaf_hashes = [leaf_hash(leaf) for leaf in leaves]
        for index, digest in enumerate(self.leaf_hashes):
            for level, position, node in completed_nodes(index, digest, self.read):
                assert (level, position) not in self.nodes
                self.nodes[level, position] = node

    def read(self, level, index):
        return self.nodes[level, index]

    def root(self, size):
        return tree_root(self.leaf_hashes[:size])


def numbered(size):
    return StoredTree([b"leaf %d" % i for i in range(size)])


def flipped(proof):
    """Every proof that differs in one bit of one hash, is longer or is shorter."""
    for i, digest in enumerate(proof):
        for bit in (0, 255):
            changed = bytearray(digest)
            changed[bit // 8] ^= 1 << (bit % 8)
            yield [*proof[:i], bytes(changed), *proof[i + 1 :]]
        yield [*proof[:i], *proof[i + 1 :]]
    yield [*proof, bytes(32)]


def check_every_proof(largest):
    tree = numbered(largest)
    for size in range(1, largest + 1):
        root = tree.root(size)
        assert root_of(tree.read, size) == root
        for index in range(size):
            leaf = tree.leaf_hashes[index]
            proof = inclusion_proof(tree.read, index, size)
            verify_inclusion(leaf, index, size, proof, root)
            for wrong in flipped(proof):
                with pytest.raises(IntegrityError):
                    verify_inclusion(leaf, index, size, wrong, root)
            for other in (index - 1, index + 1, size):
                with pytest.raises(IntegrityError):
                    verify_inclusion(leaf, other, size, proof, root)
        for old in range(size + 1):
            check_consistency(tree, old, size)


def check_consistency(tree, old, new):
    old_root, new_root = tree.root(old), tree.root(new)
    proof = consistency_proof(tree.read, old, new)
    verify_consistency(old, new, old_root, new_root, proof)
    for wrong in flipped(proof):
        with pytest.raises(IntegrityError):
            verify_consistency(old, new, old_root, new_root, wrong)
    if 0 < old < new:
        with pytest.raises(IntegrityError):
            verify_consistency(old, 4 * new, old_root, new_root, proof)
    forged = leaf_hash(b"another history")
    with pytest.raises(IntegrityError):
        verify_consistency(old, new, forged, new_root, proof)
    if old:
        with pytest.raises(IntegrityError):
            verify_consistency(old, new, old_root, forged, proof)


def test_every_proof_of_every_small_tree_holds_and_no_altered_one_does():
    check_every_proof(24)


@pytest.mark.slow
def test_every_proof_of_every_tree_up_to_100_holds_and_no_altered_one_does():
    check_every_proof(100)


@given(size=st.integers(1, 600), data=st.data())
def test_a_log_only_grows(size, data):
    old = data.draw(st.integers(0, size))
    tree = numbered(size)
    proof = consistency_proof(tree.read, old, size)
    verify_consistency(old, size, tree.root(old), tree.root(size), proof)
    assert len(proof) <= size.bit_length() + 1


@given(st.integers(1, 200), st.data())
def test_an_inclusion_proof_gives_away_true_earlier_roots_only(size, data):
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(0, index))
    tree = numbered(size)
    proof = inclusion_proof(tree.read, index, size)

    found = earlier_root(index, size, proof, old)

    assert found in (None, tree.root(old))
    assert found is not None or old not in (0, index)


def test_proofs_read_few_hashes():
    tree = numbered(1000)
    reads = []

    def counting(level, index):
        reads.append((level, index))
        return tree.nodes[level, index]

    inclusion_proof(counting, 333, 1000)
    assert len(reads) <= 2 * 10


def test_the_empty_tree_is_a_prefix_of_every_tree_with_an_empty_proof():
    tree = numbered(3)
    verify_consistency(0, 3, empty_root(), tree.root(3), [])
    with pytest.raises(IntegrityError):
        verify_consistency(0, 3, empty_root(), tree.root(3), [bytes(32)])
    with pytest.raises(IntegrityError):
        verify_consistency(3, 3, tree.root(3), tree.root(3), [bytes(32)])


def test_a_larger_tree_is_no_prefix_and_a_hash_has_32_bytes():
    tree = numbered(3)
    with pytest.raises(IntegrityError):
        verify_consistency(3, 2, tree.root(3), tree.root(2), [])
    with pytest.raises(IntegrityError):
        verify_inclusion(b"short", 0, 1, [], b"short")
    with pytest.raises(DataError):
        inclusion_proof(tree.read, 3, 3)
    with pytest.raises(DataError):
        consistency_proof(tree.read, 4, 3)


@pytest.fixture(scope="module")
def reference():
    return json.loads(shared_path("vectors/rfc6962-reference/reference.json").read_text())


def test_published_roots_and_consistency_proofs(reference):
    tree = StoredTree([bytes.fromhex(leaf) for leaf in reference["tree"]["leaves"]])
    for size, root in enumerate(reference["tree"]["roots_by_size_1_to_8"], start=1):
        assert root_of(tree.read, size).hex() == root
    for case in reference["consistency"]:
        proof = consistency_proof(tree.read, case["size1"], case["size2"])
        assert [digest.hex() for digest in proof] == case["proof"]
        old, new = bytes.fromhex(case["root1"]), bytes.fromhex(case["root2"])
        verify_consistency(case["size1"], case["size2"], old, new, proof)


def test_a_real_certificate_transparency_entry_is_included(reference):
    case = reference["real_ct_log_entry"]
    leaf = leaf_hash(bytes.fromhex(case["leaf"]))
    proof = [bytes.fromhex(digest) for digest in case["audit_path"]]
    index, size, root = case["leaf_index"], case["tree_size"], bytes.fromhex(case["root"])
    verify_inclusion(leaf, index, size, proof, root)
    with pytest.raises(IntegrityError):
        verify_inclusion(leaf, index + 1, size, proof, root)
