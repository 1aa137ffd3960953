"""One revocation as a process, on real data: seconds from start to exit, memory, and the floor.

Used by `revoke.py`. Everything is done through the command line, as a person would do it.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import safetensors.numpy
from scipy.linalg import lapack

from mbd.head.threads import threads_for

MODALITY = "audio"
SECONDS = {2048: 5.0, 4096: 8.0}
"""Want: at most so long from start to exit, by d."""
OF_FLOOR = 1.5
"""Want: engine seconds over the seconds of the BLAS calls that it cannot avoid, at most."""
OF_STATE = 3.0
"""Want: peak memory of the process over the bytes of the state, at most."""

_IMPORTS = "import mbd.cli.revoke, mbd.workflows.revoke"
_REMOVED = 24  # rows of one person in a head: MOSI's mean
_REPEATS = 3

# A process of its own that imports next to nothing: a child's peak memory as the system counts
# it includes that of the process that started it.
_LAUNCHER = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE)
seconds = time.perf_counter() - started
used = resource.getrusage(resource.RUSAGE_CHILDREN)
cpu, memory = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024
print(json.dumps([done.returncode, seconds, cpu, memory, done.stdout.decode()]))
"""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process; seconds of wall clock."""

    seconds: float
    """From its start to its exit."""
    cpu: float
    """Seconds that it computed, all cores together: what other work there is does not count."""
    memory: int
    """Bytes, at its peak."""
    output: str

    @property
    def engine(self) -> float:
        """Seconds of the deletion itself, as the command reports them."""
        return float(json.loads(self.output)["seconds"]["engine"])

    @property
    def walk(self) -> float:
        """Seconds of the whole command, imports left out, as it reports them."""
        return float(json.loads(self.output)["seconds"]["total"])


@dataclass(frozen=True, kw_only=True)
class OneWidth:
    """What was measured at one width."""

    width: int
    each: tuple[Process, ...]
    """One revocation each."""
    heads: int
    """Released anew by each of them."""
    imports: Process
    """Only the imports of `mbd revoke`."""
    state_bytes: int
    """Of all heads."""
    floor: float
    """Seconds of the BLAS calls that cannot be avoided."""
    disk: float
    """Seconds of reading, digesting, writing and digesting again the states of those heads."""

    def median(self, of: Callable[[Process], float]) -> float:
        """Over the revocations."""
        return statistics.median(map(of, self.each))

    @property
    def seconds(self) -> float:
        """Median, start to exit."""
        return self.median(lambda one: one.seconds)

    @property
    def of_floor(self) -> float:
        """Engine over floor, the fastest of both: other work of the machine falls on neither."""
        return min(one.engine for one in self.each) / self.floor

    @property
    def of_state(self) -> float:
        """Peak memory over the bytes of the state."""
        return max(one.memory for one in self.each) / self.state_bytes


def measure(
    folder: Path, data: Path, widths: Sequence[int], revocations: int, say: Callable[[str], None]
) -> list[OneWidth]:
    """Import and train at every width, then revoke one person after the other.

    Args:
        folder: Where workspaces are made.
        data: Folder with `mosi_utt.npz` and `mosi.toml`.
        widths: d, each in a workspace of its own.
        revocations: People, per width.
        say: Told what is going on.
    """
    return [_one_width(folder / f"mosi-{width}", data, width, revocations, say) for width in widths]


def _one_width(
    workspace: Path, data: Path, width: int, revocations: int, say: Callable[[str], None]
) -> OneWidth:
    say(f"d = {width}: importing and training")
    mbd("init", str(workspace))
    here = ("-w", str(workspace))
    source, spec = data / "mosi_utt.npz", data / "mosi.toml"
    mbd(*here, "data", "import", str(source), "--spec", str(spec))
    mbd(*here, "train", "--core", "none", "--set", f"heads.width={width}")
    each = []
    for user in _people(here, revocations):
        each.append(mbd(*here, "revoke", "--user", user, "--modality", MODALITY, "--json"))
        say(f"d = {width}: {each[-1].seconds:.2f} s, {each[-1].memory / 1e6:.0f} MB")
    states = sorted((workspace / "state").glob("*/*.safetensors"))
    selected = [path for path in states if MODALITY in path.stem.split("+")]
    return OneWidth(
        width=width,
        each=tuple(each),
        heads=len(selected),
        imports=launch(sys.executable, "-c", _IMPORTS),
        state_bytes=sum(path.stat().st_size for path in states),
        floor=sum(map(_floor, selected)),
        disk=sum(_disk(path) for path in selected),
    )


def _people(here: Sequence[str], count: int) -> list[str]:
    """Different revocable people who have the channel."""
    held = json.loads(mbd(*here, "data", "subjects", "--json").output)["subjects"]
    found = [
        one["user"] for one in held if one["cohort"] == "revocable" and MODALITY in one["available"]
    ]
    if len(found) < count:
        raise click.UsageError(f"{len(found)} revocable subjects with {MODALITY}; want {count}")
    return found[:count]


def _floor(path: Path) -> float:
    """Seconds of the BLAS calls in float64 that no deletion in this head does without.

    The removed rows times themselves, one Cholesky factor, one solve, and one product with G,
    which the proof of the residual needs. No conversion, no disk; the fastest of several calls
    each.
    """
    tensors = safetensors.numpy.load_file(path)
    gram = tensors["gram"].astype(np.float64)
    ridge = float(np.trace(gram)) / len(gram)
    q = np.random.default_rng(0).integers(-(2**15), 2**15, (_REMOVED, len(gram))).astype(float)
    right = np.asfortranarray(tensors["cross"].astype(np.float64))
    factors: list[Floats] = []

    def prepared() -> Floats:
        matrix = np.array(gram, order="F")
        matrix[np.diag_indices(len(gram))] += ridge
        return matrix

    def factored(matrix: Floats) -> None:
        factors[:] = [lapack.dpotrf(matrix, lower=1, clean=0, overwrite_a=1)[0]]

    with threads_for(len(gram)):
        removed = _fastest(lambda: q, lambda rows: rows.T @ rows)
        factor = _fastest(prepared, factored)
        solve = _fastest(lambda: right, lambda b: lapack.dpotrs(factors[0], b, lower=1))
        product = _fastest(lambda: right, lambda b: gram @ b)
    return removed + factor + solve + product


def _disk(path: Path) -> float:
    """Seconds of reading a state, its digest, that of another, and writing it durably."""
    copy = path.with_suffix(".copy")

    def run(_: Floats) -> None:
        content = path.read_bytes()
        hashlib.sha256(content)
        hashlib.sha256(content)
        with copy.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    try:
        return _fastest(lambda: np.empty(0), run)
    finally:
        copy.unlink(missing_ok=True)


def _fastest(prepare: Callable[[], Floats], run: Callable[[Floats], object]) -> float:
    times = []
    for _ in range(_REPEATS):
        argument = prepare()
        started = time.perf_counter()
        run(argument)
        times.append(time.perf_counter() - started)
    return min(times)


def mbd(*arguments: str) -> Process:
    """Run one `mbd` command.

    Raises:
        ClickException: It failed.
    """
    return launch(sys.executable, "-m", "mbd", *arguments)


def launch(*command: str) -> Process:
    """Run a command; what it says on standard error is shown.

    Raises:
        ClickException: It failed.
    """
    launcher = [sys.executable, "-S", "-c", _LAUNCHER, *command]
    done = subprocess.run(launcher, stdout=subprocess.PIPE, check=True)
    code, seconds, cpu, memory, output = json.loads(done.stdout)
    if code:
        raise click.ClickException(f"{' '.join(command)}: exit code {code}\n{output}")
    return Process(seconds=seconds, cpu=cpu, memory=memory, output=output)


def document(found: OneWidth) -> dict[str, object]:
    """What was measured, as plain values; seconds and bytes."""
    return {
        "width": found.width,
        "heads": found.heads,
        "seconds": {
            "process": found.seconds,
            "imports": found.imports.seconds,
            "walk": found.median(lambda one: one.walk),
            "engine": found.median(lambda one: one.engine),
            "floor": found.floor,
            "disk": found.disk,
            "cpu": found.median(lambda one: one.cpu),
        },
        "each": [
            {"seconds": one.seconds, "engine": one.engine, "memory": one.memory}
            for one in found.each
        ],
        "memory": {
            "peak": max(one.memory for one in found.each),
            "imports": found.imports.memory,
            "state": found.state_bytes,
        },
        "ofFloor": found.of_floor,
        "ofState": found.of_state,
        "wanted": {
            "seconds": SECONDS.get(found.width),
            "ofFloor": OF_FLOOR,
            "ofState": OF_STATE,
        },
    }


def rows(found: Sequence[OneWidth]) -> list[tuple[str, ...]]:
    """A table's rows, one column per width."""

    def row(name: str, value: Callable[[OneWidth], str]) -> tuple[str, ...]:
        return (name, *map(value, found))

    def span(one: OneWidth) -> str:
        times = [process.seconds for process in one.each]
        return f"{min(times):.2f} to {max(times):.2f}"

    return [
        row(f"start to exit, median of {len(found[0].each)}", lambda m: f"{m.seconds:.2f}"),
        row("  lowest to highest", span),
        row("  Python and imports", lambda m: f"{m.imports.seconds:.2f}"),
        row("  the revocation", lambda m: f"{m.median(lambda one: one.walk):.2f}"),
        row("    engine", lambda m: f"{m.median(lambda one: one.engine):.2f}"),
        row("  CPU, all cores together", lambda m: f"{m.median(lambda one: one.cpu):.2f}"),
        row("BLAS calls it cannot avoid", lambda m: f"{m.floor:.2f}"),
        row("disk and digests it cannot avoid", lambda m: f"{m.disk:.2f}"),
        row("MB of memory, peak", lambda m: f"{max(p.memory for p in m.each) / 1e6:.0f}"),
        row("  Python and imports", lambda m: f"{m.imports.memory / 1e6:.0f}"),
        row("MB of state, all heads", lambda m: f"{m.state_bytes / 1e6:.0f}"),
    ]


def judgements(found: Sequence[OneWidth]) -> list[tuple[str, float, float]]:
    """(what, measured, wanted at most) of every target."""
    made = []
    for one in found:
        if one.width in SECONDS:
            made.append((f"start to exit, d = {one.width}", one.seconds, SECONDS[one.width]))
        made.append((f"engine : BLAS calls, d = {one.width}", one.of_floor, OF_FLOOR))
        made.append((f"peak memory : state, d = {one.width}", one.of_state, OF_STATE))
    return made
