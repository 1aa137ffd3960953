"""Promises of proof texts: one spelling, the one C2SP gives."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mbd.canonical.digest import b64decode_strict, b64encode
from mbd.errors import DataError
from mbd.ledger import tlog_proof
from mbd.ledger.tlog_proof import TlogProof, parse_tlog_proof

CHECKPOINT = "log.example\n3\nroot\n\n— log.example AAAA\n"
HASH = b64encode(bytes(range(32)))


@given(
    index=st.integers(0, 10**18 - 1),
    hashes=st.lists(st.binary(min_size=32, max_size=32), max_size=63),
    extra=st.none() | st.binary(min_size=1, max_size=50),
)
def test_a_proof_is_read_back(index, hashes, extra):
    proof = TlogProof(index, tuple(hashes), CHECKPOINT, extra)
    assert parse_tlog_proof(proof.text) == proof


def test_the_layout_is_the_one_of_the_specification():
    proof = TlogProof(5, (bytes(range(32)),), CHECKPOINT, b"extra information")
    assert proof.text == (
        f"c2sp.org/tlog-proof@v1\nextra {b64encode(b'extra information')}\n"
        f"index 5\n{HASH}\n\n{CHECKPOINT}"
    )
    assert TlogProof(0, (), CHECKPOINT).text == f"c2sp.org/tlog-proof@v1\nindex 0\n\n{CHECKPOINT}"


@pytest.mark.parametrize(
    "head",
    [
        "",
        "c2sp.org/tlog-proof@v1",
        "c2sp.org/tlog-proof@v2\nindex 0",
        "c2sp.org/tlog-proof@v1\nindex 01",
        "c2sp.org/tlog-proof@v1\nindex -1",
        "c2sp.org/tlog-proof@v1\nindex 1 ",
        "c2sp.org/tlog-proof@v1\nindex 1\r",
        "c2sp.org/tlog-proof@v1\nindex ١",
        "c2sp.org/tlog-proof@v1\nextra \nindex 1",
        "c2sp.org/tlog-proof@v1\nextra !!!\nindex 1",
        "c2sp.org/tlog-proof@v1\nindex 1\nextra AAAA",
        f"c2sp.org/tlog-proof@v1\nindex 1\n{HASH[:-1]}",
        f"c2sp.org/tlog-proof@v1\nindex 1\n{b64encode(bytes(31))}",
        f"c2sp.org/tlog-proof@v1\nindex 1\n{HASH} ",
        "c2sp.org/tlog-proof@v1\nindex 1\n" + "\n".join([HASH] * 64),
    ],
)
def test_any_other_text_is_refused(head):
    with pytest.raises(DataError):
        parse_tlog_proof(f"{head}\n\n{CHECKPOINT}")


def test_a_proof_without_a_checkpoint_is_refused():
    with pytest.raises(DataError):
        parse_tlog_proof("c2sp.org/tlog-proof@v1\nindex 1\n")


@given(st.text(max_size=200))
def test_nonsense_is_a_data_error(text):
    with pytest.raises(DataError):
        parse_tlog_proof(text)


@given(st.binary(min_size=31, max_size=33), st.integers(0, 43), st.sampled_from("AQEz=+9/-\n é"))
@example(bytes(32), 42, "B")
def test_a_hash_line_has_one_spelling(digest, place, letter):
    spelled = b64encode(digest)
    line = spelled[:place] + letter + spelled[place + 1 :]
    try:
        expected = b64decode_strict(line)
    except DataError:
        expected = b""

    try:
        _, found, _ = tlog_proof._parse_hashes([HASH, line, HASH])
    except DataError:
        found = b""
    assert found == (expected if len(expected) == 32 else b"")
