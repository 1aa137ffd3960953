"""Needles: which pieces of values a search looks for, and that it finds them everywhere.

What is fast is compared with loops that are slow and obvious.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbd.data.needle_index import NeedleIndex
from mbd.data.needles import Needles, scan, scan_for
from mbd.data.pieces import held_by, pieces_of
from mbd.errors import DataError

TEXT = st.binary(max_size=40) | st.text("ab", max_size=40).map(str.encode)
"""Strings that repeat themselves, and others."""


def slow_pieces(content: bytes) -> Iterator[bytes]:
    length = next((one for one in (64, 32, 16) if one <= len(content)), None)
    if length is None:
        return
    last = len(content) - length
    for start in [*range(0, last, length), last]:
        piece = content[start : start + length]
        if len(set(piece)) >= 8:
            yield piece


@given(
    sizes=st.lists(st.integers(0, 300) | st.sampled_from([15, 16, 31, 32, 63, 64, 65, 128])),
    values=st.integers(1, 30),
    seed=st.integers(0, 99),
)
def test_pieces_are_those_of_the_slow_loop(sizes, values, seed):
    rng = np.random.default_rng(seed)
    rows = [rng.integers(0, values, size, np.uint8).tobytes() for size in sizes]

    assert pieces_of(rows) == [piece for row in rows for piece in slow_pieces(row)]


def test_many_pieces_are_those_of_the_slow_loop():
    rng = np.random.default_rng(1)
    rows = [rng.integers(0, 10, 700, np.uint8).tobytes() for _ in range(2000)]

    assert pieces_of(rows) == [piece for row in rows for piece in slow_pieces(row)]


@given(parts=st.lists(TEXT, max_size=6), needles=st.lists(TEXT, max_size=12))
def test_hits_are_those_of_the_slow_loop(parts, needles):
    content = b"".join([*parts, *needles[::2], *parts])

    found = NeedleIndex({"some": needles}).hits(content)

    assert found == {needle for needle in needles if len(needle) >= 8 and needle in content}


@given(
    count=st.integers(1, 300),
    length=st.sampled_from([8, 16, 33, 64]),
    values=st.sampled_from([2, 5, 256]),
    seed=st.integers(0, 99),
)
def test_hits_among_many_are_those_of_the_slow_loop(count, length, values, seed):
    rng = np.random.default_rng(seed)
    some = [rng.integers(0, values, length, np.uint8).tobytes() for _ in range(count)]
    content = b"".join([rng.bytes(3), *some[::3], rng.bytes(90_000), some[-1]])

    assert NeedleIndex({"": some}).hits(content) == {one for one in some if one in content}


def test_needles_that_begin_alike_are_told_apart():
    some = [b"01234567", b"01234567....", b"01234567....----", b"....01234567", b"01234567!..."]
    index = NeedleIndex({"": some})

    for content in (*some, b"?01234567", b"01234567...."[:-1], b"01234567....---"):
        assert index.hits(content) == {one for one in some if one in content}


def test_each_kind_of_a_needle_is_named():
    index = NeedleIndex(
        {"a": [b"0123456789"], "b": [b"0123456789", b"abcdefgh"], "c": [b"zzzzzzzz"]}
    )

    assert index.kinds_in(b"..0123456789..") == {"a", "b"}
    assert index.kinds_in(b"..012345678") == set()
    assert NeedleIndex({}).kinds_in(b"0123456789") == set()


def test_candidates_that_others_hold_are_those_of_the_slow_loop():
    rng = np.random.default_rng(2)
    rows = [rng.integers(0, 50, 200, np.uint8).tobytes() for _ in range(60)]
    candidates = pieces_of(rows)
    others = [b"x" + row[3:] for row in rows[:20]] + rows[40:]

    held = held_by(candidates, others)

    assert held == {one for one in candidates if any(one in other for other in others)}
    assert 0 < len(held) < len(set(candidates))


def test_needles_survive_as_json():
    needles = Needles({"ids": (b"ab", b"abc", b"xyz", b"de"), "salts": (bytes(32),), "none": ()})

    assert Needles.from_json(needles.to_json()) == needles
    with pytest.raises(DataError):
        Needles.from_json({"salts": [[5, "AAAA"]]})
    with pytest.raises(DataError):
        Needles.from_json({"salts": [[0, ""]]})


@pytest.mark.parametrize("offset", [0, 1, 7, 8, (1 << 22) - 10, (1 << 22) + 5, 1 << 24])
def test_a_needle_is_found_wherever_it_lies(tmp_path, offset):
    needle = np.random.default_rng(0).bytes(64)
    (tmp_path / "file").write_bytes(bytes(offset) + needle + bytes(3))

    result = scan([tmp_path / "file", tmp_path / "gone"], Needles({"features": (needle,)}))

    assert [(Path(f.file).name, f.what) for f in result.found] == [("file", "features")]
    assert [Path(name).name for name in result.files] == ["file"]


@pytest.mark.parametrize("budget", [1, 300, 1 << 20])
def test_needles_of_many_are_searched_for_together(tmp_path, budget):
    rng = np.random.default_rng(3)
    many = [
        Needles({"features": (rng.bytes(64), rng.bytes(32)), "salts": (rng.bytes(32),)})
        for _ in range(9)
    ]
    held = [many[2].by_kind["features"][1], many[7].by_kind["salts"][0]]
    files = [tmp_path / name for name in ("one", "two", "three")]
    for path, content in zip(files, [held[0], rng.bytes(99), b"".join(held)], strict=True):
        path.write_bytes(b"." + content)

    result = scan_for(files, iter(many), budget)

    assert {(Path(one.file).name, one.what) for one in result.found} == {
        ("one", "features"), ("three", "features"), ("three", "salts"),
    }  # fmt: skip
    assert len(result.found) == 3
    assert result.needles == 27
    assert result.files == tuple(map(str, files))
    clean = scan_for(files, many[3:7], budget)
    assert clean.clean
    assert len(clean.files) == 3
