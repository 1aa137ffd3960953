"""What wide inputs and long sequences cost a training, beside short and narrow ones.

    python examples/benchmarks/shapes.py [--records N] [--quick]

One channel of random numbers with a label in it: one step of 64 features, one step of 1,024,
and 500 steps of 64. Seconds of each part, and how many times the first shape's.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import quality
from quality import BEFORE, Setting

from mbd.data.records import Records
from mbd.data.synthetic import synthesise
from mbd.errors import MbdError
from mbd.model.scaling import fit_scaler
from mbd.training.loop import train_core
from mbd.training.settings import CoreSettings
from mbd.values import ModalityInfo

SHAPES = {"64 features": (1, 64), "1024 features": (1, 1024), "500 steps of 64": (500, 64)}
EPOCHS = 2


@dataclass(frozen=True)
class Part:
    """A part of a training, and how long it took for each shape."""

    name: str
    run: Callable[[Setting], object]


def world(steps: int, width: int, records: int) -> Setting:
    """People with a channel of that shape; a fifth of it tells the label."""
    made, schema = synthesise(users=records // 20, records=records, seed=0)
    rng = np.random.default_rng(1)
    direction = rng.normal(size=width) * (np.arange(width) < width // 5)

    def shown(label: float) -> np.ndarray:
        return (rng.normal(size=(steps, width)) + 0.3 * label * direction).astype(np.float32)

    info = ModalityInfo(name="signal", width=width, max_length=steps)
    x = {"signal": tuple(map(shown, made.labels))}
    return Setting(replace(made, x=x), replace(schema, modalities=(info,)), 0, None)


def foundation(setting: Setting, split: str = "train") -> Records:
    return setting.records.where(cohort="foundation", split=split)


def scale(setting: Setting) -> object:
    task, train = setting.schema.task, foundation(setting)
    return fit_scaler(train.x, setting.schema.modalities, train.labels, task)


def scale_joined(setting: Setting) -> object:
    """Moments as they were computed before: of all steps in one array."""
    steps = np.concatenate(foundation(setting).x["signal"], dtype=np.float64)
    mean, std = steps.mean(axis=0), steps.std(axis=0)
    pooled = [
        (np.asarray(one, np.float64) - mean.tolist()) / std.tolist()
        for one in foundation(setting).x["signal"]
    ]
    return np.stack([np.concatenate([one.mean(axis=0), one.std(axis=0)]) for one in pooled])


def train(setting: Setting) -> object:
    """A core, for a few epochs."""
    task, rows = setting.schema.task, foundation(setting)
    scaler = fit_scaler(rows.x, setting.schema.modalities, rows.labels, task)
    valid = foundation(setting, "valid")
    network = CoreSettings(epochs=EPOCHS)
    return train_core(rows, valid, setting.schema, scaler, network, seed=0)


def build(setting: Setting) -> object:
    """State and released head of a design with one width."""
    made = quality.design(setting, "none", BEFORE)
    return quality.released(made, quality.state_of(made, setting.records))


PARTS = (
    Part("scaler, all steps joined (before)", scale_joined),
    Part("scaler", scale),
    Part("choosing lambda", lambda setting: quality.design(setting, "none", BEFORE)),
    Part("choosing width, bandwidth, lambda", lambda setting: quality.design(setting, "none")),
    Part("lambda, rows, state, release", build),
    Part(f"core, {EPOCHS} epochs", train),
)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help="100 records: to see that it works")
    arguments = parser.parse_args()
    records = 100 if arguments.quick else arguments.records
    settings = {name: world(*shape, records) for name, shape in SHAPES.items()}
    print(f"{records} records, seconds (times the first)")
    print(f"{'':34}" + "".join(f"{name:>20}" for name in settings))
    for part in PARTS:
        took = [seconds(part, setting) for setting in settings.values()]
        cells = "".join(f"{one:>11.2f} ({one / took[0]:5.1f})" for one in took)
        print(f"{part.name:34}{cells}", flush=True)


def seconds(part: Part, setting: Setting) -> float:
    """The faster of two runs."""
    times = [time.perf_counter()]
    for _ in range(2):
        try:
            part.run(setting)
        except MbdError as error:
            print(f"{part.name}: {error}", file=sys.stderr)
        times.append(time.perf_counter())
    return min(later - earlier for earlier, later in pairwise(times))


if __name__ == "__main__":
    main()
