"""The curves of a training: every epoch once, also after a kill, and nothing about anybody."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from mbd import ConflictError, StorageError, Workspace
from mbd.training.observer import Epoch
from mbd.workflows.metrics_file import MetricsFile
from tests.workflows.children import KILLED
from tests.workspaces import TrainedWorkspace, must_run, run_mbd, spawn_mbd

EPOCHS = 4
SETTINGS = {
    "core.epochs": EPOCHS, "core.hidden": 4, "core.property_width": 2, "core.activations": 4,
    "heads.width": 200,
}  # fmt: skip
TRAIN = [
    "train",
    "--core",
    "trained",
    *(f"--set={name}={value}" for name, value in SETTINGS.items()),
]

DYING = """
import os, signal
from mbd.training import loop, run
loop.CHECKPOINT_SECONDS = 0.0
original, seen = run.Run.save, []
def save(self, *arguments):
    seen.append(1)
    if len(seen) == {after} and not {kept}:
        os.kill(os.getpid(), signal.SIGKILL)
    original(self, *arguments)
    if len(seen) == {after}:
        os.kill(os.getpid(), signal.SIGKILL)
run.Run.save = save
"""


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def epochs(path: Path) -> list[tuple[Any, ...]]:
    """Without what takes another time each time."""
    found = [line for line in lines(path) if line["event"] == "epoch"]
    return [(x["stage"], x["epoch"], x["loss"], x["terms"], x["validLoss"]) for x in found]


def core_of(root: Path) -> str:
    session = TrainedWorkspace(root, (), ()).session()
    return str(session.model().policy.core_digest)


def state_of(root: Path) -> str:
    return TrainedWorkspace(root, (), ()).session().state().digest


def test_a_line_for_each_epoch_and_one_for_the_heads(
    trained_workspace: TrainedWorkspace, tmp_path: Path
) -> None:
    path, told = tmp_path / "curves.jsonl", []
    report = Workspace(trained_workspace.root).train(
        core="trained", settings=SETTINGS, metrics=path, progress=lambda *done: told.append(done)
    )
    *curves, last = lines(path)

    assert [(x["stage"], x["epoch"]) for x in curves] == [
        (stage, epoch) for stage in ("half", "core") for epoch in range(1, EPOCHS + 1)
    ]
    for line in curves:
        assert {"task", "reconstruction", "consistency"} <= line["terms"].keys()
        numbers = [line["loss"], line["validLoss"], line["seconds"], *line["terms"].values()]
        assert all(math.isfinite(number) and number >= 0 for number in numbers)
    rates = [line["learningRate"] for line in curves if line["stage"] == "core"]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 2e-3
    assert last["event"] == "heads"
    assert {row["head"]: row["rows"] for row in last["heads"]} == {
        name: rows for name, _, rows in report.heads
    }


def test_nothing_in_it_is_about_anybody(
    trained_workspace: TrainedWorkspace, tmp_path: Path
) -> None:
    path = tmp_path / "curves.jsonl"
    Workspace(trained_workspace.root).train(core="trained", settings=SETTINGS, metrics=path)
    held = trained_workspace.session().store().read()
    assert not any(name in path.read_text() for name in held.record_ids)
    keys = {key for line in lines(path) for key in line}
    assert keys == {
        "event", "stage", "epoch", "loss", "terms", "validLoss", "learningRate", "seconds",
        "core", "heads",
    }  # fmt: skip


@pytest.mark.parametrize("after", [2, EPOCHS + 2])
@pytest.mark.parametrize("kept", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_killed_and_repeated_it_ends_the_same(
    trained_workspace: TrainedWorkspace, tmp_path: Path, after: int, kept: bool
) -> None:
    root = trained_workspace.root
    path, whole = tmp_path / "curves.jsonl", tmp_path / "whole.jsonl"
    folder = tmp_path / "checkpoints"
    arguments = [*TRAIN, "--metrics", str(path), "--checkpoints", str(folder)]
    prelude = DYING.format(after=after, kept=kept)
    assert spawn_mbd(root, *arguments, prelude=prelude).code == KILLED
    assert folder.stat().st_mode & 0o077 == 0
    before = epochs(path)
    with path.open("ab") as stream:
        stream.write(b'{"event": "epo')  # as if it had been killed while it wrote

    must_run(root, *arguments)
    resumed = core_of(root), state_of(root)
    must_run(root, *TRAIN, "--metrics", str(whole))

    assert len(before) == after
    assert epochs(path) == epochs(whole)
    assert epochs(path)[: len(before)] == before
    assert resumed == (core_of(root), state_of(root))
    assert list(folder.iterdir()) == []


def test_an_epoch_that_is_made_again_has_its_line_once(tmp_path: Path) -> None:
    path = tmp_path / "curves.jsonl"

    def epoch(number: int) -> Epoch:
        return Epoch(
            number=number, terms={"loss": 1.0}, valid_loss=None, learning_rate=1, seconds=1
        )

    def told() -> list[tuple[str, int]]:
        return [(line["stage"], line["epoch"]) for line in lines(path)]

    half = MetricsFile.open(path, resume=False).stage("half")
    half.begin(0)
    for number in (1, 2, 3):
        half.epoch(epoch(number))
    again = MetricsFile.open(path, resume=True)
    again.stage("half").begin(2)
    assert told() == [("half", 1), ("half", 2)]
    again.stage("half").epoch(epoch(3))
    again.stage("core").begin(0)
    again.stage("core").epoch(epoch(1))
    assert told() == [("half", 1), ("half", 2), ("half", 3), ("core", 1)]
    other = MetricsFile.open(path, resume=True)
    other.stage("half").begin(0)  # the checkpoints were of another run: all of it is made again
    assert told() == []
    other.stage("half").epoch(epoch(1))
    other.heads("none", [], 1.0)
    for resume in (True, False):  # what was finished is kept
        with pytest.raises(ConflictError):
            MetricsFile.open(path, resume=resume)


@pytest.mark.parametrize("checkpoints", [True, False])
@pytest.mark.parametrize("content", [b"# notes\n", b'{"a": 1}\n', b"[1]\n"])
def test_another_file_is_not_overwritten(
    trained_workspace: TrainedWorkspace, tmp_path: Path, content: bytes, checkpoints: bool
) -> None:
    path = tmp_path / "notes.md"
    path.write_bytes(content)
    kept = ["--checkpoints", str(tmp_path / "kept")] if checkpoints else []
    ran = run_mbd(trained_workspace.root, *TRAIN, "--metrics", str(path), *kept, "--json")
    assert (ran.code, ran.json["error"]["code"]) == (6, "export.exists")
    assert path.read_bytes() == content
    with pytest.raises(StorageError):
        MetricsFile.open(tmp_path / "no" / "folder.jsonl", resume=False)
