"""Ways to update one head after rows were removed: seconds, candidates, residual, noise needed.

    python examples/benchmarks/surgery.py

Every way starts from the integer state after the subtraction and ends with a head on its grid
and a proved bound on its residual. See README.md here for what each row is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import inf, sqrt
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dpotrf, dpotrs
from threadpoolctl import threadpool_limits

from mbd.cli.output import table
from mbd.deletion.exact import subtract_rows
from mbd.deletion.parameters import HeadPolicy, head_parameters, plan_head
from mbd.deletion.release import release
from mbd.deletion.surgical import Rounded, surgical_update
from mbd.head.cost import cheaper_precision, condition, estimated_seconds
from mbd.head.factor import Precision
from mbd.head.feature_map import design_feature_map, quantise, quantise_targets
from mbd.head.integers import Integers
from mbd.head.selection import Rows, choose_strong_convexity
from mbd.head.solve import HeadScale, residual_bound, solve_within
from mbd.head.state import HeadState, contribution
from mbd.head.threads import threads_for
from mbd.privacy.zcdp import rho_for
from mbd.values import HeadParameters

Floats = npt.NDArray[np.float64]

EPSILON, DELTA = 1.0, 1e-6
TARGET_BITS = 12
LABEL_RANGE = 6.0
ROWS_PER_SUBJECT = 10
FOUNDATION_ROWS = 400
"""Lambda is chosen on so many rows, which are not in the state."""
MOST_PRODUCTS = 2000
"""Conjugate gradients give up after so many."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How time is taken."""

    turns: int
    """The fastest of so many counts."""
    clock: Callable[[], float]

    def seconds(self, run: Callable[[], object]) -> float:
        """Of the fastest turn."""
        return min(self.once(run) for _ in range(self.turns))

    def once(self, run: Callable[[], object]) -> float:
        """Of one turn."""
        start = self.clock()
        run()
        return self.clock() - start


@dataclass(frozen=True, kw_only=True)
class Made:
    """Rows of one width, of many subjects."""

    q: Integers
    t: Integers
    feature_bits: int
    norm_squared: int
    foundation: Rows


@dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """One head, before and after some subjects revoked."""

    before: HeadState
    after: HeadState
    gone: Rows
    scale: HeadScale
    grid: float
    parameters: HeadParameters
    released: Floats
    """The head in force: the optimum before, with its noise; label units."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One way to update one head."""

    width: int
    outputs: int
    subjects: int
    method: str
    seconds: float
    """From the integer state to the proved bound."""
    candidates: int
    """Coordinates that were solved for, or ranks, or products with the matrix."""
    residual: float | None
    """Upper bound; None for the BLAS calls alone."""
    accepted: bool | None
    """The bound is at most tau."""
    noise_needed: float | None
    """Sigma that this residual would need for (1, 1e-6), over the sigma that the policy has."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What the package does for one head, part by part; seconds."""

    width: int
    outputs: int
    precision: str
    floor: float
    """dpotrf, dpotrs and one product with the matrix."""
    load: float
    digest: float
    subtract: float
    update: float
    noise: float
    save: float
    estimated: float
    """What `mbd.head.cost` expects of subtraction, update and noise."""
    memory: float
    """Peak growth of a process that does all of it, over the bytes of the state."""

    @property
    def ratio(self) -> float:
        """Subtraction, update with proof, and noise, over the BLAS calls."""
        return (self.subtract + self.update + self.noise) / self.floor


@click.command(epilog="Example: python examples/benchmarks/surgery.py --json > surgery.json")
@click.option("--width", type=int, multiple=True, help="d; repeat it.  [1024 2048 4096 8192]")
@click.option("--subjects", type=int, multiple=True, help="Revoked; repeat it.  [1 10 100]")
@click.option("--records", type=int, help="Rows in the state.  [5000]")
@click.option("--turns", type=int, help="The fastest of so many counts.  [3, and 1 from d=4096]")
@click.option("--cpu", is_flag=True, help="Seconds of CPU, with one thread: for a busy machine.")
@click.option("--quick", is_flag=True, help="Tiny sizes: shows that it works, measures nothing.")
@click.option("--memory-of", type=click.Path(path_type=Path), hidden=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def main(
    width: tuple[int, ...],
    subjects: tuple[int, ...],
    records: int | None,
    turns: int | None,
    cpu: bool,
    quick: bool,
    memory_of: Path | None,
    as_json: bool,
) -> None:
    """Compare ways to update one head, beside the BLAS calls that cannot be avoided."""
    if memory_of is not None:
        click.echo(_memory_here(memory_of))
        return
    widths = width or ((160, 256) if quick else (1024, 2048, 4096, 8192))
    subjects = subjects or ((1, 3) if quick else (1, 10, 100))
    records = records or (400 if quick else 5000)
    if max(subjects) * ROWS_PER_SUBJECT >= records:
        raise click.UsageError(
            f"--subjects: {records} rows are not those of more than {max(subjects)}"
        )
    with threadpool_limits(1 if cpu else None, user_api="blas"):
        found, engines, conditions = _all(widths, subjects, records, turns, cpu)
    if as_json:
        document = {
            "records": records,
            "cores": len(os.sched_getaffinity(0)),
            "clock": "cpu, one thread" if cpu else "wall",
            "condition": conditions,
            "updates": [asdict(one) for one in found],
            "engine": [{**asdict(one), "ratio": one.ratio} for one in engines],
        }
        click.echo(json.dumps(document, indent=2))
        return
    timed = "seconds of CPU, one thread" if cpu else f"{os.cpu_count()} cores"
    click.echo(f"{records} rows, {ROWS_PER_SUBJECT} per subject, {timed}\n")
    click.echo(_updates_table(found))
    click.echo("\n" + _engine_table(engines))


def _all(
    widths: Sequence[int], subjects: Sequence[int], records: int, turns: int | None, cpu: bool
) -> tuple[list[Measured], list[Engine], dict[str, float]]:
    found: list[Measured] = []
    engines: list[Engine] = []
    conditions: dict[str, float] = {}
    for d in widths:
        clock = time.process_time if cpu else time.perf_counter
        effort = Effort(turns=turns or (1 if d >= 4096 else 3), clock=clock)
        made = make_rows(d, records, outputs=8)
        whole = contribution(made.q, made.t)
        for outputs in (1, 8):
            for count in subjects:
                case = make_case(made, whole, outputs, count)
                _say(f"d={d} K={outputs}, {count} subjects, lambda {case.scale.strong_convexity}")
                found.extend(_measured(case, count, effort))
            conditions[f"{d}/{outputs}"] = condition(case.after, case.scale)
            engines.append(measure_engine(make_case(made, whole, outputs, min(subjects)), effort))
    return found, engines, conditions


def make_rows(width: int, count: int, *, outputs: int, inputs: int = 96) -> Made:
    """Rows as a service has them: inputs that vary together and by subject, features from the
    map of the package, targets that depend on them.
    """
    rng = np.random.default_rng(width)
    total = count + FOUNDATION_ROWS
    spread = 2 * 0.93 ** np.arange(inputs)
    persons = rng.normal(size=(total // ROWS_PER_SUBJECT + 1, inputs))
    latent = rng.normal(size=(total, inputs)) + persons.repeat(ROWS_PER_SUBJECT, 0)[:total]
    mixed = (latent * spread) @ np.linalg.qr(rng.normal(size=(inputs, inputs)))[0]
    x = np.clip(mixed / mixed.std(axis=0), -5, 5) / sqrt(inputs)
    mood = np.tanh(latent[:, :4] @ rng.normal(size=(4, outputs)))
    y = mood + 0.5 * rng.normal(size=(total, outputs))
    clip = 5 / sqrt(inputs)
    feature_map, bits = design_feature_map(
        inputs=inputs, width=width, frequency_std=0.5, clip=clip, seed="benchmark"
    )
    q, t = feature_map.expand(quantise(x, clip)), quantise_targets(y, TARGET_BITS)
    return Made(
        q=q[:count],
        t=t[:count],
        feature_bits=bits,
        norm_squared=feature_map.norm_squared,
        foundation=Rows(q[count:], t[count:]),
    )


def make_case(made: Made, whole: HeadState, outputs: int, subjects: int) -> Case:
    """A head with lambda, sigma and grid as training fixes them, and a release in force."""
    learned = Rows(made.foundation.q, made.foundation.t[:, :outputs])
    choice = choose_strong_convexity(
        learned, feature_bits=made.feature_bits, target_bits=TARGET_BITS
    )
    scale = HeadScale(
        feature_bits=made.feature_bits,
        target_bits=TARGET_BITS,
        strong_convexity=choice.strong_convexity,
    )
    policy = _policy(made, scale, outputs)
    parameters = head_parameters([policy], EPSILON, DELTA)[0]
    before = HeadState(whole.gram, np.ascontiguousarray(whole.cross[:, :outputs]), whole.rows)
    gone = Rows(made.q[: subjects * ROWS_PER_SUBJECT], made.t[: len(made.q), :outputs])
    gone = Rows(gone.q, np.ascontiguousarray(gone.t[: len(gone.q)]))
    rounded = surgical_update(before, scale, tolerance=parameters.tolerance, grid=policy.grid)
    return Case(
        before=before,
        after=subtract_rows(before, gone.q, gone.t),
        gone=gone,
        scale=scale,
        grid=policy.grid,
        parameters=parameters,
        released=release(rounded, policy.sigma) * policy.grid,
    )


def _policy(made: Made, scale: HeadScale, outputs: int) -> HeadPolicy:
    return plan_head(
        head="audio",
        dimension=made.q.shape[1],
        outputs=outputs,
        norm_squared=made.norm_squared,
        scale=scale,
        noise=0.001,
        range_width=LABEL_RANGE,
        planned_rows=4 * len(made.q),
        selected=4,
        epsilon=EPSILON,
        delta=DELTA,
    )


# Each way returns its head in label units and how many candidates, ranks or products it took.
Way = Callable[[Case], tuple[Floats, int]]


def _matrix(state: HeadState, scale: HeadScale) -> Floats:
    matrix: Floats = np.multiply(state.gram, scale.a)
    matrix[np.diag_indices(state.width)] += scale.strong_convexity
    return matrix


def _right(state: HeadState, scale: HeadScale) -> Floats:
    return np.asarray(state.cross * scale.b)


def _factored(matrix: Floats) -> Floats:
    """Cholesky factor, made in the place of a symmetric matrix."""
    lower, info = dpotrf(matrix.T, lower=True, overwrite_a=True, clean=False)
    assert info == 0
    return np.asarray(lower)


def candidates(share: float) -> Way:
    """Salient coordinates first, eight times as many in each round, up to a share of all."""

    def run(case: Case) -> tuple[Floats, int]:
        matrix, right = _matrix(case.after, case.scale), _right(case.after, case.scale)
        head, left = case.released, right - matrix @ case.released
        most = round(share * len(matrix))
        count = max(1, most // 64)
        while True:
            saliency = (left**2).sum(axis=1) / np.diagonal(matrix)
            chosen = np.sort(np.argsort(saliency)[::-1][:count])
            block = matrix[np.ix_(chosen, chosen)]
            step, _ = dpotrs(_factored(block), left[chosen], lower=True)
            head = head.copy()
            head[chosen] += step
            left = right - matrix @ head
            if count == most or np.linalg.norm(left) <= case.parameters.tolerance / 2:
                return head, count
            count = min(8 * count, most)

    return run


def removed_span(kept: Floats | None = None) -> Way:
    """A solve in the span of the removed rows: the factor of the state before, corrected by
    Woodbury's identity. What a request leaves behind is the integer state, so the factor must
    be made from it, or be kept beside it, as large again, and made anew for the next request.
    """

    def run(case: Case) -> tuple[Floats, int]:
        lower = _factored(_matrix(case.before, case.scale)) if kept is None else kept
        rows = case.gone.q.astype(np.float64) * sqrt(case.scale.a)
        right = _right(case.after, case.scale)
        found, _ = dpotrs(lower, np.concatenate([rows.T, right], axis=1), lower=True)
        span, start = found[:, : len(rows)], found[:, len(rows) :]
        small = np.eye(len(rows)) - rows @ span
        return start + span @ np.linalg.solve(small, rows @ start), len(rows)

    return run


def conjugate_gradients(*, released: bool, jacobi: bool = False) -> Way:
    """All outputs at once, from zero or from the head in force. An old head without its noise
    would be a better start, and must not be kept.
    """

    def run(case: Case) -> tuple[Floats, int]:
        matrix, right = _matrix(case.after, case.scale), _right(case.after, case.scale)
        head = case.released if released else np.zeros_like(right)
        weigh = 1 / np.diagonal(matrix)[:, None] if jacobi else np.ones((1, 1))
        left = right - matrix @ head if released else right
        direction = weigh * left
        size = (left * direction).sum(axis=0)
        products = int(released)
        while np.linalg.norm(left) > case.parameters.tolerance / 2 and products < MOST_PRODUCTS:
            product = matrix @ direction
            step = size / (direction * product).sum(axis=0)
            head, left = head + step * direction, left - step * product
            weighed = weigh * left
            size, last = (left * weighed).sum(axis=0), size
            direction = weighed + size / last * direction
            products += 1
        return head, products

    return run


def package(precision: Precision) -> Way:
    """`solve_within` of the package; it proves its own bound."""

    def run(case: Case) -> tuple[Floats, int]:
        tolerance = case.parameters.tolerance
        weights = solve_within(case.after, case.scale, case.grid, tolerance, precision)
        if weights is None:
            weights = np.zeros((case.after.width, case.after.outputs), np.int64)
        return weights * case.grid, case.after.width

    return run


def ways(case: Case) -> dict[str, Way]:
    """Every way that is measured, in the order of the table."""
    kept = _factored(_matrix(case.before, case.scale))
    return {
        "candidates, up to d/2": candidates(0.5),
        "candidates, up to d": candidates(1.0),
        "removed span, factor made": removed_span(),
        "removed span, factor kept": removed_span(kept),
        "CG from zero": conjugate_gradients(released=False),
        "CG from zero, Jacobi": conjugate_gradients(released=False, jacobi=True),
        "CG from the release": conjugate_gradients(released=True),
        "Cholesky, double": package("double"),
        "Cholesky, single": package("single"),
    }


def _measured(case: Case, subjects: int, effort: Effort) -> Iterator[Measured]:
    with threads_for(case.after.width):
        for name, way in ways(case).items():
            yield _measure(case, subjects, name, way, effort)
    yield Measured(
        width=case.after.width,
        outputs=case.after.outputs,
        subjects=subjects,
        method="BLAS floor",
        seconds=_floor(case, effort),
        candidates=case.after.width,
        residual=None,
        accepted=None,
        noise_needed=None,
    )


def _measure(case: Case, subjects: int, name: str, way: Way, effort: Effort) -> Measured:
    bound, count = inf, 0

    def run() -> None:
        nonlocal bound, count
        head, count = way(case)
        if not name.startswith("Cholesky"):  # the package's own have proved it already
            bound = _bound(case, head)

    seconds = effort.seconds(run)
    if bound == inf:
        bound = _bound(case, way(case)[0])
    return _row(case, subjects, name, seconds, count, bound)


def _bound(case: Case, head: Floats) -> float:
    weights = np.rint(head / case.grid).astype(np.int64)
    return residual_bound(case.after, case.scale, weights, case.grid)


def _row(
    case: Case, subjects: int, name: str, seconds: float, count: int, bound: float
) -> Measured:
    scale, parameters = case.scale, case.parameters
    needed = sqrt(2 / rho_for(EPSILON, DELTA)) * bound / scale.strong_convexity
    return Measured(
        width=case.after.width,
        outputs=case.after.outputs,
        subjects=subjects,
        method=name,
        seconds=seconds,
        candidates=count,
        residual=bound,
        accepted=bound <= parameters.tolerance,
        noise_needed=needed / parameters.sigma,
    )


def _floor(case: Case, effort: Effort) -> float:
    """One dpotrf of d, the triangular solves, one product of the matrix: the proof needs it."""
    matrix, right = _matrix(case.after, case.scale), _right(case.after, case.scale)
    copies = [matrix.copy() for _ in range(effort.turns)]

    def run() -> None:
        head, _ = dpotrs(_factored(copies.pop()), right, lower=True)
        matrix @ head

    with threads_for(case.after.width):
        return effort.seconds(run)


def measure_engine(case: Case, effort: Effort) -> Engine:
    """Every part of the package's work on one head."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state"
        save = effort.seconds(lambda: case.before.save(path))
        load = effort.seconds(lambda: HeadState.load(path))
        np.savez(Path(folder) / "rows.npz", q=case.gone.q, t=case.gone.t)
        constants = {**asdict(case.scale), "grid": case.grid, **asdict(case.parameters)}
        (Path(folder) / "constants.json").write_text(json.dumps(constants))
        memory = _memory(Path(folder))
    tolerance, sigma = case.parameters.tolerance, case.parameters.sigma
    size = (case.after.width, case.after.outputs)

    def update() -> Rounded:
        return surgical_update(case.after, case.scale, tolerance=tolerance, grid=case.grid)

    rounded = update()
    return Engine(
        width=case.after.width,
        outputs=case.after.outputs,
        precision=cheaper_precision(case.after, case.scale),
        floor=_floor(case, effort),
        load=load,
        digest=effort.seconds(case.after.digest),
        subtract=effort.seconds(lambda: subtract_rows(case.before, case.gone.q, case.gone.t)),
        update=effort.seconds(update),
        noise=effort.seconds(lambda: release(rounded, sigma)),
        save=save,
        estimated=estimated_seconds(*size, len(case.gone)),
        memory=memory,
    )


def _memory(folder: Path) -> float:
    done = subprocess.run(
        [sys.executable, __file__, "--memory-of", str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def _memory_here(folder: Path) -> float:
    """Peak growth of this process over the bytes of a state, for all the work on one head."""
    constants = json.loads((folder / "constants.json").read_text())
    scale = HeadScale(**{name: constants[name] for name in HeadScale.__dataclass_fields__})
    rows = np.load(folder / "rows.npz")
    warm = np.eye(64)
    surgical_update(  # libraries, threads and their buffers
        HeadState(np.eye(64, dtype=np.int64), np.ones((64, 1), np.int64), 1),
        scale,
        tolerance=inf,
        grid=constants["grid"],
    )
    warm @ warm
    idle = _peak()
    state = HeadState.load(folder / "state")
    size = state.gram.nbytes + state.cross.nbytes
    state.digest()
    state = subtract_rows(state, rows["q"], rows["t"])
    state.digest()
    state.save(folder / "after")
    rounded = surgical_update(
        state, scale, tolerance=constants["tolerance"], grid=constants["grid"]
    )
    release(rounded, constants["sigma"])
    return (_peak() - idle) / size


def _peak() -> int:
    """Peak memory of this process, in bytes; unlike `getrusage` it does not start at a parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = next(line for line in lines if line.startswith("VmHWM:"))
    return 1024 * int(found.split()[1])


def _updates_table(found: Sequence[Measured]) -> str:
    rows = [
        (
            str(one.width),
            str(one.outputs),
            str(one.subjects),
            one.method,
            f"{one.seconds:.3f}",
            str(one.candidates),
            "" if one.residual is None else f"{one.residual:.1e}",
            "" if one.noise_needed is None else f"{one.noise_needed:.2g}",
            {None: "", True: "yes", False: "no"}[one.accepted],
        )
        for one in found
    ]
    names = ("d", "K", "gone", "way", "seconds", "touched", "residual", "noise", "accepted")
    return table(names, rows)


def _engine_table(engines: Sequence[Engine]) -> str:
    rows = [
        (
            str(one.width),
            str(one.outputs),
            one.precision,
            *(
                f"{1000 * value:.1f}"
                for value in (
                    one.floor, one.subtract, one.update, one.noise, one.load, one.digest, one.save
                )
            ),
            f"{one.ratio:.2f}",
            f"{one.memory:.2f}",
            f"{1000 * one.estimated:.0f}",
        )
        for one in engines
    ]  # fmt: skip
    names = (
        "d", "K", "factor", "floor ms", "subtract", "update", "noise", "load", "digest", "save",
        "ratio", "memory", "expected",
    )  # fmt: skip
    return table(names, rows)


def _say(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main()
