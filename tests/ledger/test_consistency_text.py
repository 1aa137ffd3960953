"""Promises of consistency texts: one spelling, the one C2SP gives to witnesses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbd.canonical.digest import b64encode
from mbd.errors import DataError
from mbd.ledger.consistency import ConsistencyProof, parse_consistency_proof

CHECKPOINT = "log.example\n3\nroot\n\n— log.example AAAA\n"
HASH = b64encode(bytes(range(32)))


@given(
    old=st.integers(0, 10**18 - 1),
    hashes=st.lists(st.binary(min_size=32, max_size=32), max_size=63),
)
def test_a_proof_is_read_back(old, hashes):
    proof = ConsistencyProof(old, tuple(hashes), CHECKPOINT)
    assert parse_consistency_proof(proof.text) == proof


def test_the_layout_is_the_one_of_the_specification():
    proof = ConsistencyProof(20852014, (bytes(range(32)),), CHECKPOINT)
    assert proof.text == f"old 20852014\n{HASH}\n\n{CHECKPOINT}"
    assert ConsistencyProof(0, (), CHECKPOINT).text == f"old 0\n\n{CHECKPOINT}"


@pytest.mark.parametrize(
    "head",
    [
        "",
        "old",
        "old 01",
        "old -1",
        "old 1 ",
        "old ١",
        "new 1",
        f"old 1\n{HASH[:-1]}",
        f"old 1\n{b64encode(bytes(31))}",
        f"old 1\n{HASH} ",
        "old 1\n" + "\n".join([HASH] * 64),
    ],
)
def test_any_other_text_is_refused(head):
    with pytest.raises(DataError):
        parse_consistency_proof(f"{head}\n\n{CHECKPOINT}")


@given(st.text(max_size=200))
def test_nonsense_is_a_data_error(text):
    with pytest.raises(DataError):
        parse_consistency_proof(text)
