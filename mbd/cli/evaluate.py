"""`mbd eval`: how good the model is when something is missing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbd.cli.context import session_here
from mbd.cli.output import emit, json_option, note, progress, table

if TYPE_CHECKING:
    from mbd.evaluation.outcome import Evaluation
    from mbd.evaluation.protocol import EvaluationRow

PROTOCOLS = ("subsets", "random", "whole", "imbalanced", "corrupt")
_SHOWN = 4  # metrics in a table; JSON and the report have all


@click.command(
    name="eval",
    epilog="Examples: mbd eval --split test --cohort revocable;  "
    "mbd eval --protocol all --html report.html",
)
@click.option(
    "--protocol",
    type=click.Choice([*PROTOCOLS, "all"]),
    default="subsets",
    show_default=True,
    help="What is missing or broken.",
)
@click.option(
    "--split", type=click.Choice(["train", "valid", "test"]), default="test", show_default=True
)
@click.option(
    "--cohort",
    type=click.Choice(["all", "foundation", "calibration", "revocable"]),
    default="all",
    show_default=True,
)
@click.option(
    "--metrics",
    type=click.Choice(["auto", "mosi", "sims", "regression", "classes"]),
    default="auto",
    help="Which conventions; by default those of the label range.",
)
@click.option(
    "--frames",
    type=click.Choice(["drop", "zero"]),
    default="drop",
    show_default=True,
    help="A missing frame is removed, or replaced by zeros.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the masks."
)
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a report with plots to this new file: one page that needs nothing else.",
)
@json_option
@click.pass_context
def evaluate(
    ctx: click.Context,
    protocol: str,
    split: str,
    cohort: str,
    metrics: str,
    frames: str,
    seed: int,
    html: Path | None,
    as_json: bool,
) -> None:
    """Measure the model while channels are missing, on rows that it did not learn from.

    \b
    subsets     every non-empty subset of channels
    random      frames or tokens missing at rates 0 to 0.9
    whole       whole channels missing at rates 0 to 0.7, at least one kept
    imbalanced  channels missing at different rates with the same mean
    corrupt     noise added, or every feature shifted, by up to 2 standard deviations
    all         one after the other

    What is missing follows from the seed, the record, the channel and the rate alone. Beside
    each number stands the constant predictor (mean or majority of the training labels).
    Revoked channels are not used, and nothing in the workspace changes.
    """
    from mbd.workflows.evaluate import Question, evaluate_model
    from mbd.workspace.files import refuse_existing

    if html is not None:
        refuse_existing(html, field="--html")
    question = Question(
        protocols=PROTOCOLS if protocol == "all" else (protocol,),
        split=split,
        cohort=cohort,
        metrics=metrics,
        seed=seed,
        fill=frames,  # type: ignore[arg-type]
    )
    with session_here(ctx, write=False) as session, progress("evaluating") as report:
        found = evaluate_model(session, question, progress=report)
    if html is not None:
        _write(found, html)
    emit("eval", {"protocol": protocol, **found.to_json()}, as_json, _text(found))


def _write(found: Evaluation, html: Path) -> None:
    from mbd.evaluation.page import page
    from mbd.workspace.files import write_new

    write_new(html, page(found).encode("utf-8"), field="--html")
    note(f"Report  {html}")


def _text(found: Evaluation) -> str:
    parts = [_table(found, name) for name in found.protocols]
    parts += [f"{name}: {found.skipped[name]}" for name in PROTOCOLS if name in found.skipped]
    return "\n\n".join([*parts, f"(in brackets: {found.baseline})"])


def _table(found: Evaluation, protocol: str) -> str:
    names = found.family.leading[:_SHOWN]
    subsets = protocol == "subsets"
    first = ("available", "n") if subsets else ("condition", "rate", "missing", "n")
    rows = [
        (*(_subset(row) if subsets else _point(row)), *(_cell(row, name) for name in names))
        for row in found.of(protocol)
    ]
    title = "" if subsets else f"{protocol}: masks {found.mask_digest(protocol)[:16]}…\n"
    return title + table((*first, *names), rows)


def _subset(row: EvaluationRow) -> tuple[object, ...]:
    return (row.available, row.n)


def _point(row: EvaluationRow) -> tuple[object, ...]:
    share = "-" if row.missing is None else f"{row.missing:.3f}"
    return (row.condition.series, f"{row.condition.rate:g}", share, row.n)


def _cell(row: EvaluationRow, name: str) -> str:
    return f"{row.metrics[name]:.3f} ({row.baseline[name]:.3f})"
