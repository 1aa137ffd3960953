"""What a training costs: core and heads from start to exit, and how fast the state is summed.

    python examples/benchmarks/training.py --mosi DIR

See README.md here for what each number is.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np

from mbd.cli.output import table
from mbd.head.accelerator import working_on
from mbd.head.feature_map import FeatureMap, design_feature_map
from mbd.head.state import HeadState, contribution

SECONDS = 60.0
"""Want: a training on MOSI, core, rows, state and heads, takes at most so long on two cores."""
OF_GEMM = 0.6
"""Want: the state is summed at this share of the machine's float64 GEMM rate, at least."""
BLOCK_ROWS = 4096
INPUTS = 374
"""Of MOSI's widest head without a core: text and audio."""
_BITS = 15


@dataclass(frozen=True, kw_only=True)
class Training:
    """One `mbd train` from outside."""

    data: str
    core: str
    """What was asked for."""
    chosen: str
    """What was chosen."""
    width: int
    seconds: float
    """Start to exit."""
    cpu: float
    """Seconds that it computed, all cores together: what else the machine did is not in it."""
    inside: float
    """`seconds` of its JSON: without Python and imports."""
    epochs: int
    """Of all cores."""
    in_epochs: float
    """Seconds of them."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Seconds for one block of rows, the fastest turn; all parts take turns."""

    width: int
    rows: int
    gemm: float
    """One float64 product of two different matrices, as large as the Gram matrix's."""
    syrk: float
    """The same of a matrix and itself: BLAS makes half of it."""
    expand: float
    """Stored rows to features."""
    summed: float
    """Features to the state: product, integers, addition."""

    @property
    def gflops(self) -> float:
        """Of the product of two matrices, 10^9 operations per second."""
        return 2 * self.rows * self.width**2 / self.gemm / 1e9

    @property
    def of_gemm(self) -> float:
        """Rate of summing over that of the product, counted as the same operations."""
        return self.gemm / self.summed

    @property
    def of_gemm_from_rows(self) -> float:
        """The same, from stored rows to state."""
        return self.gemm / (self.summed + self.expand)


def measure_rate(width: int, rows: int, turns: int) -> Rate:
    """Time every part in turns, on the CPU."""
    rng = np.random.default_rng(0)
    inputs = min(INPUTS, width // 2)
    design = _design(inputs, width)
    v = rng.integers(-(2**_BITS) + 1, 2**_BITS, (rows, inputs)).astype(np.int16)
    t = rng.integers(-(2**_BITS), 2**_BITS, (rows, 1)).astype(np.int32)
    q = design.expand(v)
    left, right = rng.normal(size=(rows, width)), rng.normal(size=(rows, width))
    total = contribution(q, t)
    parts: dict[str, Callable[[], object]] = {
        "gemm": lambda: left.T @ right,
        "syrk": lambda: left.T @ left,
        "expand": lambda: design.expand(v),
        "summed": lambda: total + contribution(q, t),
    }
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    with working_on("cpu"):
        for _ in range(turns):
            for name, run in parts.items():
                seconds[name].append(_timed(run))
    assert isinstance(total + total, HeadState)
    return Rate(width=width, rows=rows, **{name: min(found) for name, found in seconds.items()})


def _design(inputs: int, width: int) -> FeatureMap:
    return design_feature_map(
        inputs=inputs, width=width, frequency_std=1.0, clip=5.0, seed="benchmark"
    )[0]


def _timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure_training(
    folder: Path, make_data: list[str], core: str, settings: list[str]
) -> Training:
    """A workspace of its own, its data, and one training as a process."""
    root, curves = folder / f"service-{core}", folder / f"{core}.jsonl"
    _mbd(folder, "init", str(root))
    _mbd(root, "data", *make_data)
    arguments = ["train", "--core", core, "--metrics", str(curves), "--json"]
    arguments += [f"--set={one}" for one in settings]
    start, before = time.perf_counter(), _cpu()
    found = json.loads(_mbd(root, *arguments))
    seconds, cpu = time.perf_counter() - start, _cpu() - before
    lines = [json.loads(line) for line in curves.read_text().splitlines()]
    epochs = [line["seconds"] for line in lines if line["event"] == "epoch"]
    return Training(
        data=make_data[0],
        core=core,
        chosen=found["core"],
        width=found["d"],
        seconds=seconds,
        cpu=cpu,
        inside=found["seconds"],
        epochs=len(epochs),
        in_epochs=sum(epochs),
    )


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _mbd(cwd: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mbd", *arguments],
        cwd=cwd,
        env={**os.environ, "XDG_STATE_HOME": str(cwd.parent / "state"), "MBD_DEVICE": "cpu"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise click.ClickException(f"mbd {arguments[0]} left with {done.returncode}")
    return done.stdout


@click.command()
@click.option(
    "--mosi",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with mosi_utt.npz and mosi.toml; without it the data is synthetic.",
)
@click.option("--width", default=2048, show_default=True, help="d of the products.")
@click.option("--turns", default=5, show_default=True, help="The fastest of so many counts.")
@click.option("--runs", default=1, show_default=True, help="Trainings; the median counts.")
@click.option("--quick", is_flag=True, help="Small sizes, to see that it works.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def main(mosi: Path | None, width: int, turns: int, runs: int, quick: bool, as_json: bool) -> None:
    """Print the cost of a training and the rate at which the state is summed."""
    data = ["synth", "--users", "24", "--records", "240"] if quick else ["synth"]
    if mosi is not None:
        spec = mosi.resolve()
        data = ["import", str(spec / "mosi_utt.npz"), "--spec", str(spec / "mosi.toml")]
    small = ["core.epochs=2", "core.hidden=4", "core.activations=8", "heads.width=256"]
    settings = small if quick else []
    width = 256 if quick else width
    trainings = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            trainings.append(measure_training(Path(folder), data, "auto", settings))
    rate = measure_rate(width, 512 if quick else BLOCK_ROWS, turns)
    load = os.getloadavg()[0]
    median = statistics.median(one.seconds for one in trainings)
    report = {
        "trainings": [asdict(one) for one in trainings],
        "seconds": median,
        "rate": asdict(rate),
        "gflops": rate.gflops,
        "ofGemm": rate.of_gemm,
        "ofGemmFromRows": rate.of_gemm_from_rows,
        "cores": os.cpu_count(),
        "load": load,
    }
    click.echo(json.dumps(report) if as_json else _text(report, trainings, rate))


def _text(report: dict[str, object], trainings: list[Training], rate: Rate) -> str:
    rows = [
        (
            *(one.data, one.core, one.chosen, one.width),
            *map(_tenth, (one.seconds, one.cpu, one.inside)),
            *(one.epochs, _tenth(one.in_epochs)),
        )
        for one in trainings
    ]
    header = ("data", "core", "chosen", "d", "seconds", "CPU", "inside", "epochs", "in epochs")
    return "\n".join(
        [
            table(header, rows),
            f"start to exit {report['seconds']:.1f} s (want at most {SECONDS:g} on two cores)",
            "",
            table(
                ("d", "rows", "gemm s", "syrk s", "rows to features s", "features to state s"),
                [
                    (
                        rate.width, rate.rows, f"{rate.gemm:.3f}", f"{rate.syrk:.3f}",
                        f"{rate.expand:.3f}", f"{rate.summed:.3f}",
                    )
                ],
            ),
            f"float64 GEMM {rate.gflops:.1f} GFLOP/s; the state is summed at {rate.of_gemm:.0%} of "
            f"it (want at least {OF_GEMM:.0%}), from stored rows at {rate.of_gemm_from_rows:.0%}",
            f"{report['cores']} cores, load {report['load']:.1f}",
        ]
    )  # fmt: skip


def _tenth(seconds: float) -> str:
    return f"{seconds:.1f}"


if __name__ == "__main__":
    main()
