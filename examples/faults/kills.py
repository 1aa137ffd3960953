"""Random kills: a revocation dies at any instant, and every promise is judged after recovery.

    python examples/faults/kills.py --trials 1000 --seed 1

See README.md here for what is done and what is judged.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from commands import Commands
from faults import Fault, build_shim
from places import Person, Place, make_place, people_of
from trials import RECOVERIES, STAGES, Asked, Outcome, Recovery, Trial, Whole

from mbd.cli.output import table

KINDS = ("single", "batch", "retrain")
BATCH = 5
"""People in a batch."""
PROCESSES = 2
BY_CLOCK = 0.5
"""Share of the kills that come after some time, and not at a certain change of a file."""
TORN = 0.1
"""Share of the kills that leave half of a write behind."""
AGAIN = 0.25
"""Share of the recoveries that are killed as well."""
SAY_EVERY = 25


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The workspace that is copied, who is in it, and what an undisturbed revocation does."""

    original: Place
    people: tuple[Person, ...]
    whole: dict[str, Whole]

    def asked(self, kind: str, chance: random.Random) -> Asked:
        """Somebody asks for something."""
        revocable = [one for one in self.people if one.cohort == "revocable"]
        if kind == "single":
            return Asked.single(chance.choice(revocable))
        if kind == "batch":
            return Asked.batch(chance.sample(revocable, BATCH))
        return Asked.retrain(next(one for one in self.people if one.cohort != "revocable"))


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A trial before it is run: it follows from seed and number."""

    number: int
    asked: Asked
    moment: Fault | float
    recovery: Recovery
    again: float | None
    """After how many seconds the first recovery is killed too."""


@click.command(epilog="Example: python examples/faults/kills.py --trials 100 --kind single")
@click.option("--trials", type=click.IntRange(1), default=1000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Every trial follows from it.")
@click.option("--only", type=int, multiple=True, help="Only the trial of this number; repeat it.")
@click.option(
    "--kind",
    type=click.Choice([*KINDS, "mixed"]),
    default="mixed",
    show_default=True,
    help="What is revoked: one channel, a batch, a channel that the core has seen, or by turns.",
)
@click.option("--fault", help="This fault in every trial, e.g. enospc@grow:30+ (see README.md).")
@click.option("--keep", type=click.Path(path_type=Path), help="Work in this folder and keep it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def main(
    trials: int,
    seed: int,
    only: tuple[int, ...],
    kind: str,
    fault: str | None,
    keep: Path | None,
    as_json: bool,
) -> None:
    """Kill revocations at random instants, recover, and judge what is left."""
    started = time.perf_counter()
    numbers = sorted(set(only)) or list(range(trials))
    kinds = KINDS if kind == "mixed" else (kind,)
    with _folder(keep) as folder:
        outcomes = run_trials(
            folder, numbers, seed, kinds, None if fault is None else Fault.parse(fault)
        )
    seconds = time.perf_counter() - started
    broken = {number: outcome for number, outcome in outcomes.items() if outcome.broken}
    if as_json:
        click.echo(json.dumps(document(outcomes, seed, seconds)))
    else:
        click.echo(text(outcomes, seconds))
    for number, outcome in broken.items():
        _say(f"trial {number} (--seed {seed} --only {number}): {outcome.fault}: {outcome.broken}")
    sys.exit(1 if broken else 0)


def run_trials(
    folder: Path, numbers: Sequence[int], seed: int, kinds: Sequence[str], fault: Fault | None
) -> dict[int, Outcome]:
    """Run trials on two processes; a copy of the workspace is kept where a promise was broken."""
    shim = build_shim(folder)
    with ExitStack() as stack:
        lanes = [
            stack.enter_context(Commands(shim, folder / f"output-{lane}"))
            for lane in range(PROCESSES)
        ]
        bench = make_bench(lanes[0], folder, kinds)
        here = threading.local()
        free = iter(lanes)

        def take_lane() -> None:
            here.commands = next(free)

        def one(number: int) -> Outcome:
            planned = plan_trial(bench, number, seed, kinds, fault)
            return run_trial(bench, here.commands, folder / f"trial-{number}", planned)

        done: dict[int, Outcome] = {}
        with ThreadPoolExecutor(PROCESSES, initializer=take_lane) as pool:
            for number, outcome in zip(numbers, pool.map(one, numbers), strict=True):
                done[number] = outcome
                _report(done, len(numbers))
    return done


def make_bench(commands: Commands, folder: Path, kinds: Sequence[str]) -> Bench:
    """Make the workspace, and carry out one undisturbed revocation of each kind."""
    _say("making a workspace")
    original = make_place(commands, folder / "original")
    people = tuple(people_of(original))
    bench = Bench(original=original, people=people, whole={})
    for kind in kinds:
        asked = bench.asked(kind, random.Random(kind))
        bench.whole[kind] = Whole.measure(original.copy(folder / f"whole-{kind}"), asked)
        shutil.rmtree(folder / f"whole-{kind}")
    return bench


def plan_trial(
    bench: Bench, number: int, seed: int, kinds: Sequence[str], fault: Fault | None
) -> Planned:
    """The trial of this number: the same each time."""
    chance = random.Random(f"{seed} {number}")
    kind = kinds[number % len(kinds)]
    asked, whole = bench.asked(kind, chance), bench.whole[kind]
    moment: Fault | float = chance.uniform(0, 1.05 * whole.seconds)
    if chance.random() >= BY_CLOCK:
        action = "tear" if chance.random() < TORN else chance.choice(["kill", "stop"])
        number_of = chance.randint(1, whole.changes)
        moment = Fault(action=action, call="change", number=number_of)
    again = chance.uniform(0, whole.seconds) if chance.random() < AGAIN else None
    return Planned(
        number=number,
        asked=asked,
        moment=moment if fault is None else fault,
        recovery=chance.choice(RECOVERIES),
        again=again,
    )


def run_trial(bench: Bench, commands: Commands, folder: Path, planned: Planned) -> Outcome:
    """Run one; its folder goes unless a promise was broken."""
    place = Place(bench.original.copy(folder).folder, commands)
    trial = Trial(place, planned.asked, bench.whole[planned.asked.kind])
    outcome = trial.run(planned.moment, planned.recovery, again=planned.again)
    if not outcome.broken:
        shutil.rmtree(folder)
    return outcome


def document(outcomes: dict[int, Outcome], seed: int, seconds: float) -> dict[str, object]:
    """Every trial, as plain values."""
    return {
        "schema": "urn:mbd:faults:kills:v1",
        "seed": seed,
        "seconds": seconds,
        "trials": [{"number": number, **asdict(one)} for number, one in outcomes.items()],
        "broken": sum(bool(one.broken) for one in outcomes.values()),
    }


def text(outcomes: dict[int, Outcome], seconds: float) -> str:
    """The tally: by kind and stage how many, and what became of them."""
    found = list(outcomes.values())
    columns: tuple[tuple[str, Callable[[Outcome], bool]], ...] = (
        ("trials", lambda one: True),
        ("killed", lambda one: one.ended == "killed"),
        ("killed again", lambda one: one.killed_again),
        ("noise drawn again", lambda one: one.attempts > 1),
        ("finished once", lambda one: not one.broken),
        ("BROKEN", lambda one: bool(one.broken)),
    )
    rows = []
    for kind in KINDS:
        for stage in ("unknown", *STAGES):
            some = [one for one in found if (one.kind, one.stage) == (kind, stage)]
            if some:
                rows.append((kind, stage, *(str(sum(map(is_, some))) for _, is_ in columns)))
    rows.append(("all", "", *(str(sum(map(is_, found))) for _, is_ in columns)))
    heading = ("kind", "stage when struck", *(name for name, _ in columns))
    recovered = Counter(one.recovery for one in found)
    return "\n".join(
        [
            table(heading, rows),
            "",
            "Recovered by: " + ", ".join(f"{name} {n}" for name, n in recovered.most_common()),
            f"{len(found)} trials in {seconds:.0f} s.",
        ]
    )


def _report(done: dict[int, Outcome], total: int) -> None:
    last = list(done.values())[-1]
    if last.broken or len(done) % SAY_EVERY == 0 or len(done) == total:
        broken = sum(bool(one.broken) for one in done.values())
        _say(f"{len(done)} of {total} trials, {broken} broken")


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Where the trials are; it goes unless a trial left something in it to look at."""
    folder = Path(tempfile.mkdtemp(prefix="mbd-faults-")) if keep is None else keep.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    left = sorted(path.name for path in folder.glob("trial-*"))
    if left:
        _say(f"kept: {folder}: {', '.join(left)}")
    elif keep is None:
        shutil.rmtree(folder)


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
