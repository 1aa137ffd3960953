"""What a revocation costs, beside what it replaces: seconds, in one run, on this machine.

    python examples/benchmarks/revoke.py [--mosi DIR]

For every size: one revocation, the state rebuilt from the prepared rows, and everything
trained again. With real data at hand: one revocation as a process, from start to exit. See
README.md here for what each number is.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click
import one_process
from one_process import OneWidth, mbd

from mbd.cli.output import table
from mbd.data.store import Store
from mbd.data.synthetic import synthesise
from mbd.model.scaling import fit_scaler
from mbd.training.loop import train_core
from mbd.training.settings import CoreSettings
from mbd.workflows.initialise import initialise
from mbd.workflows.opening import open_session
from mbd.workflows.session import Session
from mbd.workflows.sums import sum_rows
from mbd.workflows.train import TrainOptions, train_model
from mbd.workspace.layout import Workspace

RECORDS_PER_SUBJECT = 20
MODALITY = "audio"
SEED = 1
FLAT = 1.5
"""Want: engine seconds at the largest size over those at the smallest."""
CHEAPER = {10_000: 50.0, 100_000: 1000.0}
"""Want: seconds of training again over engine seconds, by records."""
WIDTHS = (2048, 4096)
"""d of the revocations that are timed as processes."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How thorough the run is."""

    width: int
    """d of every head."""
    revocations: int
    """Per size; the median is reported."""
    epochs: int
    """Of the deep reference, at most."""
    estimated_from: int
    """Records from which on one epoch of it is timed and multiplied."""


@dataclass(frozen=True, kw_only=True)
class Deep:
    """A deep model on everybody, to early stopping."""

    seconds: float
    epochs: int
    to_the_end: bool
    """Or ended by a lower limit on epochs than the reference has of its own."""
    estimated: bool
    """One epoch was timed; `epochs` are those of the largest size that was trained."""


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """Training everything again, in seconds."""

    deep: Deep
    heads: float
    """Choices, prepared rows, state and heads."""

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.deep.seconds + self.heads


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One size; seconds of wall clock."""

    records: int
    subjects: int
    engine: tuple[float, ...]
    """Of each revocation: plan, subtract, solve, noise, everything written beside the old."""
    total: tuple[float, ...]
    """Of each revocation, with erasure, search, signature and log."""
    rebuild: float
    """The state, from the stored prepared rows."""
    retraining: Retraining

    @property
    def engine_seconds(self) -> float:
        """Median over the revocations."""
        return statistics.median(self.engine)

    @property
    def total_seconds(self) -> float:
        """Median over the revocations."""
        return statistics.median(self.total)

    @property
    def cheaper(self) -> float:
        """Training again over engine."""
        return self.retraining.seconds / self.engine_seconds


@click.command(epilog="Example: python examples/benchmarks/revoke.py --json > revoke.json")
@click.option(
    "--records", type=int, multiple=True, help="A size; repeat it.  [1000, 10000, 100000]"
)
@click.option("--width", type=int, help="d of every head.  [1024]")
@click.option("--epochs", type=int, help="Of the deep reference, at most.  [its own setting]")
@click.option("--revocations", type=int, help="Per size.  [7]")
@click.option(
    "--mosi",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with mosi_utt.npz and mosi.toml: time one revocation as a process, too.",
)
@click.option("--quick", is_flag=True, help="Tiny sizes: shows that it works, measures nothing.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep the workspaces in this folder.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def main(
    records: tuple[int, ...],
    width: int | None,
    epochs: int | None,
    revocations: int | None,
    mosi: Path | None,
    quick: bool,
    keep: Path | None,
    as_json: bool,
) -> None:
    """Measure a revocation, rebuilding the state, and training everything again."""
    effort = Effort(
        width=width or (192 if quick else 1024),
        revocations=revocations or (2 if quick else 7),
        epochs=epochs or (2 if quick else CoreSettings().epochs),
        estimated_from=400 if quick else 50_000,
    )
    sizes = sorted(set(records)) or ([100, 200, 400] if quick else [1000, 10_000, 100_000])
    widths = (448,) if quick else WIDTHS
    with _folder(keep) as folder:
        found = None
        if mosi is not None:  # first, while this process is small
            found = one_process.measure(folder, mosi, widths, effort.revocations, _say)
        measured = measure(folder, sizes, effort)
    if as_json:
        click.echo(json.dumps(document(measured, effort, found)))
    else:
        click.echo(text(measured, effort, judged=not quick))
        click.echo("\n" + process_text(found, judged=not quick))


def measure(folder: Path, sizes: Sequence[int], effort: Effort) -> list[Measured]:
    """Make a workspace of each size in `folder` and time everything in it."""
    if min(sizes) >= effort.estimated_from:
        raise click.UsageError(
            f"one size below {effort.estimated_from} records is needed: the epochs of training "
            "again are counted there"
        )
    workspaces = [_workspace(folder, size) for size in sizes]
    subjects = [_subjects(workspace, effort.revocations) for workspace in workspaces]
    training = [_train(workspace, effort) for workspace in workspaces]
    rebuilding = [_rebuild(workspace) for workspace in workspaces]
    revoking = _revoke_in_turns(workspaces, subjects)
    return [
        Measured(
            records=size,
            subjects=size // RECORDS_PER_SUBJECT,
            engine=tuple(engine for engine, _ in times),
            total=tuple(total for _, total in times),
            rebuild=rebuild,
            retraining=Retraining(deep=deep, heads=heads),
        )
        for size, heads, rebuild, times, deep in zip(
            sizes,
            training,
            rebuilding,
            revoking,
            _train_deep(workspaces, sizes, effort),
            strict=True,
        )
    ]


def _workspace(folder: Path, records: int) -> Workspace:
    _say(f"{records} records: making a workspace")
    workspace = initialise(folder / f"records-{records}").workspace
    made, schema = synthesise(records // RECORDS_PER_SUBJECT, records, SEED)
    with open_session(workspace, write=True) as session:
        Store.create(session.store_folder, schema, made, session.key)
    return workspace


def _train(workspace: Workspace, effort: Effort) -> float:
    """Seconds of `mbd train --core none`: choices, prepared rows, state and heads."""
    _say(f"{workspace.root.name}: preparing rows, summing the state, releasing the heads")
    options = TrainOptions(core="none", overrides={"heads.width": str(effort.width)})
    with open_session(workspace, write=True) as session:
        return train_model(session, options).seconds


def _rebuild(workspace: Workspace) -> float:
    """Seconds of summing the state from the stored prepared rows; it must be the same."""
    _say(f"{workspace.root.name}: rebuilding the state")
    with open_session(workspace) as session:
        model, state = session.model(), session.state()
        started = time.perf_counter()
        rows = session.prepared(model.policy.training_id).all_rows()
        states = sum_rows(model.policy, rows)
        seconds = time.perf_counter() - started
    for head, found in states.items():
        if found.digest() != state.heads[head][0]:
            raise click.ClickException(f"head {head}: the rebuilt state differs")
    return seconds


def _revoke_in_turns(
    workspaces: Sequence[Workspace], subjects: Sequence[Sequence[str]]
) -> list[list[tuple[float, float]]]:
    """Engine and total seconds of each revocation, by workspace; each in a process of its own.

    Sizes take turns, so that whatever else the machine does falls on all of them alike.
    """
    times: list[list[tuple[float, float]]] = [[] for _ in workspaces]
    for turn, people in enumerate(zip(*subjects, strict=True)):
        for mine, workspace, subject in zip(times, workspaces, people, strict=True):
            here, request = ("-w", str(workspace.root)), ("--user", subject, "--modality", MODALITY)
            done = mbd(*here, "revoke", *request, "--json")
            mine.append((done.engine, done.walk))
            _say(f"{workspace.root.name}: revocation {turn + 1}: {done.engine:.2f} s")
    return times


def _subjects(workspace: Workspace, count: int) -> list[str]:
    """Different revocable people who have the channel."""
    with open_session(workspace) as session:
        held = session.store().subjects()
    found = [one.user for one in held if one.cohort == "revocable" and MODALITY in one.available]
    if len(found) < count:
        raise click.UsageError(f"{len(found)} revocable subjects; want {count}: more --records")
    return found[:count]


def _train_deep(
    workspaces: Sequence[Workspace], sizes: Sequence[int], effort: Effort
) -> list[Deep]:
    """The deep reference of every size; the large ones from one epoch."""
    found: list[Deep] = []
    for workspace, size in zip(workspaces, sizes, strict=True):
        with open_session(workspace) as session:
            if size < effort.estimated_from:
                found.append(_fit(session, effort.epochs, _epochs(workspace.root.name)))
            else:
                found.append(_estimate(session, found[-1], _epochs(workspace.root.name)))
    return found


def _fit(session: Session, most_epochs: int, progress: Callable[[int, int], None]) -> Deep:
    started = time.perf_counter()
    epochs = _train_everybody(session, most_epochs, progress)
    return Deep(
        seconds=time.perf_counter() - started,
        epochs=epochs,
        to_the_end=epochs < most_epochs or most_epochs >= CoreSettings().epochs,
        estimated=False,
    )


def _estimate(session: Session, smaller: Deep, progress: Callable[[int, int], None]) -> Deep:
    """As many epochs as the smaller size took, each as long as the second one here."""
    ends: list[float] = []

    def timed(done: int, most: int) -> None:
        ends.append(time.perf_counter())
        progress(done, most)

    started = time.perf_counter()
    _train_everybody(session, 2, timed)
    first, epoch = ends[0] - started, ends[1] - ends[0]
    seconds = first + (smaller.epochs - 1) * epoch
    return replace(smaller, seconds=seconds, estimated=True)


def _train_everybody(
    session: Session, most_epochs: int, progress: Callable[[int, int], None]
) -> int:
    """Epochs that were run."""
    store = session.store()
    records, schema = store.read(), store.schema
    settings = CoreSettings(epochs=most_epochs)
    train, valid = records.where(split="train"), records.where(split="valid")
    scaler = fit_scaler(train.x, schema.modalities, train.labels, schema.task)
    trained = train_core(train, valid, schema, scaler, settings, seed=SEED, progress=progress)
    return trained.epochs


def _epochs(name: str) -> Callable[[int, int], None]:
    """Says every tenth epoch."""

    def progress(done: int, most: int) -> None:
        if done == 1 or done % 10 == 0:
            _say(f"{name}: deep reference, epoch {done} of at most {most}")

    return progress


def document(
    measured: Sequence[Measured], effort: Effort, processes: Sequence[OneWidth] | None
) -> dict[str, object]:
    """Everything measured, as plain values."""
    return {
        "schema": "urn:mbd:benchmark:revoke:v2",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "width": effort.width,
        "sizes": [_camel(one) for one in measured],
        "flat": _flat(measured),
        "wanted": {"flat": FLAT, "cheaper": {str(size): want for size, want in CHEAPER.items()}},
        "processes": None if processes is None else list(map(one_process.document, processes)),
    }


def _camel(one: Measured) -> dict[str, object]:
    return {
        "records": one.records,
        "subjects": one.subjects,
        "seconds": {
            "engine": one.engine_seconds,
            "total": one.total_seconds,
            "rebuild": one.rebuild,
            "retraining": one.retraining.seconds,
        },
        "each": {"engine": list(one.engine), "total": list(one.total)},
        "retraining": {
            "deep": one.retraining.deep.seconds,
            "epochs": one.retraining.deep.epochs,
            "toTheEnd": one.retraining.deep.to_the_end,
            "estimated": one.retraining.deep.estimated,
            "heads": one.retraining.heads,
        },
        "cheaper": one.cheaper,
    }


def text(measured: Sequence[Measured], effort: Effort, *, judged: bool) -> str:
    """The table, what its numbers are, and whether they are what is wanted."""
    heading = ("seconds", *(f"{one.records} records" for one in measured))
    flat = f"engine, {measured[-1].records} : {measured[0].records} records"
    lines = [
        f"One revocation of {MODALITY}, d = {effort.width}, {RECORDS_PER_SUBJECT} records per "
        f"subject; {os.cpu_count()} cores.",
        "",
        table(heading, _rows(measured)),
        "",
        f"{flat:48} {_flat(measured):8.2f}   want at most {FLAT:g}"
        + _verdict(_flat(measured) <= FLAT, judged),
    ]
    for one in measured:
        many, want = f"training again : engine, {one.records} records", CHEAPER.get(one.records)
        wanted = "" if want is None else f"   want at least {want:g}"
        lines.append(
            f"{many:48} {one.cheaper:8.0f}{wanted}"
            + _verdict(one.cheaper >= (want or 0.0), judged and want is not None)
        )
    return "\n".join([*lines, *_remarks(measured, effort, judged)])


def _remarks(measured: Sequence[Measured], effort: Effort, judged: bool) -> list[str]:
    lines = []
    if not judged:
        lines.append("A quick run: it shows that the benchmark works; its numbers mean nothing.")
    if not all(one.retraining.deep.to_the_end for one in measured):
        lines.append(
            f"The deep reference was ended after {effort.epochs} epochs, before early stopping: "
            "what it costs is a lower bound."
        )
    for one in measured:
        if one.retraining.deep.estimated:
            lines.append(
                f"{one.records} records: one epoch of the deep reference was timed and "
                f"multiplied by {one.retraining.deep.epochs}, the epochs of the size before."
            )
    return lines


def process_text(found: Sequence[OneWidth] | None, *, judged: bool) -> str:
    """The revocation as a process: table and targets, or why there is none."""
    if found is None:
        return "One revocation as a process: left out, no --mosi DIR with the data was given."
    heading = ("seconds", *(f"d = {one.width}" for one in found))
    heads = f"{found[0].heads} heads released anew"
    lines = [
        f"One revocation of {MODALITY} as a process, MOSI, {heads}; {os.cpu_count()} cores.",
        "",
        table(heading, one_process.rows(found)),
        "",
    ]
    for what, value, want in one_process.judgements(found):
        lines.append(
            f"{what:48} {value:8.2f}   want at most {want:g}" + _verdict(value <= want, judged)
        )
    return "\n".join(lines)


def _rows(measured: Sequence[Measured]) -> list[tuple[str, ...]]:
    def row(name: str, value: Callable[[Measured], str]) -> tuple[str, ...]:
        return (name, *map(value, measured))

    count = len(measured[0].engine)
    return [
        row(f"revocation: engine, median of {count}", lambda m: f"{m.engine_seconds:.2f}"),
        row("  lowest to highest", lambda m: f"{min(m.engine):.2f} to {max(m.engine):.2f}"),
        row("revocation: total", lambda m: f"{m.total_seconds:.2f}"),
        row("state rebuilt from prepared rows", lambda m: f"{m.rebuild:.2f}"),
        row("everything trained again", lambda m: f"{m.retraining.seconds:.1f}"),
        row("  deep reference on everybody", lambda m: f"{m.retraining.deep.seconds:.1f}"),
        row("    its epochs", lambda m: str(m.retraining.deep.epochs)),
        row("  prepared rows, state and heads", lambda m: f"{m.retraining.heads:.1f}"),
    ]


def _flat(measured: Sequence[Measured]) -> float:
    return measured[-1].engine_seconds / measured[0].engine_seconds


def _verdict(met: bool, judged: bool) -> str:
    return (": met" if met else ": MISSED") if judged else ""


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Where the workspaces are made, with the logs' memory inside; removed unless kept."""
    folder = Path(tempfile.mkdtemp(prefix="mbd-benchmark-")) if keep is None else keep.resolve()
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    finally:
        if before is None:
            del os.environ["XDG_STATE_HOME"]
        else:
            os.environ["XDG_STATE_HOME"] = before
        if keep is None:
            shutil.rmtree(folder)


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
