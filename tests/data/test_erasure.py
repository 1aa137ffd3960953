"""Erasure: exactly the channel goes, from every file, whatever happens on the way."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mbd.canonical.items import root_of_items
from mbd.canonical.json import dumps
from mbd.data.columns import sequence_bytes
from mbd.data.erasure import BucketErasure, Erasing, bucket_files, erase_bucket, plan_bucket
from mbd.data.items import items_of
from mbd.data.needles import scan
from mbd.data.prepared import PreparedRows, PreparedStore
from mbd.data.store import Store
from mbd.errors import DataError, IntegrityError, NotFoundError, StorageError
from mbd.values import parse_availability
from tests.data.build import KEY, Revoked, prepare, same, small, stores

USER, GONE = "2", ("audio", "text")


def reopened(folder: Path) -> tuple[Store, PreparedStore]:
    return (
        Store.open(folder / "store", KEY),
        PreparedStore.open(folder / "prepared" / "one", KEY),
    )


def every_byte(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def asking(subject: str, *modalities: str, request: str = "") -> Erasing:
    return Erasing(request=request or subject, subject=subject, modalities=modalities)


def plan_alone(store: Store, prepared: list[PreparedStore], asked: Erasing) -> BucketErasure:
    return plan_bucket(store, prepared, store.bucket_of(asked.subject), [asked])


@pytest.fixture
def planned(tmp_path):
    store, prepared = stores(tmp_path)
    plan = plan_alone(store, [prepared], asking(USER, *GONE))
    return store, prepared, plan, plan.needles()


def test_exactly_the_channels_of_the_subject_go(tmp_path, planned):
    store, prepared, plan, _ = planned
    records = store.read()
    rows = {head: found for bucket in prepared.all_rows() for head, found in bucket.items()}
    counts = prepared.counts()

    erase_bucket(store, [prepared], plan)

    store, prepared = reopened(tmp_path)
    assert same(store.read(), records.without(Revoked((USER, "audio"), (USER, "text")).blocks))
    left = prepared.rows_of(USER)
    assert set(left) == {"vision"}
    for head in rows:
        removed = plan.plans[0].rows.get(head, 0)
        assert prepared.counts()[head] == counts[head] - removed
        assert (removed > 0) == (not parse_availability(head).isdisjoint(GONE))


def test_the_plan_says_what_will_be(tmp_path, planned):
    store, prepared, plan, _ = planned
    mine = store.read(subjects=[USER])
    only = [m for i, m in enumerate(mine.record_ids) if mine.availability(i) <= set(GONE)]
    after = store.root({plan.bucket: plan.root_after})

    assert sorted(plan.plan_of(USER).vanishing) == sorted(only)
    assert plan.root_before == store.bucket_root(plan.bucket) != plan.root_after
    erase_bucket(store, [prepared], plan)
    assert Store.open(store.folder, KEY).root() == after
    assert store.bucket_root(plan.bucket) == plan.root_after
    again = plan_alone(store, [prepared], asking(USER, *GONE))
    assert again.plans[0].items == ()
    assert again.root_before == again.root_after
    with pytest.raises(NotFoundError):
        plan.plan_of("another")


def test_a_plan_survives_its_file_which_others_cannot_read(tmp_path, planned):
    plan, path = planned[2], tmp_path / "plan"

    plan.save(path)

    assert BucketErasure.load(path) == plan
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(IntegrityError):
        BucketErasure.load(path)


def test_the_root_afterwards_is_that_of_a_store_that_never_held_it(tmp_path, planned):
    store, prepared, plan, _ = planned
    never = store.read().without(plan.covers)

    erase_bucket(store, [prepared], plan)

    other = Store.create(tmp_path / "other", store.schema, never, KEY, buckets=3)
    assert other.root() == store.root()


def test_no_old_byte_is_left_in_any_file(tmp_path, planned):
    store, prepared, plan, needles = planned
    mine = store.read(subjects=[USER])
    planted = [
        sequence_bytes(value)[start : start + 32]
        for name in GONE
        for value in mine.x[name]
        if value is not None
        for start in range(0, value.nbytes - 32, 32)
    ]
    for head, rows in prepared.rows_of(USER).items():
        if not parse_availability(head).isdisjoint(GONE):
            planted += [row.tobytes() for row in rows.v]
    before = every_byte(tmp_path)
    assert len(planted) > 100
    assert all(value in before for value in planted)
    assert not scan([*store.files(), *prepared.files()], needles).clean

    erase_bucket(store, [prepared], plan)

    after = every_byte(tmp_path)
    assert not any(value in after for value in planted)
    assert not any(name.encode() in after for name in plan.plans[0].vanishing)
    assert scan(tmp_path.rglob("*"), needles).clean


def test_every_kind_of_trace_is_found_where_it_is(planned):
    """So that a clean scan of one file is not for want of looking."""
    store, prepared, plan, needles = planned

    def kinds(path: Path) -> set[str]:
        return {found.what for found in scan([path], needles).found}

    assert plan.plans[0].vanishing
    assert kinds(store.bucket_files(plan.bucket)[0]) == {"features", "record ids", "salts"}
    assert kinds(prepared.bucket_files(plan.bucket)[0]) == {"prepared rows", "record ids"}


def test_erasing_twice_is_erasing_once(tmp_path, planned):
    store, prepared, plan, _ = planned
    erase_bucket(store, [prepared], plan)
    content, generation = every_byte(tmp_path), store.generation

    store, prepared = reopened(tmp_path)
    erase_bucket(store, [prepared], plan)

    assert every_byte(tmp_path) == content
    assert store.generation == generation


def test_a_failure_at_any_rename_or_unlink_is_mended_by_repeating(tmp_path, planned, monkeypatch):
    store, prepared, plan, needles = planned
    wanted = store.read().without(plan.covers)
    keep = tmp_path / "keep"
    shutil.copytree(store.folder, keep / "store")
    shutil.copytree(prepared.folder, keep / "prepared" / "one")
    for operation in ("os.replace", "pathlib.Path.unlink"):
        for failing in range(4):
            work = tmp_path / f"{operation}{failing}"
            shutil.copytree(keep, work)
            with monkeypatch.context() as patched:
                fail_at(patched, operation, failing)
                one, rows = reopened(work)
                with contextlib.suppress(StorageError):
                    erase_bucket(one, [rows], plan)
            one, rows = reopened(work)
            assert same(one.read().without(plan.covers), wanted), "nothing else may be lost"
            erase_bucket(one, [rows], plan)
            assert same(one.read(), wanted)
            assert scan(work.rglob("*"), needles).clean


def fail_at(patched: pytest.MonkeyPatch, operation: str, failing: int) -> None:
    calls = iter(range(1000))
    original = os.replace if operation == "os.replace" else Path.unlink

    def fail(*arguments, **options):
        if next(calls) == failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return original(*arguments, **options)

    patched.setattr(operation, fail)


CHILD = """
import os, sys
from pathlib import Path
from mbd.data.erasure import BucketErasure, erase_bucket
from tests.data.test_erasure import reopened

folder = Path(sys.argv[1])
plan = BucketErasure.load(folder.parent / "plan.json")
store, prepared = reopened(folder)
calls, at = iter(range(1000)), int(sys.argv[2])

def dying(call):
    def step(*arguments, **options):
        if next(calls) == at:
            os.kill(os.getpid(), 9)
        return call(*arguments, **options)
    return step

for name in ("open", "fsync", "replace", "unlink"):
    setattr(os, name, dying(getattr(os, name)))
Path.unlink = dying(Path.unlink)
erase_bucket(store, [prepared], plan)
"""


@pytest.mark.parametrize("at", [0, 2, 4, 6, 8, 10, 12])
def test_a_child_killed_on_the_way_is_finished_by_the_next(tmp_path, at):
    folder = tmp_path / "data"
    store, prepared, bucket, wanted = batch(folder)
    plan = plan_bucket(store, [prepared], bucket, wanted)
    plan.save(tmp_path / "plan.json")
    kept = store.read().without(plan.covers)

    died = subprocess.run([sys.executable, "-c", CHILD, str(folder), str(at)], check=False)

    assert died.returncode == -signal.SIGKILL
    store, prepared = reopened(folder)
    assert same(store.read().without(plan.covers), kept)
    erase_bucket(store, [prepared], plan)
    assert same(store.read(), kept)
    assert scan(folder.rglob("*"), plan.needles()).clean
    assert sorted(os.listdir(store.folder)) == sorted(path.name for path in store.files())


def batch(folder: Path) -> tuple[Store, PreparedStore, int, list[Erasing]]:
    """A bucket with requests of several people: one asks twice, one is unknown, some stay."""
    store, prepared = stores(folder, users=18, records=144)
    people = sorted(set(store.read_bucket(1).subjects))
    unknown = next(name for name in map(str, range(100, 999)) if store.bucket_of(name) == 1)
    assert len(people) >= 4
    one, two, three = people[:3]
    wanted = [
        asking(one, "audio", request="first"),
        asking(unknown, "audio", "text", "vision"),
        asking(two, "audio", "text", "vision"),
        asking(one, "audio", "text", "vision", request="second"),
        asking(three, "text"),
    ]
    return store, prepared, 1, wanted


def test_a_batch_erases_what_its_requests_erase_one_by_one(tmp_path):
    store, prepared, bucket, wanted = batch(tmp_path / "together")
    shutil.copytree(tmp_path / "together", tmp_path / "alone")
    plan = plan_bucket(store, [prepared], bucket, wanted)
    other, rows = reopened(tmp_path / "alone")
    of_each = {"needles": None, "root_with": None}  # they depend on what others take

    erase_bucket(store, [prepared], plan)
    for asked, one in zip(wanted, plan.plans, strict=True):
        single = plan_alone(other, [rows], asked)
        erase_bucket(other, [rows], single)
        mine = {**vars(single.plans[0]), **of_each}
        assert {**vars(one), **of_each} == mine
        assert single.plans[0].root_with == single.root_before, "alone it is what there was"
        for kind, needles in single.needles().by_kind.items():
            assert set(needles) <= set(one.needles.by_kind[kind]), "later requests hold nothing"

    store, prepared = reopened(tmp_path / "together")
    assert store.bucket_root(bucket) == plan.root_after
    left = list(items_of(store.read_bucket(bucket)))
    for one in plan.plans:
        assert one.root_with == root_of_items([*left, *one.items]).hex(), "what others took is gone"
    assert store.root() == other.root()
    assert same(store.read(), other.read())
    assert prepared.digest() == rows.digest()
    assert [bool(one.items) for one in plan.plans] == [True, False, True, True, True]
    second = plan.plan_of("second")
    assert {item.modality for item in second.items} == {"text", "vision"}
    assert set(second.vanishing) >= set(plan.plan_of("first").touched) != set()
    assert not any("audio" in parse_availability(head) for head in second.rows)
    assert scan((tmp_path / "together").rglob("*"), plan.needles()).clean


def test_a_list_that_an_earlier_version_wrote_is_read(tmp_path):
    store, prepared, bucket, wanted = batch(tmp_path / "store")
    plan_bucket(store, [prepared], bucket, wanted).save(tmp_path / "list.json")
    content = json.loads((tmp_path / "list.json").read_bytes())
    for one in content["plans"]:
        del one["root_with"]
    (tmp_path / "list.json").write_bytes(dumps(content))
    assert BucketErasure.load(tmp_path / "list.json").plans[0].root_with == ""


def test_a_batch_reads_and_writes_each_file_once(tmp_path, monkeypatch):
    store, prepared, bucket, wanted = batch(tmp_path)
    read: list[object] = []
    for kind in (Store, PreparedStore):
        monkeypatch.setattr(kind, "read_bucket", counted(read, kind.read_bucket))
    generations = store.generation, prepared.generation

    plan = plan_bucket(store, [prepared], bucket, wanted)
    assert read == [store, prepared]
    erase_bucket(store, [prepared], plan)

    assert read == [store, prepared] * 2
    assert (store.generation, prepared.generation) == tuple(one + 1 for one in generations)


def counted(read, original):
    def read_bucket(self, bucket):
        read.append(self)
        return original(self, bucket)

    return read_bucket


def test_a_batch_refuses_who_is_elsewhere_and_a_request_that_is_there_twice(tmp_path):
    store, prepared, bucket, wanted = batch(tmp_path)

    with pytest.raises(DataError, match="bucket 2"):
        plan_bucket(store, [prepared], 2, wanted)
    with pytest.raises(DataError, match="twice"):
        plan_bucket(store, [prepared], bucket, [*wanted, wanted[0]])


@pytest.mark.parametrize("count", [1, 6])
def test_rows_in_fewer_or_more_files_than_records_are_found_too(tmp_path, count):
    store, prepared, bucket, wanted = batch(tmp_path)
    everything = {name: PreparedRows.concat(prepared.rows(name)) for name in prepared.heads()}
    rows = PreparedStore.create(tmp_path / "rows", KEY, 1, [(0, everything)])
    rows.spread(count)
    alike = plan_bucket(store, [prepared], bucket, wanted)

    plan = plan_bucket(store, [rows], bucket, wanted)
    erase_bucket(store, [rows], plan)

    assert len(rows.buckets()) == count
    assert [one.rows for one in plan.plans] == [one.rows for one in alike.plans]
    assert scan(bucket_files(store, [rows], plan), plan.needles()).clean
    erase_bucket(store, [prepared], plan)
    assert rows.digest() == prepared.digest()


def test_what_two_people_share_is_a_trace_once_both_are_erased(tmp_path):
    """Nobody who stays holds it, so it must not be found: also if one of them asked alone."""
    records, schema = small(3, 30)
    clip = np.random.default_rng(5).standard_normal((3, 12)).astype(np.float32)
    audio = tuple(None if who == "2" else clip for who in records.subjects)
    twins = dataclasses.replace(records, x={**records.x, "audio": audio})
    store = Store.create(tmp_path / "store", schema, twins, KEY, buckets=1)
    both = [asking("0", "audio"), asking("1", "audio")]

    alone = plan_bucket(store, [], 0, both[:1])
    together = plan_bucket(store, [], 0, both)

    assert alone.needles().by_kind["features"] == ()
    assert [len(one.needles.by_kind["features"]) for one in together.plans] == [3, 3]


def test_values_that_somebody_else_holds_too_are_no_findings(tmp_path):
    """Two people, one file, the same clip: what stays with one is no trace of the other."""
    records, schema = small(2, 20)
    clip = np.random.default_rng(5).standard_normal((3, 12)).astype(np.float32)
    audio = (clip,) * 20
    twins = dataclasses.replace(records, x={**records.x, "audio": audio})
    store = Store.create(tmp_path / "store", schema, twins, KEY, buckets=1)
    plan = plan_alone(store, [], asking("0", "audio", "text"))

    erase_bucket(store, [], plan)

    files, needles = bucket_files(store, [], plan), plan.needles()
    assert any(sequence_bytes(clip) in path.read_bytes() for path in files)
    assert len(needles.by_kind["features"]) > 10
    assert scan(files, needles).clean


def test_a_row_that_somebody_else_has_too_is_no_finding(tmp_path):
    """Rows of few, coarse numbers may agree by chance; what stays with one is no trace."""
    records, schema = small(2, 20)
    store = Store.create(tmp_path / "store", schema, records, KEY, buckets=1)
    rows = prepare(records, schema.names)["audio"]
    alike = dataclasses.replace(rows, v=np.tile(rows.v[:1], (len(rows), 1)))
    prepared = PreparedStore.create(tmp_path / "rows", KEY, 1, [(0, {"audio": alike})])

    plan = plan_alone(store, [prepared], asking("0", "audio"))
    erase_bucket(store, [prepared], plan)

    assert plan.plans[0].rows["audio"] > 0
    assert plan.needles().by_kind["prepared rows"] == ()
    assert scan(bucket_files(store, [prepared], plan), plan.needles()).clean


def test_the_cost_of_an_erasure_does_not_grow_with_the_data_set(tmp_path):
    """Bytes rewritten, not seconds: ten times the people, a file of the same size."""
    sizes = []
    for users in (60, 600):
        records, schema = small(users, 5 * users)
        store = Store.create(tmp_path / str(users), schema, records, KEY)
        sizes.append(store.bucket_files(store.bucket_of(USER))[0].stat().st_size)

    assert sizes[1] < 2 * sizes[0]
