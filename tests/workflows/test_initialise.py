"""`mbd init`: a whole workspace in its place, or nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mbd.workspace.layout import SETTINGS_FILE
from tests.workspaces import must_run, run_mbd, spawn_mbd


def test_a_workspace_is_made_in_the_folder_that_one_stands_in(tmp_path: Path) -> None:
    """A folder that is there stays the same one, so that shells in it go on."""
    place = tmp_path / "service"
    place.mkdir()
    before = place.stat().st_ino

    must_run(place, "init", ".")

    assert place.stat().st_ino == before
    assert not [path for path in place.iterdir() if path.name.startswith(".")]
    must_run(place, "data", "synth", "--users", "6", "--records", "60")
    must_run(place, "doctor")


def test_the_folder_above_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where something is mounted, that folder is another file system, and perhaps read-only."""
    place = tmp_path / "disk" / "mounted"
    place.mkdir(parents=True)
    made = list[Path]()
    monkeypatch.setattr(os, "mkdir", _watched(os.mkdir, made))

    must_run(tmp_path, "init", str(place))

    assert made
    assert all(path.is_relative_to(place) for path in made if path.is_relative_to(place.parent))


def _watched(real: object, made: list[Path]) -> object:
    def mkdir(path: str, mode: int = 0o777, **options: int) -> None:
        made.append(Path(path))
        real(path, mode, **options)  # type: ignore[operator]

    return mkdir


@pytest.mark.parametrize("exists", [True, False])
def test_a_disk_that_refuses_leaves_the_place_as_it_was(tmp_path: Path, exists: bool) -> None:
    place = tmp_path / "service"
    if exists:
        place.mkdir()
    refuse = (
        "import errno, os; real = os.rename\n"
        "def rename(old, new):\n"
        f"    if not {exists} or str(old).endswith('/trust.toml'):\n"
        "        raise OSError(errno.EIO, 'broken')\n"
        "    real(old, new)\n"
        "os.rename = rename"
    )

    ran = spawn_mbd(tmp_path, "init", "service", prelude=refuse)

    assert ran.code == 1, ran.err
    assert place.exists() == exists
    assert not list(place.glob("*"))
    assert {path.name for path in tmp_path.iterdir()} <= {"service", "state"}
    must_run(tmp_path, "init", "service")


def test_a_killed_init_is_no_workspace_and_the_next_one_says_what_it_left(tmp_path: Path) -> None:
    place = tmp_path / "service"
    place.mkdir()
    kill = (
        "import os; from mbd.workspace import new_folder\n"
        "new_folder._move_contents = lambda *_: os.kill(os.getpid(), 9)"
    )

    spawn_mbd(tmp_path, "init", "service", prelude=kill)
    ran = run_mbd(tmp_path, "init", "service")

    assert ran.code == 6
    assert "a killed command left" in ran.err
    assert not (place / SETTINGS_FILE).exists()


@pytest.mark.parametrize("what", ["a file in it", "a file", "a workspace"])
def test_nothing_is_overwritten(tmp_path: Path, what: str) -> None:
    place = tmp_path / "service"
    if what == "a file":
        place.write_text("mine")
    elif what == "a file in it":
        place.mkdir()
        (place / "notes.txt").write_text("mine")
    else:
        must_run(tmp_path, "init", "service")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    assert run_mbd(tmp_path, "init", "service").code == 6

    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("command", [["data", "info"], ["doctor"], ["verify", "cert.json"]])
def test_a_folder_that_is_gone_is_no_defect(tmp_path: Path, command: list[str]) -> None:
    """A shell may stand in a folder that somebody deleted."""
    place = tmp_path / "gone"
    place.mkdir()
    leave = f"import os; os.rmdir({str(place)!r})"

    ran = spawn_mbd(place, *command, prelude=leave)

    assert ran.code == 2
    assert "Traceback" not in ran.err


def test_a_backup_is_restored_in_the_folder_that_one_stands_in(tmp_path: Path) -> None:
    must_run(tmp_path, "init", "service")
    must_run(tmp_path / "service", "data", "synth", "--users", "6", "--records", "60")
    must_run(tmp_path / "service", "backup", "../copy", "--with-keys")
    place = tmp_path / "again"
    place.mkdir(mode=0o700)
    before = place.stat().st_ino

    must_run(place, "restore", "../copy", "--into", ".")

    assert place.stat().st_ino == before
    must_run(place, "data", "info")
