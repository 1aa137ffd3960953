"""What many revocations cost when they are carried out together: one process, measured outside.

    python examples/benchmarks/batch.py

For every size: one `mbd revoke` by itself, then a batch of that many people. See README.md
here for what each number is.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
from one_process import Process, mbd

from mbd.cli.output import table

RECORDS_PER_SUBJECT = 20
MODALITY = "audio"
SEED = 1
MINUTES = 10.0
"""Want: the largest batch is done in at most so many minutes."""
MEMORY_MB = 1024.0
"""Want: memory of the largest batch, in MB, at most."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One size."""

    requests: int
    single: Process
    batch: Process
    releases: int
    """Times that noise was drawn for the batch."""
    certificates: int
    """Issued for it, each of which `mbd verify` accepts."""
    equal: bool
    """Whether the state is the one built from scratch on what is left."""

    @property
    def each_ms(self) -> float:
        """Milliseconds of a request of the batch."""
        return 1000 * self.batch.seconds / self.requests

    @property
    def cheaper(self) -> float:
        """One revocation by itself, over one in the batch."""
        return 1000 * self.single.seconds / self.each_ms


@click.command(epilog="Example: python examples/benchmarks/batch.py --requests 1000 --json")
@click.option("--requests", type=int, multiple=True, help="A size; repeat it.  [1000 and 10000]")
@click.option("--width", type=int, default=1024, show_default=True, help="d of every head.")
@click.option("--quick", is_flag=True, help="Tiny sizes: shows that it works, measures nothing.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep the workspaces in this folder.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def main(
    requests: tuple[int, ...], width: int, quick: bool, keep: Path | None, as_json: bool
) -> None:
    """Measure batches of revocations, as a person would run them."""
    if any(size < 2 for size in requests):
        raise click.UsageError("--requests: want at least 2")
    sizes = sorted(set(requests)) or ([20, 60] if quick else [1000, 10000])
    folder = keep or Path(tempfile.mkdtemp(prefix="mbd-batch-"))
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    try:
        say = lambda text: click.echo(text, err=True)  # noqa: E731
        found = [measure(folder / str(size), size, 160 if quick else width, say) for size in sizes]
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        click.echo(json.dumps({"sizes": [document(one) for one in found]}))
        return
    click.echo(f"{platform.machine()}, {os.cpu_count()} cores; d = {160 if quick else width}")
    click.echo(report(found))


def measure(root: Path, size: int, width: int, say: Callable[[str], None]) -> Measured:
    """Make a workspace in which so many people can be revoked, and revoke them.

    Args:
        root: Where the workspace is made.
        size: Requests of the batch.
        width: d of every head.
        say: Told what is going on.
    """
    people = _people(root, size, width, say)
    single, batch = people[0], people[1 : size + 1]
    say(f"{size}: one by itself, then {len(batch)} at once")
    alone = mbd("-w", str(root), "revoke", "--user", single, "--modality", MODALITY, "--json")
    path = root.parent / f"{size}.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerows([("user", "modality"), *((who, MODALITY) for who in batch)])
    before = _attempts(root)
    done = mbd("-w", str(root), "revoke", "--batch", str(path), "--json")
    rows = json.loads(done.output)["rows"]
    issued = [str(root / "certs" / f"{row['certificateId']}.json") for row in rows]
    valid = sum(_valid(root, issued[at : at + 500]) for at in range(0, len(issued), 500))
    checked = json.loads(mbd("-w", str(root), "state", "check", "--json").output)
    return Measured(
        requests=len(batch),
        single=alone,
        batch=done,
        releases=_attempts(root) - before,
        certificates=valid,
        equal=bool(checked["equal"]),
    )


def report(found: list[Measured]) -> str:
    """The table, and what was wanted beside what was found."""
    header = ("", *(str(one.requests) for one in found))

    def row(name: str, value: Callable[[Measured], str]) -> tuple[str, ...]:
        return (name, *(value(one) for one in found))

    lines = [
        row("one by itself: seconds", lambda one: f"{one.single.seconds:.2f}"),
        row("batch: seconds", lambda one: f"{one.batch.seconds:.1f}"),
        row("  seconds of CPU", lambda one: f"{one.batch.cpu:.1f}"),
        row("  ms a request", lambda one: f"{one.each_ms:.1f}"),
        row("  times cheaper than by itself", lambda one: f"{one.cheaper:.0f}"),
        row("  MB at the peak", lambda one: f"{one.batch.memory / 1e6:.0f}"),
        row("  releases", lambda one: str(one.releases)),
        row("  certificates that verify", lambda one: str(one.certificates)),
        row("  state equal to one from scratch", lambda one: "yes" if one.equal else "NO"),
    ]
    last = found[-1]
    minutes, memory = last.batch.seconds / 60, last.batch.memory / 1e6
    judged = [
        f"{last.requests} requests, minutes  {minutes:.1f}   want at most {MINUTES:g}: "
        f"{'met' if minutes <= MINUTES else 'NOT MET'}",
        f"MB at the peak  {memory:.0f}   want at most {MEMORY_MB:g}: "
        f"{'met' if memory <= MEMORY_MB else 'NOT MET'}",
    ]
    return "\n".join([table(header, lines), "", *judged])


def document(one: Measured) -> dict[str, object]:
    """What was measured, as plain values; seconds and bytes."""
    return {
        "requests": one.requests,
        "single": {"seconds": one.single.seconds, "cpu": one.single.cpu},
        "batch": {
            "seconds": one.batch.seconds,
            "cpu": one.batch.cpu,
            "memory": one.batch.memory,
            "releases": one.releases,
            "certificates": one.certificates,
        },
        "equal": one.equal,
    }


def _people(root: Path, size: int, width: int, say: Callable[[str], None]) -> list[str]:
    """Make data and model; revocable people who have the channel, one more than `size`."""
    subjects = int(size / 0.55) + 10  # six of ten are revocable, more or less
    say(f"{size}: making {subjects * RECORDS_PER_SUBJECT} records and a model")
    here = ("-w", str(root))
    mbd("init", str(root))
    counts = ("--users", str(subjects), "--records", str(subjects * RECORDS_PER_SUBJECT))
    mbd(*here, "data", "synth", *counts, "--seed", str(SEED))
    planned = f"heads.planned_rows={subjects * RECORDS_PER_SUBJECT}"
    mbd(*here, "train", "--core", "none", "--set", f"heads.width={width}", "--set", planned)
    listed = json.loads(mbd(*here, "data", "subjects", "--json").output)["subjects"]
    able = [
        str(one["user"])
        for one in listed
        if one["cohort"] == "revocable" and MODALITY in one["available"]
    ]
    if len(able) <= size:
        raise click.ClickException(f"only {len(able)} people can be revoked; want {size + 1}")
    return able


def _attempts(root: Path) -> int:
    entries = json.loads(mbd("-w", str(root), "ledger", "list", "--json").output)["entries"]
    return sum(entry["type"] == "attempt" for entry in entries)


def _valid(root: Path, bundles: list[str]) -> int:
    found = json.loads(mbd("-w", str(root), "verify", *bundles, "--json").output)
    return sum(one["exitCode"] == 0 for one in found.get("files", [found]))


if __name__ == "__main__":
    main()
