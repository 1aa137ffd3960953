"""Records: choosing, masking, joining; the digest of items."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbd.data.items import items_root, with_salts
from mbd.data.records import Records
from mbd.errors import DataError, NotFoundError
from tests.data.build import Revoked, same, small

PLAIN, SCHEMA = small()
RECORDS = with_salts(PLAIN)


def test_masking_removes_exactly_the_channel():
    kept = RECORDS.without(Revoked(("2", "audio")).blocks)

    assert all(
        "audio" not in kept.availability(i)
        for i in np.flatnonzero([s == "2" for s in kept.subjects])
    )
    others = RECORDS.where(subjects=["0", "1", "3", "4", "5"])
    assert same(kept.where(subjects=["0", "1", "3", "4", "5"]), others)


def test_a_record_with_nothing_left_vanishes():
    revoked = Revoked(*((("2", name)) for name in SCHEMA.names))

    kept = RECORDS.without(revoked.blocks)

    assert "2" not in kept.subjects
    assert len(kept) == len(RECORDS) - RECORDS.subjects.count("2")


@given(order=st.permutations(range(len(RECORDS))), cut=st.integers(0, len(RECORDS)))
def test_any_order_and_any_parts_are_the_same_records_with_the_same_root(order, cut):
    parts = [RECORDS.select(order[:cut]), RECORDS.select(order[cut:])]

    joined = Records.concat(parts)

    assert same(joined, RECORDS)
    assert items_root(joined) == items_root(RECORDS)


def test_the_root_binds_features_label_split_and_subject():
    root = items_root(RECORDS)
    labels = RECORDS.labels.copy()
    labels[3] += 0.1
    swapped = ("test" if RECORDS.splits[0] != "test" else "train", *RECORDS.splits[1:])
    first = next(i for i, value in enumerate(RECORDS.x["text"]) if value is not None)
    text = list(RECORDS.x["text"])
    text[first] = text[first] + np.float32(1e-3)

    for change in (
        {"labels": labels},
        {"splits": swapped},
        {"subjects": ("x", *RECORDS.subjects[1:])},
        {"x": {**RECORDS.x, "text": tuple(text)}},
    ):
        assert items_root(dataclasses.replace(RECORDS, **change)) != root


def test_every_value_has_a_salt_of_its_own_that_goes_with_it():
    other = with_salts(PLAIN)

    assert items_root(other) != items_root(RECORDS)
    assert items_root(with_salts(other)) == items_root(other)
    drawn = [salt for column in RECORDS.salts.values() for salt in column if salt is not None]
    assert len(set(drawn)) == len(drawn) == sum(len(RECORDS.availability(i)) for i in range(48))
    kept = RECORDS.without(Revoked(("2", "audio")).blocks)
    mine = [salt for s, salt in zip(kept.subjects, kept.salts["audio"], strict=True) if s == "2"]
    assert mine
    assert not any(mine)
    with pytest.raises(DataError, match="no salt"):
        items_root(PLAIN)


def test_where_meets_every_condition():
    found = RECORDS.where(split="test", subjects=["1", "2"], having=frozenset({"audio", "text"}))

    assert 0 < len(found) < len(RECORDS)
    for i in range(len(found)):
        assert found.splits[i] == "test"
        assert found.subjects[i] in {"1", "2"}
        assert found.availability(i) >= {"audio", "text"}


def test_columns_of_different_length_are_refused():
    with pytest.raises(DataError, match="values for"):
        dataclasses.replace(RECORDS, labels=RECORDS.labels[1:])


def test_an_unknown_record_is_named():
    with pytest.raises(NotFoundError, match="nobody"):
        RECORDS.index_of("nobody")
