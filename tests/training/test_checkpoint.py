"""A training that was killed goes on to the same core, bit for bit; a checkpoint of another run
is not used."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch

from mbd.data.records import Records
from mbd.data.synthetic import synthesise
from mbd.model.scaling import fit_scaler
from mbd.model.snapshot import core_digest
from mbd.training import loop, run
from mbd.training.loop import train_core
from mbd.training.settings import CoreSettings
from tests.workflows.children import KILLED, die

RECORDS, SCHEMA = synthesise(users=12, records=160, seed=4)
TRAIN, VALID = RECORDS.where(split="train"), RECORDS.where(split="valid")
SCALER = fit_scaler(TRAIN.x, SCHEMA.modalities, TRAIN.labels, SCHEMA.task)
EPOCHS = 5
SETTINGS = CoreSettings(
    hidden=6, property_width=3, activations=8, epochs=EPOCHS, dropout=0.3, batch_size=32
)

_CONTEXT = multiprocessing.get_context("forkserver")


def train(
    checkpoint: Path | None,
    *,
    train_on: Records = TRAIN,
    valid: Records = VALID,
    settings: CoreSettings = SETTINGS,
    seed: int = 0,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> str:
    """Train; the digest of the core."""
    trained = train_core(
        train_on, valid, SCHEMA, SCALER, settings,
        seed=seed, checkpoint=checkpoint, progress=told,
    )  # fmt: skip
    return core_digest(trained.core)


def dying(checkpoint: Path, after: int, held_out: bool) -> None:
    """Train until so many epochs are done, then be killed."""
    loop.CHECKPOINT_SECONDS = 0.0
    valid = VALID if held_out else VALID.select([])
    train(checkpoint, valid=valid, told=lambda done, total: die() if done == after else None)


def dying_while_writing(checkpoint: Path, after: int) -> None:
    """Be killed when the so-many-th checkpoint is written, but not yet in its place."""
    os.replace = partial(counted, os.replace, [0], after)  # type: ignore[assignment]
    dying(checkpoint, 0, held_out=True)


def counted(original: Callable[..., None], seen: list[int], after: int, *names: Path) -> None:
    seen[0] += 1
    if seen[0] == after:
        die()
    original(*names)


def killed(target: Callable[..., None], *arguments: object) -> None:
    """Run in a process that ends by SIGKILL."""
    process = _CONTEXT.Process(target=target, args=arguments)
    process.start()
    process.join(120)
    assert process.exitcode == KILLED


@pytest.mark.parametrize("held_out", [True, False])
@pytest.mark.parametrize("after", range(1, EPOCHS + 1))
def test_killed_after_any_epoch_it_goes_on_to_the_same_core(tmp_path, after, held_out):
    valid = VALID if held_out else VALID.select([])
    whole, path, seen = train(None, valid=valid), tmp_path / "core.safetensors", []
    killed(dying, path, after, held_out)

    resumed = train(path, valid=valid, told=lambda done, total: seen.append(done))

    assert resumed == whole
    assert seen == list(range(after + 1, EPOCHS + 1))
    assert train(path, valid=valid) == whole  # from the checkpoint of the end


def test_killed_twice_and_while_a_checkpoint_is_written(tmp_path):
    whole, path, seen = train(None), tmp_path / "core.safetensors", []
    killed(dying, path, 1, True)
    killed(dying_while_writing, path, 2)

    assert train(path, told=lambda done, total: seen.append(done)) == whole
    assert seen == [3, 4, 5]


OTHER = [
    pytest.param({"train_on": TRAIN.select(range(1, len(TRAIN)))}, id="a record less"),
    pytest.param(
        {"train_on": replace(TRAIN, labels=TRAIN.labels + 1e-6 * (np.arange(len(TRAIN)) == 3))},
        id="a label",
    ),
    pytest.param(
        {"train_on": TRAIN.without(lambda s, m: (s, m) == (TRAIN.subjects[0], "audio"))},
        id="a channel less",
    ),
    pytest.param({"valid": VALID.select(range(1, len(VALID)))}, id="another validation row"),
    pytest.param({"seed": 1}, id="another seed"),
    pytest.param({"settings": replace(SETTINGS, learning_rate=1e-3)}, id="another setting"),
]


@pytest.mark.parametrize("changes", OTHER)
def test_a_checkpoint_of_another_run_is_not_used(tmp_path, changes):
    path, seen = tmp_path / "core.safetensors", []
    killed(dying, path, 2, True)

    found = train(path, **changes, told=lambda done, total: seen.append(done))

    assert found == train(None, **changes)
    assert seen[0] == 1


def test_a_checkpoint_of_another_version_is_not_used(tmp_path, monkeypatch):
    path, seen = tmp_path / "core.safetensors", []
    killed(dying, path, 2, True)
    monkeypatch.setattr(run, "__version__", "0.0.0")

    train(path, told=lambda done, total: seen.append(done))

    assert seen[0] == 1


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "renumbered"])
def test_a_damaged_checkpoint_is_none(tmp_path, damage):
    path, seen = tmp_path / "core.safetensors", []
    killed(dying, path, 2, True)
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "empty":
        content = bytearray()
    elif damage == "renumbered":
        content = bytearray(bytes(content).replace(b'\\"epoch\\":2', b'\\"epoch\\":4'))
    else:
        content[-100] ^= 1
    assert bytes(content) != path.read_bytes()
    path.write_bytes(content)

    assert train(path, told=lambda done, total: seen.append(done)) == train(None)
    assert seen[0] == 1


def test_a_checkpoint_is_private_and_holds_tensors_only(tmp_path):
    path = tmp_path / "core.safetensors"
    train(path)

    assert path.stat().st_mode & 0o077 == 0
    names = safetensors.torch.load_file(path)
    parts = {name.partition(".")[0] for name in names}
    assert parts == {"core", "kept", "optimiser", "random"}
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
