"""Small cores and records for tests."""

from __future__ import annotations

import numpy as np
import torch

from mbd.model.core import Core, CoreConfig
from mbd.model.scaling import Scaler, scaler_from_ranges
from mbd.model.snapshot import freeze
from mbd.values import ModalityInfo, Task

INFOS = (
    ModalityInfo(name="audio", width=5, max_length=7, range=(-2.0, 2.0)),
    ModalityInfo(name="text", width=4, max_length=1, range=(-2.0, 2.0)),
    ModalityInfo(name="vision", width=3, max_length=6, range=(-2.0, 2.0)),
)
CLASSES = Task(kind="classification", classes=("sad", "calm", "glad"))
SCORES = Task(kind="regression", label_range=(-3.0, 3.0))


def random_core(task: Task = SCORES, seed: int = 0) -> Core:
    """A frozen core with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return freeze(
            Core(CoreConfig.for_task(INFOS, task, hidden=8, property_width=3, activations=6))
        )


def ranges() -> Scaler:
    """A scaler of the declared ranges."""
    return scaler_from_ranges(INFOS)


def random_record(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """All three modalities, of random lengths."""
    return {
        info.name: rng.standard_normal((rng.integers(1, info.max_length + 1), info.width)).astype(
            np.float32
        )
        for info in INFOS
    }
