"""Erasure: exactly the channel goes, from every file, whatever happens on the way."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mbd.canonical.json import dumps, loads_strict
from mbd.data.columns import sequence_bytes
from mbd.data.erasure import ErasePlan, build_needles, erase, plan_erasure
from mbd.data.needles import Needles, scan
from mbd.data.prepared import PreparedStore
from mbd.data.store import Store
from mbd.errors import IntegrityError, StorageError
from mbd.values import parse_availability
from tests.data.build import KEY, Revoked, same, small, stores

USER, GONE = "2", ("audio", "text")


def reopened(folder: Path) -> tuple[Store, PreparedStore]:
    return (
        Store.open(folder / "store", KEY),
        PreparedStore.open(folder / "prepared" / "one", KEY),
    )


def every_byte(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.fixture
def planned(tmp_path):
    store, prepared = stores(tmp_path)
    plan = plan_erasure(store, [prepared], USER, GONE)
    return store, prepared, plan, build_needles(store, [prepared], plan)


def test_exactly_the_channels_of_the_subject_go(tmp_path, planned):
    store, prepared, plan, _ = planned
    records = store.read()
    rows = {head: found for bucket in prepared.all_rows() for head, found in bucket.items()}
    counts = prepared.counts()

    erase(store, [prepared], plan)

    store, prepared = reopened(tmp_path)
    assert same(store.read(), records.without(Revoked((USER, "audio"), (USER, "text")).blocks))
    left = prepared.rows_of(USER)
    assert set(left) == {"vision"}
    for head in rows:
        removed = plan.rows.get(head, 0)
        assert prepared.counts()[head] == counts[head] - removed
        assert (removed > 0) == (not parse_availability(head).isdisjoint(GONE))


def test_the_plan_says_what_will_be(tmp_path, planned):
    store, prepared, plan, _ = planned
    mine = store.read(subjects=[USER])
    only = [m for i, m in enumerate(mine.record_ids) if mine.availability(i) <= set(GONE)]

    assert ErasePlan.from_json(loads_strict(dumps(plan.to_json()))) == plan
    assert sorted(plan.vanishing) == sorted(only)
    assert plan.root_before == store.root()
    erase(store, [prepared], plan)
    assert Store.open(store.folder, KEY).root() == plan.root_after
    assert plan_erasure(store, [prepared], USER, GONE).touched == ()


def test_the_root_afterwards_is_that_of_a_store_that_never_held_it(tmp_path, planned):
    store, prepared, plan, _ = planned
    never = store.read().without(plan.covers)

    erase(store, [prepared], plan)

    other = Store.create(tmp_path / "other", store.schema, never, KEY, buckets=3)
    assert other.root() == store.root() == plan.root_after


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

    erase(store, [prepared], plan)

    after = every_byte(tmp_path)
    assert not any(value in after for value in planted)
    assert not any(name.encode() in after for name in plan.vanishing)
    assert scan(tmp_path.rglob("*"), needles).clean


def test_every_kind_of_trace_is_found_where_it_is(planned):
    """So that a clean scan of one file is not for want of looking."""
    store, prepared, plan, needles = planned

    def kinds(path: Path) -> set[str]:
        return {found.what for found in scan([path], needles).found}

    assert plan.vanishing
    assert kinds(store.bucket_files(plan.bucket)[0]) == {"features", "record ids", "salts"}
    assert kinds(prepared.bucket_files(plan.bucket)[0]) == {"prepared rows", "record ids"}


def test_erasing_twice_is_erasing_once(tmp_path, planned):
    store, prepared, plan, _ = planned
    first = erase(store, [prepared], plan)
    content, generation = every_byte(tmp_path), store.generation

    store, prepared = reopened(tmp_path)
    again = erase(store, [prepared], plan)

    assert again == first
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
                    erase(one, [rows], plan)
            one, rows = reopened(work)
            assert same(one.read().without(plan.covers), wanted), "nothing else may be lost"
            erase(one, [rows], plan)
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
from mbd.canonical.json import loads_strict
from mbd.data.erasure import ErasePlan, erase
from tests.data.test_erasure import reopened

folder = Path(sys.argv[1])
plan = ErasePlan.from_json(loads_strict((folder.parent / "plan.json").read_bytes()))
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
erase(store, [prepared], plan)
"""


@pytest.mark.parametrize("at", [0, 2, 4, 6, 8, 10, 12])
def test_a_child_killed_on_the_way_is_finished_by_the_next(tmp_path, planned, at):
    store, prepared, plan, needles = planned
    (tmp_path.parent / "plan.json").write_bytes(dumps(plan.to_json()))
    wanted = store.read().without(plan.covers)

    died = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path), str(at)], check=False)

    assert died.returncode == -signal.SIGKILL
    store, prepared = reopened(tmp_path)
    assert same(store.read().without(plan.covers), wanted)
    erase(store, [prepared], plan)
    assert same(store.read(), wanted)
    assert scan(tmp_path.rglob("*"), needles).clean
    assert sorted(os.listdir(store.folder)) == sorted(path.name for path in store.files())


def test_values_that_somebody_else_holds_too_are_no_findings(tmp_path):
    """Two people, one file, the same clip: what stays with one is no trace of the other."""
    records, schema = small(2, 20)
    clip = np.random.default_rng(5).standard_normal((3, 12)).astype(np.float32)
    audio = (clip,) * 20
    twins = dataclasses.replace(records, x={**records.x, "audio": audio})
    store = Store.create(tmp_path / "store", schema, twins, KEY, buckets=1)
    plan = plan_erasure(store, [], "0", ["audio", "text"])
    needles = build_needles(store, [], plan)

    files = erase(store, [], plan)

    assert any(sequence_bytes(clip) in path.read_bytes() for path in files)
    assert len(needles.by_kind["features"]) > 10
    assert scan(files, needles).clean


def test_needles_survive_their_file_which_others_cannot_read(tmp_path, planned):
    needles = planned[3]
    path = tmp_path / "needles"

    needles.save(path)

    assert Needles.load(path) == needles
    assert len(needles) > 50
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(IntegrityError):
        Needles.load(path)


@pytest.mark.parametrize("offset", [0, 1, 7, 8, (1 << 24) - 10, (1 << 24) + 5])
def test_a_needle_is_found_wherever_it_lies(tmp_path, offset):
    needle = np.random.default_rng(0).bytes(64)
    (tmp_path / "file").write_bytes(bytes(offset) + needle + bytes(3))

    result = scan([tmp_path / "file", tmp_path / "gone"], Needles({"features": (needle,)}))

    assert [(Path(f.file).name, f.what) for f in result.found] == [("file", "features")]
    assert [Path(name).name for name in result.files] == ["file"]


def test_the_cost_of_an_erasure_does_not_grow_with_the_data_set(tmp_path):
    """Bytes rewritten, not seconds: ten times the people, a file of the same size."""
    sizes = []
    for users in (60, 600):
        records, schema = small(users, 5 * users)
        store = Store.create(tmp_path / str(users), schema, records, KEY)
        sizes.append(store.bucket_files(store.bucket_of(USER))[0].stat().st_size)

    assert sizes[1] < 2 * sizes[0]
