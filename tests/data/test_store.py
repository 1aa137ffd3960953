"""The store: what goes in comes out, changes are all or nothing, damage is named."""

from __future__ import annotations

import dataclasses
import errno
import os
import subprocess
import sys

import numpy as np
import pytest

from mbd.data.intake import take_in
from mbd.data.records import Records
from mbd.data.store import SUBJECTS_PER_BUCKET, Store, bucket_count
from mbd.data.synthetic import synthesise
from mbd.errors import (
    ConflictError,
    DataError,
    IntegrityError,
    NotFoundError,
    StorageError,
    TemporaryError,
    VersionError,
)
from tests.data.build import KEY, Revoked, same, small

RECORDS, SCHEMA = small()


@pytest.fixture
def store(tmp_path):
    return Store.create(tmp_path / "store", SCHEMA, RECORDS, KEY, buckets=3)


def renamed(records: Records, suffix: str) -> Records:
    return dataclasses.replace(
        records, record_ids=tuple(name + suffix for name in records.record_ids)
    )


def relabelled(index: int, label: float) -> Records:
    labels = RECORDS.labels.copy()
    labels[index] = label
    return dataclasses.replace(RECORDS, labels=labels)


def test_what_goes_in_comes_out(store):
    again = Store.open(store.folder, KEY)

    assert same(again.read(), RECORDS)
    assert again.schema == SCHEMA
    assert again.root() == store.root()
    assert same(again.record("r000007"), RECORDS.select([7]))
    assert same(again.read(subjects=["3"]), RECORDS.where(subjects=["3"]))
    assert same(again.read(split="test", cohort="revocable"),
                RECORDS.where(split="test", cohort="revocable"))  # fmt: skip


def test_suppressed_channels_are_not_read(store):
    revoked = Revoked(("3", "audio"), ("3", "text"), ("3", "vision"), ("4", "audio"))

    found = store.read(suppressions=revoked)

    assert same(found, RECORDS.without(revoked.blocks))
    assert "3" not in found.subjects
    people = {one.user: one for one in store.subjects(revoked)}
    assert people["3"].records == 0
    assert people["4"].available == {"text", "vision"}
    assert store.describe(revoked).records == len(found)


def test_the_root_knows_content_not_order_or_time(tmp_path, store):
    held = store.read()
    shuffled = held.select(np.random.default_rng(0).permutation(len(held)))
    labels = held.labels.copy()
    labels[0] = 2.9
    other = Store.create(tmp_path / "other", SCHEMA, shuffled, KEY, buckets=3)
    changed = dataclasses.replace(held, labels=labels)
    changed = Store.create(tmp_path / "changed", SCHEMA, changed, KEY, buckets=3)

    assert other.root() == store.root()
    assert changed.root() != store.root()


def test_nobody_can_guess_a_root_from_the_data(tmp_path, store):
    """Salts are drawn when an item is first stored, and stay with it."""
    again = Store.create(tmp_path / "again", SCHEMA, RECORDS, KEY, buckets=3)
    before = store.read().where(subjects=["1"])

    assert again.root() != store.root()
    store.add(renamed(RECORDS, "-b"))
    after = store.read().where(subjects=["1"])
    kept = {n: after.salts["text"][i] for i, n in enumerate(after.record_ids)}
    assert [kept[n] for n in before.record_ids] == list(before.salts["text"])


def test_a_subject_is_in_one_bucket_that_the_key_decides(store):
    for bucket in store.buckets():
        assert {store.bucket_of(s) for s in store.read_bucket(bucket).subjects} <= {bucket}
    with pytest.raises(IntegrityError, match="key"):
        Store.open(store.folder, bytes(32))


@pytest.mark.parametrize("subjects", [1, 24, 500, 5000])
def test_buckets_stay_small_however_many_subjects(subjects):
    assert subjects / bucket_count(subjects, 20 * subjects) <= SUBJECTS_PER_BUCKET
    assert bucket_count(subjects, 20 * subjects) <= max(1, subjects)


def test_a_growing_store_spreads_over_more_buckets(tmp_path):
    store = Store.create(tmp_path / "store", SCHEMA, RECORDS, KEY)
    assert len(store.buckets()) == 1
    more, _ = synthesise(200, 200, seed=1)
    more = dataclasses.replace(
        renamed(more, "-b"),
        subjects=tuple(f"n{s}" for s in more.subjects),
        cohorts=("revocable",) * 200,
    )

    store.add(more)

    assert len(store.buckets()) == bucket_count(206, 248)
    assert same(Store.open(store.folder, KEY).read(), Records.concat([RECORDS, more]))
    assert sorted(os.listdir(store.folder)) == sorted(path.name for path in store.files())


def test_a_store_that_spreads_holds_one_of_its_files_in_memory_at_a_time(store, monkeypatch):
    more, _ = synthesise(300, 300, seed=1)
    more = dataclasses.replace(
        renamed(more, "-b"),
        subjects=tuple(f"n{s}" for s in more.subjects),
        cohorts=("revocable",) * 300,
    )
    held = store.read()
    largest = max(len(store.read_bucket(b)) for b in store.buckets()) + 300
    joined, concat = [], Records.concat

    def counted(parts, modalities=()):
        made = concat(parts, modalities)
        joined.append(len(made))
        return made

    monkeypatch.setattr(Records, "concat", staticmethod(counted))
    store.add(more)

    assert max(joined) < largest < len(held) + len(more)
    assert len(store.buckets()) % 3 == 0
    assert len(store.buckets()) >= bucket_count(306, 348)
    for bucket in store.buckets():
        assert {store.bucket_of(s) for s in store.read_bucket(bucket).subjects} <= {bucket}
    monkeypatch.undo()
    assert same(Store.open(store.folder, KEY).read(), Records.concat([held, more]))


def test_later_records_join_without_what_was_revoked(tmp_path):
    folder = tmp_path / "store"
    take_in(folder, KEY, RECORDS, SCHEMA)
    revoked = Revoked(("2", "audio"), *(("5", name) for name in SCHEMA.names))
    more = renamed(RECORDS.where(subjects=["1", "2", "5"]), "-b")
    fives = [name for s, name in zip(more.subjects, more.record_ids, strict=True) if s == "5"]

    taken = take_in(folder, KEY, more, SCHEMA, revoked)

    assert same(taken.store.read(), Records.concat([RECORDS, more.without(revoked.blocks)]))
    assert sorted(drop.record for drop in taken.dropped) == sorted(fives)
    assert taken.taken == len(more) - len(fives)
    blocked = sum(
        value is not None and revoked.blocks(subject, name)
        for name, column in more.x.items()
        for subject, value in zip(more.subjects, column, strict=True)
    )
    assert taken.suppressed == blocked


def test_an_import_that_contradicts_what_is_held_changes_nothing(tmp_path):
    folder = tmp_path / "store"
    take_in(folder, KEY, RECORDS, SCHEMA)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    other = "revocable" if RECORDS.cohorts[0] == "foundation" else "foundation"
    new = renamed(RECORDS.select([0]), "-b")
    longer = {**new.x, "text": (np.ones((99, 24), np.float32),)}
    narrower = dataclasses.replace(SCHEMA, modalities=SCHEMA.modalities[:2])

    with pytest.raises(ConflictError, match="'r000000' is held already"):
        take_in(folder, KEY, RECORDS, SCHEMA)
    with pytest.raises(DataError, match="two cohorts"):
        take_in(folder, KEY, dataclasses.replace(new, cohorts=(other,)), SCHEMA)
    with pytest.raises(DataError, match="shape"):
        take_in(folder, KEY, dataclasses.replace(new, x=longer), SCHEMA)
    with pytest.raises(ConflictError, match="another data set"):
        take_in(folder, KEY, new, narrower)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("records", "words"),
    [
        (relabelled(4, 3.2), "'r000004': label 3.2"),
        (relabelled(4, float("nan")), "'r000004'"),
        (dataclasses.replace(RECORDS, record_ids=("r000001", *RECORDS.record_ids[1:])), "twice"),
        (
            dataclasses.replace(
                RECORDS, x={**RECORDS.x, "text": (np.full((2, 24), np.nan),) * len(RECORDS)}
            ),
            "not finite",
        ),
        (dataclasses.replace(RECORDS, x={"smell": RECORDS.x["text"]}), "'smell'"),
        (dataclasses.replace(RECORDS, x={"text": (None,) * len(RECORDS)}), "no modality"),
    ],
)
def test_records_that_contradict_themselves_are_refused(tmp_path, records, words):
    with pytest.raises(DataError, match=words):
        Store.create(tmp_path / "store", SCHEMA, records, KEY)
    assert not (tmp_path / "store").exists()


def test_one_store_per_folder(store):
    with pytest.raises(ConflictError):
        Store.create(store.folder, SCHEMA, RECORDS, KEY)
    with pytest.raises(NotFoundError, match="no data"):
        Store.open(store.folder / "elsewhere", KEY)


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
def test_a_damaged_file_is_named_when_it_is_read(store, damage):
    path = store.bucket_files(1)[0]
    content = path.read_bytes()
    if damage == "truncate":
        path.write_bytes(content[:-100])
    elif damage == "flip":
        path.write_bytes(content[:500] + bytes([content[500] ^ 1]) + content[501:])
    else:
        path.unlink()

    with pytest.raises(IntegrityError, match=path.name):
        Store.open(store.folder, KEY).read()


def test_a_damaged_newer_or_older_manifest_is_refused(store):
    manifest = store.folder / "manifest.json"
    content = manifest.read_bytes()
    for bad in (content[:-40], content.replace(b'"generation":1', b'"generation":2'), b"{}", b""):
        manifest.write_bytes(bad)
        with pytest.raises(IntegrityError, match="manifest"):
            Store.open(store.folder, KEY)
    for version, words in ((3, "newer"), (1, "no salts")):
        manifest.write_bytes(content.replace(b'"format":2', b'"format":%d' % version))
        with pytest.raises(VersionError) as refused:
            Store.open(store.folder, KEY)
        assert words in f"{refused.value.message} {refused.value.hint}"


def test_a_reader_follows_a_writer(store):
    reader = Store.open(store.folder, KEY)

    store.add(renamed(RECORDS, "-b"))

    assert len(reader.read()) == 2 * len(RECORDS)


def test_a_reader_whose_buckets_were_spread_anew_is_told_to_try_again(store):
    reader = Store.open(store.folder, KEY)
    more, _ = synthesise(300, 300, seed=1)
    more = renamed(more, "-b")
    cohorts = ("foundation",) * 300
    store.add(
        dataclasses.replace(more, subjects=tuple(f"n{s}" for s in more.subjects), cohorts=cohorts)
    )

    with pytest.raises(TemporaryError):
        reader.read()


def test_a_change_that_fails_at_any_rename_leaves_the_old_content(store, monkeypatch):
    before = sorted(path.name for path in store.folder.iterdir())
    rename, more = os.replace, renamed(RECORDS, "-b")
    for failing in range(4):  # three buckets, then the manifest
        calls = iter(range(100))

        def fail(source, target, calls=calls, failing=failing):
            if next(calls) == failing:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            rename(source, target)

        monkeypatch.setattr(os, "replace", fail)
        with pytest.raises(StorageError) as full:
            store.add(more)
        assert full.value.code == "storage.full"
        assert same(Store.open(store.folder, KEY).read(), RECORDS)
        assert sorted(path.name for path in store.folder.iterdir()) == before
    monkeypatch.setattr(os, "replace", rename)
    store.add(more)
    assert len(store.read()) == 2 * len(RECORDS)


FULL_DISK = """
import resource, sys
from pathlib import Path
from mbd.data.store import Store
from mbd.errors import StorageError
from tests.data.build import KEY, small

records, schema = small(60, 600)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    Store.create(Path(sys.argv[1]), schema, records, KEY)
except StorageError as error:
    print(error.code)
"""


def test_a_full_disk_leaves_nothing_behind(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "store")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout == "storage.full\n"
    assert list((tmp_path / "store").iterdir()) == []
