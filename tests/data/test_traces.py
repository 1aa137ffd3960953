"""Traces find a value wherever it lies, find nothing else, and hold no value."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbd.canonical.json import dumps, loads_strict
from mbd.data.needles import Needles
from mbd.data.pieces import pieces_of
from mbd.data.search import Hit, Searcher
from mbd.data.traces import TraceIndex, Traces, make_traces
from mbd.errors import DataError

RNG = np.random.default_rng(4)
CLIP = RNG.standard_normal((5, 12)).astype(np.float32)
ROW = RNG.integers(-32767, 32768, 20).astype(np.int16)
SALT = RNG.bytes(32)
VANISHED = "r-000123"
NEEDLES = Needles(
    {
        "features": tuple(pieces_of([CLIP.tobytes()])),
        "prepared rows": tuple(pieces_of([ROW.tobytes()])),
        "record ids": (b"never traced",),
    }
)
TRACES = make_traces(NEEDLES)
SEARCHER = Searcher(TRACES, (VANISHED,), (SALT,))


def found(path: Path, content: bytes) -> set[Hit]:
    path.write_bytes(content)
    return set(SEARCHER.search(path).hits)


@given(
    before=st.integers(0, 200),
    length=st.sampled_from([16, 32, 64]),
    pick=st.integers(0, 9),
    seed=st.integers(0, 99),
)
def test_a_piece_is_found_at_every_offset_and_only_there(before, length, pick, seed):
    rng = np.random.default_rng(seed)
    needles = [rng.bytes(length) for _ in range(10)]
    index = TraceIndex(make_traces(Needles({"features": tuple(needles)})))
    noise = rng.bytes(before), rng.bytes(90)

    hits = list(index.hits(noise[0] + needles[pick] + noise[1]))

    assert hits == [("features", before)]
    changed = needles[pick][:-1] + bytes([needles[pick][-1] ^ 1])
    assert not list(index.hits(noise[0] + changed + noise[1]))


@pytest.mark.parametrize("offset", [0, 1, (1 << 14) - 63, (1 << 14) - 1, 1 << 14, (1 << 20) - 5])
def test_nothing_falls_between_two_blocks(tmp_path, offset):
    piece = NEEDLES.by_kind["features"][1]

    assert [o for _, o in TraceIndex(TRACES).hits(bytes(offset) + piece + bytes(9))] == [offset]
    assert found(tmp_path / "f", bytes(offset) + piece) == {Hit("features", "")}


def test_the_hash_is_the_polynomial_that_the_module_states():
    piece = NEEDLES.by_kind["features"][0]
    group = next(one for one in TRACES.groups if one.length == 64)

    hashed = sum(byte * pow(TRACES.base, i, 2**64) for i, byte in enumerate(piece)) % 2**64

    assert group.entries[:8] == hashed.to_bytes(8, "little")
    assert group.entries[8:24] == sha256(TRACES.salt + piece).digest()[:16]


def test_traces_hold_no_value_and_survive_json():
    text = dumps(TRACES.to_json())

    assert Traces.from_json(loads_strict(text)) == TRACES
    packed = text + b"".join(group.entries for group in TRACES.groups)
    for needle in (n for kind in NEEDLES.by_kind.values() for n in kind):
        for start in range(0, len(needle) - 4, 4):
            part = needle[start : start + 4]
            assert part not in packed
    assert make_traces(NEEDLES).base != TRACES.base
    torn = {**TRACES.to_json(), "groups": [{"kind": "x", "length": 64, "entries": "AAAA"}]}
    for bad in (torn, {**TRACES.to_json(), "base": "2" * 16}):
        with pytest.raises(DataError):
            Traces.from_json(bad)


def test_more_pieces_than_fit_are_thinned_evenly_and_counted():
    rng = np.random.default_rng(0)
    needles = tuple(rng.bytes(64) for _ in range(100))

    some = make_traces(Needles({"features": needles}), limit=30)

    assert len(some) == 25
    assert some.left_out == 75
    assert len(list(TraceIndex(some).hits(b"".join(needles)))) == 25


def test_every_kind_of_trace_is_found_as_plain_bytes(tmp_path):
    cases = {
        "features": CLIP.tobytes(),
        "prepared rows": ROW.tobytes(),
        "record ids": b'{"record":"r-000123"',
        "salts": SALT,
    }
    for kind, content in cases.items():
        assert found(tmp_path / "f", b"x" * 37 + content) == {Hit(kind, "")}
    assert not found(tmp_path / "f", RNG.bytes(100_000))
    assert not found(tmp_path / "f", b"")


@pytest.mark.parametrize("compression", ["NONE", "SNAPPY", "ZSTD", "GZIP"])
@pytest.mark.parametrize("dictionary", [False, True])
def test_parquet_pages_are_searched_unpacked_and_the_record_is_named(
    tmp_path, compression, dictionary
):
    values = [b"", CLIP.tobytes(), b"other" * 9]
    table = pa.table({
        "record_id": ["a", "b", "c"],
        "audio": pa.array(values, pa.large_binary()),
        "plain": pa.array(values, pa.binary()),
        "fixed": pa.array([RNG.bytes(32), SALT, SALT], pa.binary(32)),
        "listed": pa.array([[1.0], CLIP.ravel().tolist(), []], pa.list_(pa.float32())),
        "shaped": pa.array([ROW.tolist(), ROW[::-1].tolist(), ROW.tolist()],
                           pa.list_(pa.int16(), 20)),
        "nested": pa.array([{"who": VANISHED}, {"who": "z"}, None],
                           pa.struct({"who": pa.string()})),
    })  # fmt: skip
    pq.write_table(
        table, tmp_path / "f", compression=compression, use_dictionary=dictionary, row_group_size=2
    )

    hits = set(SEARCHER.search(tmp_path / "f").hits)

    assert {
        Hit("features", "audio of record b"),
        Hit("features", "plain of record b"),
        Hit("features", "listed"),
        Hit("prepared rows", "shaped"),
        Hit("record ids", "nested"),
        Hit("salts", "fixed"),
    } <= hits
    assert {hit.where for hit in hits} <= {
        "audio of record b", "plain of record b", "listed", "shaped", "nested", "fixed",
    }  # fmt: skip


def test_archives_and_json_are_searched_unpacked(tmp_path):
    packed = io.BytesIO()
    np.savez_compressed(packed, clip=CLIP, other=RNG.standard_normal(50))
    text = {"a": [{"row": base64.b64encode(ROW.tobytes()).decode()}], "b": CLIP.ravel().tolist()}

    assert found(tmp_path / "f", packed.getvalue()) == {Hit("features", "clip.npy")}
    assert {hit.kind for hit in found(tmp_path / "f", json.dumps(text).encode())} == {
        "features", "prepared rows",
    }  # fmt: skip
    assert found(tmp_path / "f", json.dumps({"x": SALT.hex()}).encode()) == {Hit("salts", "")}
    assert found(tmp_path / "f", json.dumps([VANISHED]).encode()) == {Hit("record ids", "")}


def test_what_cannot_be_unpacked_is_searched_as_bytes_and_said(tmp_path):
    torn = io.BytesIO()
    with zipfile.ZipFile(torn, "w") as archive:
        archive.writestr("clip", CLIP.tobytes())
    (tmp_path / "zip").write_bytes(torn.getvalue()[:-30])
    (tmp_path / "parquet").write_bytes(b"PAR1" + ROW.tobytes() + b"PAR1")

    for name, kind in (("zip", "features"), ("parquet", "prepared rows")):
        searched = SEARCHER.search(tmp_path / name)
        assert not searched.unpacked
        assert searched.hits == (Hit(kind, ""),)
