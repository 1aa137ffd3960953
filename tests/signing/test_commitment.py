"""Commitments: an opening opens one thing only."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbd.errors import DataError
from mbd.signing import commitment
from mbd.signing.commitment import commit, new_salt, subject_commitment, subject_key
from tests.shared import shared_path

KEY = bytes(range(32))


@given(
    st.tuples(st.text(max_size=6), st.text(max_size=6)),
    st.tuples(st.text(max_size=6), st.text(max_size=6)),
)
def test_two_openings_never_meet(one, two):
    assert (commit(KEY, *one) == commit(KEY, *two)) == (one == two)
    assert (subject_commitment(KEY, *one) == subject_commitment(KEY, *two)) == (one == two)


def test_purposes_are_apart():
    assert commit(KEY, "a", "b") != subject_commitment(KEY, "a", "b")


def test_no_pseudonym_is_stable_across_certificates():
    one, two = subject_key(KEY, "A"), subject_key(KEY, "B")

    assert one != two
    assert subject_commitment(one, "A", "42") != subject_commitment(two, "B", "42")
    assert subject_key(KEY, "A") == one


def test_salts_are_fresh_and_short_ones_refused():
    assert new_salt() != new_salt()
    with pytest.raises(DataError):
        commit(b"short", "a", "b")
    with pytest.raises(DataError):
        subject_key(b"", "A")


def test_published_vectors_of_hmac_sha256(monkeypatch):
    """Commitments are HMAC-SHA256 of their framed inputs: here of the vectors' messages."""
    groups = json.loads(shared_path("vectors/wycheproof/hmac_sha256_test.json").read_text())
    tried = 0
    for group in groups["testGroups"]:
        if group["keySize"] != 256:
            continue
        for case in group["tests"]:
            message = bytes.fromhex(case["msg"])
            monkeypatch.setattr(commitment, "_framed", lambda *_, message=message: message)
            found = commitment.commit(bytes.fromhex(case["key"]), "kind", "digest")
            same = found[: group["tagSize"] // 4] == case["tag"]
            assert same == (case["result"] == "valid"), case["tcId"]
            tried += 1
    assert tried > 50
