"""Promises of leaves: hashes only, one spelling."""

import hashlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbd.canonical.tree import leaf_hash
from mbd.errors import DataError
from mbd.ledger.entry import (
    ENTRY_TYPES,
    Entry,
    parse_entry,
    signed_entry,
    unsigned_entry,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
DIGEST = hashlib.sha256(b"x").hexdigest()


@given(
    kind=st.sampled_from(ENTRY_TYPES),
    now=st.datetimes(
        min_value=datetime(1970, 1, 1), max_value=datetime(9998, 1, 1), timezones=st.just(UTC)
    ),
    signatures=st.lists(st.binary(max_size=64), min_size=1, max_size=16),
)
def test_a_leaf_is_read_back(kind, now, signatures):
    entry = signed_entry(kind, now, b"signed bytes", signatures)
    assert parse_entry(entry.leaf_bytes()) == entry
    assert entry.leaf_hash() == leaf_hash(entry.leaf_bytes())


def test_a_leaf_holds_hashes_a_type_and_a_time_and_nothing_else():
    entry = signed_entry("certificate", NOW, b"pae", [b"sig"])
    assert json.loads(entry.leaf_bytes()) == {
        "digest": hashlib.sha256(b"pae").hexdigest(),
        "signatures": [hashlib.sha256(b"sig").hexdigest()],
        "time": "2026-01-02T03:04:05Z",
        "type": "certificate",
    }
    assert unsigned_entry("policy", NOW, b"body").digest == hashlib.sha256(b"body").hexdigest()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", "gossip"),
        ("type", 1),
        ("time", "2026-01-02"),
        ("time", "2026-13-02T03:04:05Z"),
        ("time", "2026-01-02T03:04:05+00:00"),
        ("digest", DIGEST.upper()),
        ("digest", DIGEST[:-1]),
        ("digest", None),
        ("signatures", "abc"),
        ("signatures", [DIGEST, 1]),
        ("signatures", [DIGEST] * 17),
        ("extra", "field"),
    ],
)
def test_a_leaf_with_another_field_or_value_is_refused(field, value):
    content = json.loads(signed_entry("attempt", NOW, b"x", [b"s"]).leaf_bytes())
    content[field] = value
    leaf = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(DataError):
        parse_entry(leaf)


def test_a_leaf_with_other_bytes_for_the_same_content_is_refused():
    leaf = unsigned_entry("policy", NOW, b"x").leaf_bytes()
    for other in (leaf + b"\n", leaf.replace(b":", b": ", 1), b"", b"[]", leaf[:-1]):
        with pytest.raises(DataError):
            parse_entry(other)


def test_a_signed_entry_needs_a_signature():
    with pytest.raises(DataError):
        signed_entry("certificate", NOW, b"pae", [])


def test_an_entry_that_exists_is_valid():
    with pytest.raises(DataError):
        Entry("certificate", "yesterday", DIGEST)
