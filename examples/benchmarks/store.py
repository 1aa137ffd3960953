"""What the data store costs as it grows: seconds, bytes read and written, and memory.

    python examples/benchmarks/store.py

For every size: the first import, an addition, an erasure and a scan, each in a process of its
own. See README.md here for what each number is.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import numpy as np

from mbd.cli.output import table
from mbd.data.erasure import BucketErasure, Erasing, bucket_files, erase_bucket, plan_bucket
from mbd.data.intake import take_in
from mbd.data.needles import scan
from mbd.data.prepared import PreparedRows, PreparedStore
from mbd.data.records import Records
from mbd.data.schema import DatasetSchema
from mbd.data.search import Searcher
from mbd.data.store import Store
from mbd.data.traces import make_traces
from mbd.values import ModalityInfo, Split, Task, availability_name, nonempty_subsets

RECORDS_PER_SUBJECT = 20
MODALITIES = ("audio", "text", "vision")
MODALITY = "audio"
WIDTH = 32
"""Features of a channel of a record: one step, float32."""
ROW_WIDTH = 64
"""int16 inputs of a prepared row."""
KEY = bytes(range(32))
FLAT = 2.0
"""Want: bytes that an erasure writes at the largest size over those at the smallest.

Files hold 24 subjects on average, but only 17 where 50 subjects are spread over 3 files.
"""
GROWTH = 64.0
"""Want: MB by which an erasure or a scan may need more memory at the largest size."""
HEADS = tuple(availability_name(one) for one in nonempty_subsets(MODALITIES))
SCHEMA = DatasetSchema(
    name="benchmark",
    task=Task(kind="regression", label_range=(-3.0, 3.0)),
    modalities=tuple(ModalityInfo(name=name, width=WIDTH, max_length=1) for name in MODALITIES),
)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one operation took."""

    seconds: float
    cpu: float
    """Seconds that it computed: what other work the machine has does not count."""
    read: int
    """Bytes, whether a disk or the page cache gave them."""
    written: int
    files: int = 0
    """Files of records and of prepared rows that are new or changed afterwards."""
    files_in_all: int = 0
    file_bytes: int = 0
    """Bytes of those that are new or changed."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One operation, several times in one process of its own."""

    each: tuple[Cost, ...]
    memory: float
    """MB by which the peak of the process grew from its start."""

    def median(self, name: str) -> float:
        """Of one field of the costs."""
        return float(statistics.median(getattr(cost, name) for cost in self.each))


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One size."""

    records: int
    steps: dict[str, Step]
    """Keys: import, add, erase, scan."""


@dataclass
class Meter:
    """Collects costs inside the process that does the work."""

    folder: Path
    costs: list[Cost] = field(default_factory=list)

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Time and count what happens inside; what changed on disk is looked up outside."""
        before, (read, written) = _on_disk(self.folder), _bytes()
        started, started_cpu = time.perf_counter(), time.process_time()
        yield
        seconds, cpu = time.perf_counter() - started, time.process_time() - started_cpu
        read_now, written_now = _bytes()
        after = _on_disk(self.folder)
        changed = [path for path, stat in after.items() if before.get(path) != stat]
        self.costs.append(
            Cost(
                seconds=seconds,
                cpu=cpu,
                read=read_now - read,
                written=written_now - written,
                files=len(changed),
                files_in_all=len(after),
                file_bytes=sum(path.stat().st_size for path in changed),
            )
        )


@click.command(epilog="Example: python examples/benchmarks/store.py --json > store.json")
@click.option(
    "--records", type=click.IntRange(min=100), multiple=True,
    help="A size; repeat it.  [1000, 10000 and 100000]",
)  # fmt: skip
@click.option("--turns", type=click.IntRange(1, 5), help="Additions and erasures per size.  [5]")
@click.option("--quick", is_flag=True, help="Tiny sizes: shows that it works, measures nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def main(records: tuple[int, ...], turns: int | None, quick: bool, as_json: bool) -> None:
    """Measure additions, erasures and scans of stores of several sizes."""
    whole = {count - count % RECORDS_PER_SUBJECT for count in records}
    sizes = sorted(whole) or ([200, 1000] if quick else [1000, 10_000, 100_000])
    folder = Path(tempfile.mkdtemp(prefix="mbd-benchmark-"))
    try:
        measured = [measure(folder / str(size), size, turns or (2 if quick else 5))
                    for size in sizes]  # fmt: skip
    finally:
        shutil.rmtree(folder)
    if as_json:
        click.echo(json.dumps(document(measured)))
    else:
        click.echo(text(measured, judged=not quick))


def measure(folder: Path, records: int, turns: int) -> Measured:
    """Fill a store in `folder` and take every step, each in a fresh process."""
    folder.mkdir()
    steps: dict[str, Step] = {}
    for name, work in STEPS.items():
        _say(f"{records} records: {name}")
        steps[name] = _in_process(work, folder, records, turns)
    shutil.rmtree(folder)
    return Measured(records=records, steps=steps)


def _in_process(
    work: Callable[[Meter, int, int], None], folder: Path, records: int, turns: int
) -> Step:
    """Run a step where nothing else uses memory; this process never holds data itself."""
    context = get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(sending, work, folder, records, turns))
    child.start()
    sending.close()
    try:
        found: Step = receiving.recv()
    except EOFError as error:
        raise click.ClickException("a step failed; see above") from error
    finally:
        child.join()
    return found


def _child(
    sending: Any, work: Callable[[Meter, int, int], None], folder: Path, records: int, turns: int
) -> None:
    meter, before = Meter(folder), _peak()
    work(meter, records, turns)
    sending.send(Step(each=tuple(meter.costs), memory=_peak() - before))


def _import(meter: Meter, records: int, turns: int) -> None:
    """The first import, of all records at once; what a model would prepare is not measured.

    Random rows take its place, for every training record and head.
    """
    made = _records(range(records // RECORDS_PER_SUBJECT))
    with meter.measure():
        store = take_in(_data(meter.folder), KEY, made, SCHEMA).store
    parts = ((bucket, _rows(store.read_bucket(bucket), bucket)) for bucket in store.buckets())
    PreparedStore.create(_prepared(meter.folder), KEY, len(store.buckets()), parts)


def _add(meter: Meter, records: int, turns: int) -> None:
    """One new person each time: held, and rows stored."""
    for turn in range(turns):
        person = records // RECORDS_PER_SUBJECT + turn
        made = _records(range(person, person + 1))
        rows = _rows(made, person)
        with meter.measure():
            prepared = PreparedStore.open(_prepared(meter.folder), KEY)
            take_in(_data(meter.folder), KEY, made, SCHEMA)
            prepared.add([(prepared.bucket_of(str(person)), rows)])


def _erase(meter: Meter, records: int, turns: int) -> None:
    """One channel of one person each time: plan, needles, erasure, search of the new files."""
    for person in range(turns):
        with meter.measure():
            store = Store.open(_data(meter.folder), KEY)
            prepared = PreparedStore.open(_prepared(meter.folder), KEY)
            wanted = Erasing(request="", subject=str(person), modalities=(MODALITY,))
            plan = plan_bucket(store, [prepared], store.bucket_of(str(person)), [wanted])
            needles = plan.needles()
            erase_bucket(store, [prepared], plan)
            result = scan(bucket_files(store, [prepared], plan), needles)
        if not result.clean or not plan.plans[0].items:
            raise click.ClickException("nothing was erased, or not all of it")
    plan.save(meter.folder / "plan.json")


def _scan(meter: Meter, records: int, turns: int) -> None:
    """Every file, for the traces of what was erased last."""
    needles = BucketErasure.load(meter.folder / "plan.json").needles()
    traces = make_traces(needles)
    with meter.measure():
        searcher = Searcher(traces, (), needles.by_kind["salts"])
        store = Store.open(_data(meter.folder), KEY)
        prepared = PreparedStore.open(_prepared(meter.folder), KEY)
        found = [searcher.search(path).hits for path in (*store.files(), *prepared.files())]
    if any(found):
        raise click.ClickException("the scan found what was erased")


STEPS: dict[str, Callable[[Meter, int, int], None]] = {
    "import": _import,
    "add": _add,
    "erase": _erase,
    "scan": _scan,
}


def _data(folder: Path) -> Path:
    return folder / "data"


def _prepared(folder: Path) -> Path:
    return folder / "prepared"


def _records(people: range) -> Records:
    """Random features in every channel; 14 of 20 records are for training."""
    rng = np.random.default_rng(people.start)
    count = len(people) * RECORDS_PER_SUBJECT
    splits: list[Split] = ["train", "valid", "train", "test", "train"]
    splits = (splits * 2 + ["train", "train", "test", "train", "train"] * 2) * len(people)
    names = tuple(str(person) for person in people for _ in range(RECORDS_PER_SUBJECT))
    return Records(
        record_ids=tuple(f"r{i % RECORDS_PER_SUBJECT:02d}-{who}" for i, who in enumerate(names)),
        subjects=names,
        cohorts=("revocable",) * count,
        splits=tuple(splits),
        labels=rng.uniform(-3, 3, count),
        x={
            name: tuple(rng.standard_normal((count, 1, WIDTH), dtype=np.float32))
            for name in MODALITIES
        },
    )


def _rows(records: Records, seed: int) -> dict[str, PreparedRows]:
    """A random row for each training record and head."""
    rng, train = np.random.default_rng(seed), records.where(split="train")
    return {
        head: PreparedRows(
            train.record_ids,
            train.subjects,
            v=rng.integers(-(1 << 14), 1 << 14, (len(train), ROW_WIDTH), dtype=np.int16),
            t=rng.integers(-(1 << 20), 1 << 20, (len(train), 1), dtype=np.int32),
        )
        for head in HEADS
    }


def _on_disk(folder: Path) -> dict[Path, tuple[int, int]]:
    """Every file of records or rows, with what changes when it is written."""
    stats = {path: path.stat() for path in folder.glob("*/*.parquet")}
    return {path: (one.st_ino, one.st_mtime_ns) for path, one in stats.items()}


def _bytes() -> tuple[int, int]:
    """Bytes that this process has read and written so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    counts = dict(line.split(": ") for line in lines)
    return int(counts["rchar"]), int(counts["wchar"])


def _peak() -> float:
    """MB of memory that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def document(measured: Sequence[Measured]) -> dict[str, object]:
    """Everything measured, as plain values."""
    return {
        "schema": "urn:mbd:benchmark:store:v1",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "preparedRows": "random",
        "sizes": [
            {
                "records": one.records,
                "steps": {
                    name: {
                        "memory": step.memory,
                        "each": [_camel(asdict(cost)) for cost in step.each],
                    }
                    for name, step in one.steps.items()
                },
            }
            for one in measured
        ],
        "ratios": {
            name: {
                what: _ratio(measured, name, what) for what in ("seconds", "cpu", "read", "written")
            }
            for name in measured[0].steps
        },
        "growth": {name: _growth(measured, name) for name in measured[0].steps},
        "wanted": {"eraseWritten": FLAT, "memory": GROWTH},
    }


def _camel(cost: dict[str, Any]) -> dict[str, Any]:
    words = ((name.split("_"), value) for name, value in cost.items())
    return {first + "".join(map(str.title, more)): value for (first, *more), value in words}


def text(measured: Sequence[Measured], *, judged: bool) -> str:
    """The table, what its numbers are, and whether they are what is wanted."""
    first, last = measured[0], measured[-1]
    heading = ("", *(f"{one.records} records" for one in measured), "last : first")
    flat = _ratio(measured, "erase", "written")
    most = max(_growth(measured, name) for name in ("erase", "scan"))
    cost = last.steps["erase"].each[0]
    sizes = f"{last.records} : {first.records} records"
    written = f"erase, bytes written, {sizes}"
    memory = f"erase and scan, more MB, {sizes}"
    lines = [
        f"{RECORDS_PER_SUBJECT} records per subject, {len(MODALITIES)} channels of {WIDTH} "
        f"features; prepared rows are random; {os.cpu_count()} cores.",
        "",
        table(heading, [row for name in first.steps for row in _rows_of(measured, name)]),
        "",
        f"An erasure rewrites {cost.files} of {cost.files_in_all} files at {last.records} records.",
        f"{written:56} {flat:8.2f}   want at most {FLAT:g}" + _verdict(flat <= FLAT, judged),
        f"{memory:56} {most:8.0f}   want at most {GROWTH:g}" + _verdict(most <= GROWTH, judged),
    ]
    if not judged:
        lines.append("A quick run: it shows that the benchmark works; its numbers mean nothing.")
    return "\n".join(lines)


def _rows_of(measured: Sequence[Measured], name: str) -> Iterator[tuple[str, ...]]:
    steps = [one.steps[name] for one in measured]
    for label, what, unit, form in (
        ("seconds", "seconds", 1.0, ".3f"),
        ("seconds of CPU", "cpu", 1.0, ".3f"),
        ("MB read", "read", 1e6, ".2f"),
        ("MB written", "written", 1e6, ".2f"),
    ):
        values = (f"{step.median(what) / unit:{form}}" for step in steps)
        small = steps[0].median(what) / unit < 0.001
        ratio = "" if small else f"{_ratio(measured, name, what):.2f}"
        yield (f"{name}: {label}", *values, ratio)
    files = (f"{step.median('files'):.0f} of {step.each[0].files_in_all}" for step in steps)
    yield ("  files rewritten", *files, "")
    if name in ("add", "erase"):
        held = (f"{step.median('file_bytes') / 1e6:.2f}" for step in steps)
        yield ("  MB of those files", *held, f"{_ratio(measured, name, 'file_bytes'):.2f}")
    yield ("  MB of memory, peak growth", *(f"{step.memory:.0f}" for step in steps), "")


def _ratio(measured: Sequence[Measured], name: str, what: str) -> float:
    """At the largest size over at the smallest."""
    first, last = (one.steps[name].median(what) for one in (measured[0], measured[-1]))
    return last / max(first, 1e-9)


def _growth(measured: Sequence[Measured], name: str) -> float:
    """MB of memory more at the largest size than at the smallest."""
    return measured[-1].steps[name].memory - measured[0].steps[name].memory


def _verdict(met: bool, judged: bool) -> str:
    return (": met" if met else ": MISSED") if judged else ""


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
