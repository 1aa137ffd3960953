"""A full disk: a clear error, nothing lost, and the request is finished once there is room."""

from __future__ import annotations

import errno
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from mbd.errors import StorageError
from tests.workflows.children import child_mbd, fail_at, full_from, limit_files
from tests.workflows.disk import (
    MODALITY,
    archive,
    assert_finished_once,
    assert_nothing_unnoised,
    copy_of,
    revoke,
    secrets_of,
    stage_of,
)
from tests.workspaces import RECORDS, Ran, TrainedWorkspace, must_run, run_mbd

KIB = 1024
TRAIN = ["train", "--core", "none", "--set", "heads.width=160", "--json"]


def assert_refused_by_disk(ran: Ran) -> None:
    """The disk refused, and the program says so in one line."""
    assert ran.code == 1, (ran.out, ran.err)
    assert ran.json["error"]["code"].startswith("storage"), ran.out
    assert "Traceback" not in ran.err


def files_of(root: Path) -> dict[str, bytes]:
    """Content of every file but databases and their like."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".db" not in path.name and path.name != ".lock"
    }


@pytest.mark.parametrize(
    ("size", "stage"),
    [
        pytest.param(1, "completed", id="not even begun"),
        pytest.param(56, "suppressed", id="ledger", marks=pytest.mark.slow),
        pytest.param(100, "suppressed", id="state"),
        pytest.param(400, "activated", id="records"),
    ],
)
def test_a_revocation_on_a_full_disk_is_finished_once_when_there_is_room(
    trained_workspace: TrainedWorkspace, size: int, stage: str
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    secrets = secrets_of(trained_workspace, user)
    full = partial(limit_files, size * KIB)

    assert_refused_by_disk(child_mbd(root, *revoke(user), prelude=full))

    assert stage_of(trained_workspace) == stage
    assert_nothing_unnoised(trained_workspace, secrets)
    if stage == "completed":
        must_run(root, *revoke(user))
        assert_finished_once(trained_workspace, user)
        return
    assert_refused_by_disk(child_mbd(root, "resume", "--json", prelude=full))
    reader = child_mbd(root, "predict", "--record", "r000000", "--json", prelude=full)
    assert reader.code == 0, "service must not stop because a disk is full"
    assert MODALITY not in reader.json["used"]
    assert "could not be finished" in reader.err
    (done,) = must_run(root, "resume", "--json").json["finished"]
    stated = assert_finished_once(trained_workspace, user)
    assert done["certificateId"] == stated["certificateId"]
    assert_nothing_unnoised(trained_workspace, secrets)


@pytest.mark.slow
def test_a_training_on_a_full_disk_leaves_the_old_model(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, before = trained_workspace.root, files_of(trained_workspace.root)
    for size in (1, 32, 100):
        full = partial(limit_files, size * KIB)
        assert_refused_by_disk(child_mbd(root, *TRAIN, prelude=full))
        assert files_of(root) == before
    must_run(root, *TRAIN)
    assert must_run(root, "state", "check", "--json").json["equal"]


def test_an_import_on_a_full_disk_leaves_the_old_data(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, before = trained_workspace.root, files_of(trained_workspace.root)
    more = ["data", "import", str(archive(trained_workspace)), "--spec"]
    more += [str(root.parent / "more.toml"), "--json"]
    full = partial(limit_files, 200 * KIB)
    assert_refused_by_disk(child_mbd(root, *more, prelude=full))
    assert files_of(root) == before
    assert must_run(root, *more).json["records"] == RECORDS + 2


def test_a_first_import_on_a_full_disk_leaves_no_data_and_can_be_repeated(tmp_path: Path) -> None:
    root = tmp_path / "service"
    must_run(tmp_path, "init", str(root))
    synth = ["data", "synth", "--users", "24", "--records", "48", "--json"]
    for size in (1, 50):
        full = partial(limit_files, size * KIB)
        assert_refused_by_disk(child_mbd(root, *synth, prelude=full))
        assert run_mbd(root, "data", "info").code == 4
        assert [path for path in (root / "data").rglob("*") if path.is_file()] == []
    assert must_run(root, *synth).json["records"] == 48


@pytest.mark.parametrize("size", [0.1, 1, 32])
def test_a_workspace_on_a_full_disk_is_not_half_made(tmp_path: Path, size: float) -> None:
    place = tmp_path / "place"
    place.mkdir()
    full = partial(limit_files, int(size * KIB))
    ran = child_mbd(place, "init", "service", "--json", prelude=full)
    assert ran.code == 1, (ran.out, ran.err)
    assert list(place.iterdir()) == []
    must_run(place, "init", "service")


@pytest.mark.slow
def test_readers_on_a_failing_disk_do_not_spend_the_privacy_of_a_request(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    failing = partial(fail_at, "mbd.workflows.staging", "derive_model")
    assert_refused_by_disk(child_mbd(root, *revoke(user), prelude=failing))
    for _ in range(3):
        assert child_mbd(root, "data", "info", prelude=failing).code == 0
    must_run(root, "data", "info")
    assert stage_of(trained_workspace) == "suppressed"
    must_run(root, "resume")
    assert_finished_once(trained_workspace, user, attempts=3)


def test_a_manifest_that_is_replaced_but_not_flushed_loses_no_file(
    trained_workspace: TrainedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rename took place, so the new files are in force; if it is undone, the old ones are."""
    store = trained_workspace.session().store()
    held = store.read_bucket(0)
    flushed = iter([None, OSError(errno.ENOSPC, "full")])

    def flush(folder: Path) -> None:
        failure = next(flushed)
        if failure is not None:
            raise failure

    with monkeypatch.context() as patch:
        patch.setattr("mbd.workspace.files.fsync_directory", flush)
        with pytest.raises(StorageError, match="full"):
            store.replace_bucket(0, held.select(range(5)))
    assert len(trained_workspace.session().store().read_bucket(0)) == 5
    assert len(list(store.folder.glob("*.parquet"))) == len(store.buckets()) + 1
    must_run(trained_workspace.root, "resume")
    assert len(list(store.folder.glob("*.parquet"))) == len(store.buckets())


@contextmanager
def small_disk(where: Path, size_kib: int) -> Iterator[Path]:
    """A file system of its own, no larger than this."""
    where.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", str(where)]
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, *options], capture_output=True).returncode:
        pytest.skip("this user may not mount a file system of limited size")
    try:
        yield where
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)


@pytest.mark.parametrize(
    "room",
    [
        0,
        pytest.param(100, marks=pytest.mark.slow),
        400,
        pytest.param(900, marks=pytest.mark.slow),
        pytest.param(1400, marks=pytest.mark.slow),
    ],
)
def test_a_disk_with_too_little_room_delays_a_revocation_and_loses_nothing(
    trained_workspace: TrainedWorkspace, tmp_path: Path, room: int
) -> None:
    user = trained_workspace.revocable[0]
    with small_disk(tmp_path / "disk", 16 * 1024) as disk:
        root = disk / "service"
        shutil.copytree(trained_workspace.root, root)
        there = TrainedWorkspace(root, trained_workspace.revocable, ())
        free = shutil.disk_usage(disk).free // KIB
        (disk / "filler").write_bytes(bytes((free - room) * KIB))

        ran = run_mbd(root, *revoke(user))
        assert_refused_by_disk(ran)
        reader = run_mbd(root, "predict", "--record", "r000000", "--json")
        assert reader.code in (0, 1), reader.err

        (disk / "filler").unlink()
        began = stage_of(there) != "completed"
        must_run(root, "resume")
        if not began:
            must_run(root, *revoke(user))
        attempts = must_run(root, "ledger", "list", "--json").json["entries"]
        count = sum(entry["type"] == "attempt" for entry in attempts)
        assert_finished_once(there, user, attempts=count)


@pytest.mark.slow
def test_full_from_any_write_on_a_revocation_is_finished_once(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 200):
        there = copy_of(original, tmp_path / str(number), monkeypatch)
        user = there.revocable[0]
        ran = child_mbd(there.root, *revoke(user), prelude=partial(full_from, number))
        if ran.code == 0:
            assert number > 20, "that many files are written at least"
            return
        assert_refused_by_disk(ran)
        must_run(there.root, "resume")
        if not list((there.root / "certs").iterdir()):
            must_run(there.root, *revoke(user))
        entries = must_run(there.root, "ledger", "list", "--json").json["entries"]
        assert_finished_once(there, user, attempts=sum(e["type"] == "attempt" for e in entries))
