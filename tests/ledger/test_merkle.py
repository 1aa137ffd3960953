"""Promises of the tree: what RFC 6962 says, and no proof that says anything else."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbd.canonical.tree import empty_root, leaf_hash, tree_root
from mbd.errors import DataError, IntegrityError
from mbd.ledger.merkle import (
    RightEdge,
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
        self.roots = {}

    def read(self, level, index):
        return self.nodes[level, index]

    def root(self, size):
        """Of leaves that are not there yet, too: no root is that of a size beyond."""
        if size > len(self.leaf_hashes):
            return leaf_hash(b"%d" % size)
        if size not in self.roots:
            self.roots[size] = tree_root(self.leaf_hashes[:size])
        return self.roots[size]


def numbered(size):
    return StoredTree([b"leaf %d" % i for i in range(size)])


def flipped(proof):
    """Every proof that differs in one bit of one hash, is longer, shorter or in another order."""
    for i, digest in enumerate(proof):
        for bit in (0, 255):
            changed = bytearray(digest)
            changed[bit // 8] ^= 1 << (bit % 8)
            yield [*proof[:i], bytes(changed), *proof[i + 1 :]]
        yield [*proof[:i], *proof[i + 1 :]]
        yield [*proof[:i], digest, *proof[i:]]
    yield [*proof, bytes(32)]
    yield [bytes(32), *proof]
    if len(proof) > 1:
        yield proof[::-1]


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
            for other in {*range(size), -1, size, size + 1, 2 * size} - {index}:
                with pytest.raises(IntegrityError):
                    verify_inclusion(leaf, other, size, proof, root)
            for other in {index + 1, size - 1, size + 1, 2 * size, largest} - {index, size}:
                with pytest.raises(IntegrityError):
                    verify_inclusion(leaf, index, other, proof, tree.root(other))
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
    if old < new:
        with pytest.raises(IntegrityError):
            verify_consistency(new, old, new_root, old_root, proof)
    for other in {0, old - 1, old + 1, new} - {old}:
        with pytest.raises(IntegrityError):
            verify_consistency(other, new, old_root, new_root, proof)
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


def slow_root(leaves):
    """MTH(D[n]), RFC 6962, section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = largest_power_below(len(leaves))
    pair = slow_root(leaves[:k]) + slow_root(leaves[k:])
    return hashlib.sha256(b"\x01" + pair).digest()


def slow_path(m, leaves):
    """PATH(m, D[n]), RFC 6962, section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = largest_power_below(len(leaves))
    if m < k:
        return [*slow_path(m, leaves[:k]), slow_root(leaves[k:])]
    return [*slow_path(m - k, leaves[k:]), slow_root(leaves[:k])]


def slow_subproof(m, leaves, known):
    """SUBPROOF(m, D[n], b), RFC 6962, section 2.1.2; PROOF(m, D[n]) starts with b true."""
    if m == len(leaves):
        return [] if known else [slow_root(leaves)]
    k = largest_power_below(len(leaves))
    if m <= k:
        return [*slow_subproof(m, leaves[:k], known), slow_root(leaves[k:])]
    return [*slow_subproof(m - k, leaves[k:], False), slow_root(leaves[:k])]


def largest_power_below(n):
    """k < n <= 2k."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k


LEAVES = st.lists(st.binary(max_size=3), min_size=1, max_size=70)


@given(leaves=LEAVES, data=st.data())
def test_proofs_are_those_of_the_slow_recursive_tree(leaves, data):
    index = data.draw(st.integers(0, len(leaves) - 1))
    old = data.draw(st.integers(1, len(leaves)))
    tree, size = StoredTree(leaves), len(leaves)
    assert root_of(tree.read, size) == tree.root(size) == slow_root(leaves)
    assert inclusion_proof(tree.read, index, size) == slow_path(index, leaves)
    assert consistency_proof(tree.read, old, size) == slow_subproof(old, leaves, True)


@given(leaves=LEAVES, data=st.data())
def test_a_proof_holds_for_its_own_leaf_only(leaves, data):
    """Whatever leaf, place and proof are drawn: accepted only if the leaf is there."""
    tree, size = StoredTree(leaves), len(leaves)
    index, place = data.draw(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)))
    other = data.draw(st.binary(max_size=3))
    proof = slow_path(index, leaves)
    if leaf_hash(other) == tree.leaf_hashes[index] and place == index:
        verify_inclusion(leaf_hash(other), place, size, proof, slow_root(leaves))
        return
    if leaves[place] == other and proof == slow_path(place, leaves):
        return
    with pytest.raises(IntegrityError):
        verify_inclusion(leaf_hash(other), place, size, proof, slow_root(leaves))


@given(leaves=st.lists(st.binary(max_size=3), max_size=70), data=st.data())
def test_a_right_edge_is_all_a_tree_needs_to_grow(leaves, data):
    begun = data.draw(st.integers(0, len(leaves)))
    tree = StoredTree(leaves)
    edge = RightEdge(tree.read, begun)
    for digest in tree.leaf_hashes[begun:]:
        assert edge.root() == tree.root(edge.size)
        for level, position, node in edge.append(digest):
            assert tree.nodes[level, position] == node
    assert (edge.size, edge.root()) == (len(leaves), slow_root(leaves))


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
