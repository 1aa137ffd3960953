"""`mbd eval`: how good the model is with channels missing."""

from __future__ import annotations

import click

from mbd.cli.context import session_here
from mbd.cli.output import emit, json_option, progress, table


@click.command(name="eval", epilog="Example: mbd eval --split test --cohort revocable")
@click.option(
    "--split", type=click.Choice(["train", "valid", "test"]), default="test", show_default=True
)
@click.option(
    "--cohort",
    type=click.Choice(["all", "foundation", "calibration", "revocable"]),
    default="all",
    show_default=True,
)
@json_option
@click.pass_context
def evaluate(ctx: click.Context, split: str, cohort: str, as_json: bool) -> None:
    """Measure the model on every non-empty subset of channels.

    Beside each row stands the constant predictor (mean or majority of the training labels).
    Revoked channels are not used.
    """
    from mbd.workflows.evaluate import evaluate_model

    with session_here(ctx, write=False) as session, progress("evaluating") as report:
        rows = evaluate_model(session, split=split, cohort=cohort, progress=report)
    names = list(rows[0].metrics) if rows else []
    header = ("available", "n", *names, *(f"constant {name}" for name in names))
    body = [
        (
            row.available,
            row.n,
            *(f"{row.metrics[name]:.3f}" for name in names),
            *(f"{row.baseline[name]:.3f}" for name in names),
        )
        for row in rows
    ]
    payload = {
        "split": split,
        "cohort": cohort,
        "rows": [
            {
                "available": row.available.split("+"),
                "n": row.n,
                "metrics": row.metrics,
                "baseline": row.baseline,
            }
            for row in rows
        ],
    }
    emit("eval", payload, as_json, table(header, body))
