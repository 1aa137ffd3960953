"""Does every part of the core earn its place? Each is switched off in turn, on three data sets.

    python examples/benchmarks/ablation.py [--data DIR] [--quick] [--only NAME]

Three seeds; a seed draws the foundation, who of it judges, weights and order. Only people of
the foundation cohort are looked at, so that what is decided here is decided on data that a
policy may depend on: two thirds of them teach, a third judges. `ablation_figures.py` says what
the columns are.

The rule. Every part promises one property. For each data set take, seed by seed, how much worse
a figure is without the part than with everything. The figure needs the part there if the mean
of that is larger than its standard deviation (of three seeds, n - 1). A term stays if its
promise needs it on two of the three data sets at least, or if core does, or if heads do;
otherwise it goes. That a generator beats the mean is promised where channels say something of
each other, and that it knows what to make where several are absent: both are asked in "cut",
where each of two channels is cut in two.

The consistency term has more than one weight here: of those by which the promise is kept on two
data sets, and neither core nor heads is worse on two than without the term, the least. TRUST, the
share of a guess that is used, is the one with the best mean over the data sets among those
that are no worse than the mean embedding on any of them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import quality
from ablation_figures import COLUMNS, SHARES, Figures, measure
from ablation_parts import (
    EVERYTHING,
    HEAVIER,
    MEANS,
    VARIANTS,
    WITHOUT_PROTOTYPE_IN_IT,
    WITHOUT_RECONSTRUCTION,
    Variant,
)
from ablation_people import cut_in_two, draw
from quality import LEADING, Setting

WIDTH = 1024
SETS = (*quality.SETS, "synthetic")
CONDITIONS: dict[str, tuple[Callable[[Setting], Setting], tuple[Variant, ...]]] = {
    "": (lambda setting: setting, VARIANTS),
    "cut": (
        cut_in_two,
        (EVERYTHING, WITHOUT_RECONSTRUCTION, MEANS, WITHOUT_PROTOTYPE_IN_IT),
    ),
}
PROMISES = (
    ("everything", "no reconstruction", "cut", "rebuilt"),
    ("everything", "means for a generator", "cut", "rebuilt"),
    ("everything", "zeros for a generator", "", "rebuilt"),
    ("everything", "guesses not shrunk", "", "rebuilt"),
    ("everything", "no prototype in it", "cut", "from one"),
    ("everything", "no prototype", "", "named"),
    ("everything", "no consistency", "", "apart"),
    *((one.name, "no consistency", "", "apart") for one in HEAVIER),
)
"""With the part, without it, and what it promises: where, and which figure."""
LESS_IS_BETTER = ("told", "apart")

Runs = dict[str, list[Figures]]
"""Of one data set in one condition: variant to the figures of each seed."""
Found = dict[tuple[str, str], Runs]
"""By data set and condition."""


def needed(runs: Runs, having: str, without: str, figure: str, sign: int) -> tuple[float, float]:
    """How much worse a figure is without a part: mean and standard deviation over seeds."""
    pairs = zip(runs[having], runs[without], strict=True)
    worse = [sign * (one[figure] - other[figure]) for one, other in pairs]
    return float(np.mean(worse)), float(np.std(worse, ddof=min(1, len(worse) - 1)))


def verdicts(found: Found, kinds: dict[str, str], sets: list[str]) -> None:
    """Print what the rule says of every part."""
    print("\nhow much worse without (mean, standard deviation of the seeds; * needs it)")
    print(f"{'':40}{'promise':>12}" + "".join(f"{name:>18}" for name in sets))
    for having, part, where, promised in PROMISES:
        for condition, figure in ((where, promised), ("", "core"), ("", "heads")):
            cells, needs = [], 0
            for name in sets:
                sign = -1 if figure in LESS_IS_BETTER or _is_error(figure, kinds[name]) else 1
                mean, spread = needed(found[name, condition], having, part, figure, sign)
                needs += mean > spread
                cells.append(f"{mean:+.3f} ({spread:.3f}){'*' if mean > spread else ' '}")
            label = f"{figure} {condition}".strip()
            print(
                f"{f'{having}: {part}':40}{label:>12}" + "".join(f"{c:>18}" for c in cells), needs
            )


def shares(found: Found) -> None:
    """Print what each share of a guess would have been worth."""
    print("\nrebuilt, by the share of a guess that is used")
    print(f"{'':24}" + "".join(f"{share:>18}" for share in SHARES))
    for name, condition in found:
        runs = found[name, condition][EVERYTHING.name]
        cells = (quality._cell([run[f"rebuilt {share}"] for run in runs]) for share in SHARES)
        label = f"{name} {condition}"
        print(f"{label:24}" + "".join(f"{cell:>18}" for cell in cells))


def tables(found: Found, kinds: dict[str, str]) -> None:
    """Print mean and spread of every figure."""
    for (name, condition), runs in found.items():
        print(f"\n{f'{name}, {condition}' if condition else name}: {kinds[name]} of core and heads")
        print(f"{'':24}" + "".join(f"{column:>17}" for column in COLUMNS))
        for variant, figures in runs.items():
            cells = (
                quality._cell([one[column] for one in figures]) if column in figures[0] else "-"
                for column in COLUMNS
            )
            print(f"{variant:24}" + "".join(f"{cell:>17}" for cell in cells))


def _is_error(figure: str, kind: str) -> bool:
    return figure in ("core", "heads") and kind == "mae"


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=quality.DATA, help="folder of the data sets")
    parser.add_argument("--quick", action="store_true", help="one seed")
    parser.add_argument("--only", help="this data set alone")
    arguments = parser.parse_args()
    sets = [name for name in SETS if arguments.only in (None, name)]
    quality.want(arguments.data, [name for name in sets if name in quality.SETS])
    found: Found = {}
    kinds = {}
    for seed in range(1 if arguments.quick else 3):
        for name in sets:
            drawn = draw(arguments.data, name, seed, WIDTH)
            kinds[name] = LEADING[drawn.schema.task.kind]
            for condition, (change, variants) in CONDITIONS.items():
                runs = found.setdefault((name, condition), {})
                setting = change(drawn)
                for variant in variants:
                    if condition and setting is drawn:
                        figures = found[name, ""][variant.name][seed]
                    else:
                        figures = timed(f"{name} {condition} {seed}", setting, variant, condition)
                    runs.setdefault(variant.name, []).append(figures)
    tables(found, kinds)
    shares(found)
    verdicts(found, kinds, sets)


def timed(what: str, setting: Setting, variant: Variant, condition: str) -> Figures:
    """Measure, and say so."""
    started = time.perf_counter()
    figures = measure(setting, variant, predictions=condition != "cut")
    spent = time.perf_counter() - started
    shown = "  ".join(f"{key} {figures[key]:.3f}" for key in COLUMNS if key in figures)
    print(f"{what} {variant.name}: {shown} ({spent:.0f} s)", file=sys.stderr, flush=True)
    return figures


if __name__ == "__main__":
    main()
