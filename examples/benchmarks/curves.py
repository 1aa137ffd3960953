"""What the heads make of more foundation people and of more features, and what auto chooses.

    python examples/benchmarks/curves.py [--data DIR] [--table share|width|auto] [--quick]

share: the foundation cohort grows from none (four calibration people instead) to half of the
people. All rows are scored on the test rows of the people who are revocable throughout.
width: d of every head, without a core. auto: what `mbd train --core auto` chooses on foundation
rows, beside how both do on test rows of revocable people. Means over seeds, leading metric.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import quality
from quality import Scores, Setting

from mbd.data.cohorts import CohortRule, CohortRules
from mbd.errors import UsageError
from mbd.values import availability_name, nonempty_subsets
from mbd.workflows.design import Design

SHARES = (0.0, 0.1, 0.25, 0.5)
"""Of the people who are foundation; 0: calibration people only."""

CALIBRATION_PEOPLE = 4
WIDTHS = (512, 1024, 2048, 4096)


@dataclass(frozen=True)
class Line:
    """One row of a table under one seed."""

    label: str
    scores: Scores
    said: str = ""


def with_heads(setting: Setting, design: Design) -> Scores:
    """Scores of released heads."""
    weights = quality.released(design, quality.state_of(design, setting.records))
    return setting.score(quality.with_heads(design, weights))


def shares(setting: Setting) -> Iterator[Line]:
    """The foundation grows; who is tested does not change."""
    never = set(_with_share(setting, max(SHARES)).records.where(cohort="revocable").subjects)
    for share in SHARES:
        one = _with_share(setting, share)
        tested = replace(one, people=frozenset(never))
        label = f"foundation {share:g}" if share else f"calibration, {CALIBRATION_PEOPLE} people"
        yield Line(f"{label}: heads, no core", with_heads(tested, quality.design(one, "none")))
        if share:
            design = quality.design(one, "trained")
            yield Line(f"{label}: core alone", tested.score(quality.alone(design.extractor)))
            yield Line(f"{label}: core + heads", with_heads(tested, design))
    yield Line("deep, trained on everybody", quality.deep(tested))


def _with_share(setting: Setting, share: float) -> Setting:
    """The same records with other cohorts; a larger share holds all people of a smaller one."""
    rule = CohortRule(fraction=share or max(SHARES), seed=setting.seed)
    rules = CohortRules(foundation=rule)
    if not share:
        people = sorted(
            (one for one in set(setting.records.subjects) if rule.admits("foundation", one)),
            key=lambda one: hashlib.sha256(f"{setting.seed} {one}".encode()).digest(),
        )
        rules = CohortRules(
            calibration=CohortRule(subjects=tuple(sorted(people[:CALIBRATION_PEOPLE])))
        )
    cohorts = tuple(map(rules.cohort_of, setting.records.subjects))
    return replace(
        setting,
        records=replace(setting.records, cohorts=cohorts),
        schema=replace(setting.schema, cohorts=rules),
    )


def widths(setting: Setting) -> Iterator[Line]:
    """Heads without a core at every d that has room for the inputs."""
    for width in WIDTHS:
        one = replace(setting, width=width)
        try:
            yield Line(f"d = {width}", with_heads(one, quality.design(one, "none")))
        except UsageError as error:
            print(f"d = {width} left out: {error.message}", file=sys.stderr)


def auto(setting: Setting) -> Iterator[Line]:
    """Losses that decide, and how both do on rows that nothing was decided on."""
    said: list[str] = []
    chosen = quality.design(setting, "auto", note=said.append)
    other = quality.design(setting, "none" if chosen.policy.core == "trained" else "trained")
    losses = [found for text in said for found in re.findall(r"\d+\.\d+", text)]
    held_out = dict(zip(("trained", "none"), losses, strict=True))
    for design in sorted((chosen, other), key=lambda one: one.policy.core):
        core = design.policy.core
        mark = ", chosen" if design is chosen else ""
        said_loss = f"seed {setting.seed}: held-out loss {held_out[core]}{mark}"
        yield Line(f"core {core}", with_heads(setting, design), said_loss)


TABLES: dict[str, Callable[[Setting], Iterator[Line]]] = {
    "share": shares,
    "width": widths,
    "auto": auto,
}


def report(table: str, name: str, settings: list[Setting]) -> None:
    """Measure and print one table of one data set."""
    found: dict[str, list[Line]] = {}
    for setting in settings:
        for line in TABLES[table](setting):
            found.setdefault(line.label, []).append(line)
        print(f"{name}, {table}: seed {setting.seed} done", file=sys.stderr, flush=True)
    schema = settings[0].schema
    columns = [availability_name(p) for p in nonempty_subsets(schema.names)]
    metric = quality.LEADING[schema.task.kind]
    print(
        f"\n{table}, {name}: {metric}, {len(settings)} seed(s), d {settings[0].width or 'chosen'}"
    )
    print(f"{'':38}" + "".join(f"{column:>19}" for column in (*columns, "mean")))
    for label, lines in found.items():
        scores = [[line.scores[column] for column in columns] for line in lines]
        cells = [*np.mean(scores, axis=0), np.mean(scores)]
        print(f"{label:38}" + "".join(f"{cell:>19.3f}" for cell in cells))
    for label, lines in found.items():
        for line in lines:
            if line.said:
                own = np.mean([line.scores[column] for column in columns])
                print(f"  {label}: {line.said}; {metric} on test rows {own:.3f}")
    sys.stdout.flush()


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=quality.DATA, help="folder of the data sets")
    parser.add_argument("--table", choices=TABLES, action="append", help="only this; may repeat")
    parser.add_argument(
        "--set", choices=quality.NAMES, action="append", help="only this; may repeat"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--width", type=int, help="d where it is no column; chosen unless told")
    parser.add_argument("--quick", action="store_true", help="one seed, d = 512")
    arguments = parser.parse_args()
    seeds, width = (1, 512) if arguments.quick else (arguments.seeds, arguments.width)
    for name in arguments.set or quality.NAMES:
        files = quality.SETS.get(name, ())
        missing = [file for file in files if not (arguments.data / file).is_file()]
        if missing:
            print(f"{name} left out: {missing[0]} is not in {arguments.data}", file=sys.stderr)
            continue
        for table in arguments.table or TABLES:
            report(
                table,
                name,
                [quality.load(arguments.data, name, seed, width) for seed in range(seeds)],
            )


if __name__ == "__main__":
    main()
