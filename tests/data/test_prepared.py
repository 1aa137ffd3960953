"""Prepared rows: stored bit for bit, by head and bucket, with a digest of content only."""

from __future__ import annotations

import numpy as np
import pytest

from mbd.data.prepared import PreparedRows, PreparedStore
from mbd.errors import ConflictError, DataError, IntegrityError, NotFoundError, StorageError
from mbd.workspace.files import write_atomically
from tests.data.build import KEY, prepare, small, stores

RECORDS, SCHEMA = small()
ROWS = prepare(RECORDS, SCHEMA.names)


def keyed(rows: PreparedRows) -> dict[str, tuple[bytes, bytes]]:
    return {
        name: (rows.v[i].tobytes(), rows.t[i].tobytes()) for i, name in enumerate(rows.record_ids)
    }


def test_rows_come_back_bit_for_bit(tmp_path):
    _, prepared = stores(tmp_path)
    again = PreparedStore.open(prepared.folder, KEY)

    assert again.heads() == tuple(sorted(ROWS))
    for head, rows in ROWS.items():
        assert keyed(PreparedRows.concat(again.rows(head))) == keyed(rows)
        assert again.counts()[head] == len(rows)
    for head, mine in again.rows_of("3").items():
        assert keyed(mine) == keyed(ROWS[head].of_subject("3"))
        assert mine.v.dtype == np.int16
        assert mine.t.dtype == np.int32


def test_the_digest_knows_the_rows_and_nothing_else(tmp_path):
    _, prepared = stores(tmp_path)
    flipped = {head: rows.select(np.arange(len(rows))[::-1]) for head, rows in ROWS.items()}
    one = PreparedStore.create(tmp_path / "one", KEY, 1, [(0, flipped)], {"core": "other"})
    changed = ROWS["text"].v.copy()
    changed[0, 0] ^= 1
    text = ROWS["text"]
    altered = {**ROWS, "text": PreparedRows(text.record_ids, text.subjects, changed, text.t)}
    two = PreparedStore.create(tmp_path / "two", KEY, 1, [(0, altered)])

    assert one.digest() == prepared.digest()
    assert two.digest() != prepared.digest()
    assert one.facts == {"core": "other"}


def test_rows_spread_over_more_files_are_the_same_rows(tmp_path):
    _, prepared = stores(tmp_path)
    before, counts, largest = prepared.digest(), prepared.counts(), _largest(prepared)

    prepared.spread(5)
    assert len(prepared.buckets()) == 3, "less than twice as many are not worth it"

    prepared.spread(25)

    again = PreparedStore.open(prepared.folder, KEY)
    assert len(again.buckets()) == 24
    assert again.digest() == before
    assert again.counts() == counts
    assert _largest(again) < largest
    assert {*again.folder.iterdir()} == {*again.files()}
    for subject in set(RECORDS.subjects):
        assert again.rows_of(subject).keys() == {
            h for h, r in ROWS.items() if subject in r.subjects
        }


def test_a_disk_that_is_full_while_rows_spread_leaves_them_as_they_were(tmp_path, monkeypatch):
    _, prepared = stores(tmp_path)
    before, files = prepared.digest(), {*prepared.files()}
    written = []

    def full_after_two(path, content, **options):
        written.append(path)
        if len(written) > 2:
            raise StorageError("full", code="storage.full")
        write_atomically(path, content, **options)

    monkeypatch.setattr("mbd.data.buckets.write_atomically", full_after_two)
    with pytest.raises(StorageError):
        prepared.spread(24)

    assert {*PreparedStore.open(prepared.folder, KEY).folder.iterdir()} == files
    assert prepared.digest() == before


def _largest(prepared: PreparedStore) -> int:
    return max(path.stat().st_size for path in prepared.files()[:-1])


def test_heads_of_different_width_share_a_file(tmp_path):
    def of(width: int) -> PreparedRows:
        return PreparedRows(
            ("a", "b"), ("s", "s"),
            np.full((2, width), width, np.int16), np.full((2, width), -1, np.int32),
        )  # fmt: skip

    rows = {"audio": of(2), "audio+text": of(5), "text": of(3)}
    prepared = PreparedStore.create(tmp_path / "p", KEY, 1, [(0, rows)])

    found = prepared.read_bucket(0)

    assert {head: part.v.shape[1] for head, part in found.items()} == {
        "audio": 2, "audio+text": 5, "text": 3,
    }  # fmt: skip
    assert all(keyed(found[head]) == keyed(rows[head]) for head in rows)


def test_a_head_that_lost_every_row_is_gone(tmp_path):
    prepared = PreparedStore.create(tmp_path / "p", KEY, 1, [(0, ROWS)])

    prepared.write_bucket(0, {})

    assert prepared.heads() == ()
    assert prepared.read_bucket(0) == {}
    assert [path.name for path in prepared.folder.iterdir()] == ["manifest.json"]


def test_misplaced_rows_and_second_stores_are_refused(tmp_path):
    _, prepared = stores(tmp_path)
    wrong = (prepared.bucket_of("0") + 1) % 3

    with pytest.raises(DataError, match="belong"):
        prepared.write_bucket(wrong, {"text": ROWS["text"].of_subject("0")})
    with pytest.raises(ConflictError):
        PreparedStore.create(prepared.folder, KEY, 3, [])
    with pytest.raises(NotFoundError):
        PreparedStore.open(tmp_path / "elsewhere", KEY)
    with pytest.raises(DataError, match="differ"):
        PreparedRows(("a",), (), np.zeros((1, 1), np.int16), np.zeros((1, 1), np.int32))


def test_a_truncated_file_is_named(tmp_path):
    _, prepared = stores(tmp_path)
    path = prepared.bucket_files(2)[0]
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(IntegrityError, match=path.name):
        prepared.digest()
