"""What the ledger costs as it grows: appends, proofs, a full check.

    python examples/benchmarks/ledger.py

Appends are timed on SQLite and on a PostgreSQL server; everything else on SQLite, at every size.
See README.md here for what each number is.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from one_process import Process, mbd

from mbd.canonical.json import dumps
from mbd.cli.output import table
from mbd.database.engine import Database
from mbd.ledger.consistency import ConsistencyProof
from mbd.ledger.entry import Entry, unsigned_entry
from mbd.ledger.log import Labels, Log
from mbd.ledger.merkle import verify_inclusion
from mbd.ledger.note import open_checkpoint
from mbd.ledger.proofs import newest_note, prove_growth, stored_head
from mbd.ledger.queries import find_entry
from mbd.ledger.signer import log_signer
from mbd.ledger.tlog_proof import TlogProof, parse_tlog_proof
from mbd.signing.keys import generate_key
from mbd.workflows.session import Session
from mbd.workspace.layout import open_workspace
from mbd.workspace.ledger_place import Place, Server
from mbd.workspace.settings import load_settings

SIZES = (1_000, 100_000, 1_000_000)
BATCH = 10_000
"""Entries in one transaction while a log is filled."""
STEP = timedelta(minutes=5)
START = datetime(2026, 1, 1, tzinfo=UTC)
SEED = 1

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Appends:
    """Appends per second on one database."""

    database: str
    single: float
    """One entry in each transaction."""
    published: float
    """The same, and a checkpoint signed after each: what issuing one certificate does."""
    batched: float
    """A thousand entries in each transaction."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """One size, on SQLite."""

    entries: int
    fill_seconds: float
    file_bytes: int
    proof_ms: float
    """Median of proving an entry, from opening the database to a checked proof."""
    growth_ms: float
    """The same for a proof that the log grew from some size."""
    hashes: int
    """In the longest of the inclusion proofs."""
    proof_bytes: int
    """Of the longest proof text: the part of a bundle that depends on the size."""
    growth_bytes: int
    """Of the longest consistency proof text."""
    check_seconds: float
    check_cpu: float
    check_memory: int
    """Bytes at the peak of `mbd ledger check`."""


@click.command(epilog="Example: python examples/benchmarks/ledger.py --entries 1000 --json")
@click.option("--entries", type=int, multiple=True, help="A size; repeat it.  [10^3, 10^5, 10^6]")
@click.option("--postgres", help="URL of a server to use instead of one that is started here.")
@click.option("--quick", is_flag=True, help="Tiny sizes: shows that it works, measures nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def main(entries: tuple[int, ...], postgres: str | None, quick: bool, as_json: bool) -> None:
    """Measure the ledger."""
    if any(size < 2 for size in entries):
        raise click.UsageError("--entries: want at least 2")
    sizes = sorted(set(entries)) or ([50, 500] if quick else list(SIZES))
    turns = 5 if quick else 200
    folder = Path(tempfile.mkdtemp(prefix="mbd-ledger-"))
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    say: Say = lambda text: click.echo(text, err=True)  # noqa: E731
    try:
        appends = [append("SQLite", folder / "appends.db", folder, turns, say)]
        with server(postgres) as (place, reason):
            if place is not None:
                appends.append(append("PostgreSQL", place, folder, turns, say))
        found = [measure(folder / str(size), size, turns, say) for size in sizes]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        document = {
            "appends": [asdict(one) for one in appends],
            "noPostgres": reason,
            "sizes": [asdict(one) for one in found],
        }
        click.echo(json.dumps(document))
        return
    click.echo(f"{platform.machine()}, {os.cpu_count()} cores")
    click.echo(report(appends, reason, found))


def append(name: str, place: Place, folder: Path, turns: int, say: Say) -> Appends:
    """Append to a fresh log, one by one and many at a time."""
    say(f"{name}: appends")
    signer = log_signer("log.example/benchmark", generate_key())
    log = Log(Database.create(place), signer, folder / f"{name}-memory")
    log.publish()

    def rate(step: Callable[[], None], entries: int, count: int) -> float:
        started = time.perf_counter()
        for _ in range(count):
            step()
        return entries * count / (time.perf_counter() - started)

    def one() -> None:
        with log.database.transaction() as connection:
            log.append(connection, *entry(0)[:2])

    def one_published() -> None:
        one()
        log.publish()

    def many() -> None:
        with log.database.transaction() as connection:
            log.append_all(connection, [entry(number) for number in range(1000)])
        log.publish()

    return Appends(
        database=name,
        single=rate(one, 1, turns),
        published=rate(one_published, 1, turns),
        batched=rate(many, 1000, max(1, turns // 20)),
    )


def measure(root: Path, size: int, turns: int, say: Say) -> Size:
    """Fill the ledger of a workspace, then ask it for proofs and check it."""
    say(f"{size} entries: filling")
    mbd("init", str(root))
    workspace = open_workspace(root)
    log = Session(workspace, load_settings(workspace)).log
    seconds = fill(log, size)
    say(f"{size} entries: proofs and check")
    chance = random.Random(SEED)
    indices = [chance.randrange(size) for _ in range(turns)]
    proof_ms, proofs = timed(lambda index: prove(log, index), indices)
    growth_ms, grown = timed(lambda old: grow(log, old), indices)
    checked = check(root, size)
    return Size(
        entries=size,
        fill_seconds=seconds,
        file_bytes=workspace.ledger_db.stat().st_size,
        proof_ms=proof_ms,
        growth_ms=growth_ms,
        hashes=max(len(one.hashes) for one in proofs),
        proof_bytes=max(len(one.text.encode()) for one in proofs),
        growth_bytes=max(len(one.text.encode()) for one in grown),
        check_seconds=checked.seconds,
        check_cpu=checked.cpu,
        check_memory=checked.memory,
    )


def fill(log: Log, size: int) -> float:
    """Append, with what the workspace logged itself, until there are so many; seconds."""
    started = time.perf_counter()
    done = log.latest().size
    while done < size:
        batch = [entry(number) for number in range(done, min(size, done + BATCH))]
        with log.database.transaction() as connection:
            log.append_all(connection, batch)
        log.publish()
        done += len(batch)
    log.database.purge()
    return time.perf_counter() - started


def entry(number: int) -> tuple[Entry, bytes, Labels]:
    """An entry with a body as long as that of a small one."""
    body = dumps({"note": "x" * 200, "number": number})
    return unsigned_entry("attempt", START + number * STEP, body), body, Labels()


def prove(log: Log, index: int) -> TlogProof:
    """Prove an entry as issuing does, and check the proof as a verifier does."""
    proof = parse_tlog_proof(log.proof_bundle(index))
    head = open_checkpoint(proof.checkpoint, log.verifier_key, log.origin)
    with log.database.read() as connection:
        leaf = find_entry(connection, str(index)).leaf_hash
    verify_inclusion(leaf, index, head.size, proof.hashes, head.root)
    return proof


def grow(log: Log, old: int) -> ConsistencyProof:
    """Prove, and check, that the log grew from a size."""
    with log.database.read() as connection:
        head = stored_head(connection, log.origin, old)
        return prove_growth(connection, log.verifier_key, head, newest_note(connection))


def timed(step: Callable[[int], object], values: list[int]) -> tuple[float, list[object]]:
    """Milliseconds, median; and what came of each."""
    seconds, results = [], []
    for value in values:
        started = time.perf_counter()
        results.append(step(value))
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds), results


def check(root: Path, size: int) -> Process:
    """`mbd ledger check` as a process of its own; everything must hold."""
    done = mbd("-w", str(root), "ledger", "check", "--json")
    found = json.loads(done.output)
    if not found["ok"] or found["size"] != size:
        raise click.ClickException(f"the check of {size} entries says {found}")
    return done


@contextlib.contextmanager
def server(url: str | None) -> Iterator[tuple[Place | None, str | None]]:
    """A schema on a server: the one named, or one that is started here as the tests do.

    Yields:
        Where a database may be made, or None and why not.
    """
    if url is not None:
        yield Server(url, f"mbd_benchmark_{os.getpid()}"), None
        return
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    import pytest

    from tests.postgres import running_server

    with contextlib.ExitStack() as stack:
        try:
            started = stack.enter_context(running_server(durable=True))
        except pytest.skip.Exception as skipped:
            yield None, str(skipped)
            return
        yield started.new_schema(), None


def report(appends: list[Appends], reason: str | None, found: list[Size]) -> str:
    """The tables, and what was wanted beside what was found."""
    header = ("appends a second", "one by one", "one by one, each signed", "1000 at a time")
    rows = [
        (one.database, f"{one.single:.0f}", f"{one.published:.0f}", f"{one.batched:.0f}")
        for one in appends
    ]
    parts = [table(header, rows)]
    if reason is not None:
        parts.append(f"PostgreSQL was not measured: {reason}")
    parts += ["", sizes_table(found)]
    if len(found) > 1:
        parts += ["", *judged(found[0], found[-1])]
    return "\n".join(parts)


def sizes_table(found: list[Size]) -> str:
    """One column for each size."""

    def row(name: str, value: Callable[[Size], str]) -> tuple[str, ...]:
        return (name, *(value(one) for one in found))

    lines = [
        row("filling: seconds", lambda one: f"{one.fill_seconds:.1f}"),
        row("  entries a second", lambda one: f"{one.entries / one.fill_seconds:.0f}"),
        row("file: MB", lambda one: f"{one.file_bytes / 1e6:.1f}"),
        row("proof of an entry: ms", lambda one: f"{one.proof_ms:.1f}"),
        row("  hashes, at most", lambda one: str(one.hashes)),
        row("  bytes in a bundle, at most", lambda one: str(one.proof_bytes)),
        row("proof of growth: ms", lambda one: f"{one.growth_ms:.1f}"),
        row("  bytes, at most", lambda one: str(one.growth_bytes)),
        row("check: seconds", lambda one: f"{one.check_seconds:.1f}"),
        row("  seconds of CPU", lambda one: f"{one.check_cpu:.1f}"),
        row(
            "  microseconds of CPU an entry", lambda one: f"{1e6 * one.check_cpu / one.entries:.0f}"
        ),
        row("  MB at the peak", lambda one: f"{one.check_memory / 1e6:.0f}"),
    ]
    return table(("", *(f"{one.entries} entries" for one in found)), lines)


def judged(first: Size, last: Size) -> list[str]:
    """Growth with the logarithm of the size."""
    log_ratio = math.log(last.entries) / math.log(first.entries)
    name = f"{last.entries} : {first.entries} entries"
    proof, latency = last.proof_bytes / first.proof_bytes, last.proof_ms / first.proof_ms
    depth = math.ceil(math.log2(last.entries))
    more = (last.check_memory - first.check_memory) / 1e6
    wanted = [
        (f"hashes of a proof, {last.entries} entries", last.hashes, depth, "g"),
        (f"bytes of a proof, {name}", proof, log_ratio, ".2f"),
        (f"ms of a proof, {name}", latency, log_ratio, ".2f"),
        (f"check, more MB, {name}", more, 64, ".0f"),
    ]
    return [
        f"{what}  {value:{form}}   want at most {limit:.3g}: "
        f"{'met' if value <= limit else 'NOT MET'}"
        for what, value, limit, form in wanted
    ]


if __name__ == "__main__":
    main()
