"""`mbd train`: policy, core, prepared rows, state, heads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from mbd.cli.context import open_here, session_here
from mbd.cli.output import emit, fail, json_option, note, progress, table
from mbd.errors import MbdError, UsageError

if TYPE_CHECKING:
    from mbd.head.accelerator import Device
    from mbd.training.distributed import Ranks


@click.command(
    epilog="Example: mbd train --core auto --set heads.width=2048 --seed 7",
)
@click.option(
    "--core",
    type=click.Choice(["auto", "trained", "none"]),
    default="auto",
    show_default=True,
    help="trained: a network on the foundation cohort; none: heads on raw features; "
    "auto: whichever predicts held-out foundation rows better.",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override mbd.toml for this run.",
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    help="Where the core is trained, and large products and factors made (mbd.toml).",
)
@click.option(
    "--metrics",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.jsonl",
    help="Write a line per epoch: losses, learning rate, seconds; and one for the heads.",
)
@click.option(
    "--checkpoints",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep cores there while they are trained: repeated after a kill, training goes on to "
    "the same core. They hold what was learned from the foundation cohort; removed at the end.",
)
@json_option
@click.pass_context
def train(
    ctx: click.Context,
    core: str,
    assignments: tuple[str, ...],
    seed: int,
    device: str | None,
    metrics: Path | None,
    checkpoints: Path | None,
    as_json: bool,
) -> None:
    """Train a model whose heads can forget.

    The core and every choice look at the foundation (or calibration) cohort only;
    everybody else reaches the model through the integer state of the heads.

    Under torchrun (torchrun --nproc-per-node 4 -m mbd train) the first process trains the core
    and writes; all of them prepare rows and sum, to the same state as one process alone.
    """
    from mbd.training.distributed import joined
    from mbd.workflows.train import TrainOptions, train_model

    overrides = dict(_assignment(text) for text in assignments)
    options = TrainOptions(
        core=core,
        overrides=overrides,
        seed=seed,
        device=cast("Device | None", device),
        metrics=metrics,
        checkpoints=checkpoints,
    )
    with joined() as ranks:
        if ranks is not None and not ranks.first:
            ctx.exit(_help(ctx, ranks))
        with session_here(ctx, write=True) as session, progress("training") as report:
            trained = train_model(session, options, note=note, progress=report, ranks=ranks)
    heads = [
        (
            name,
            head.dimension,
            f"{head.strong_convexity:g}",
            f"{head.sigma:.3g}",
            f"{head.tolerance:.3g}",
            rows,
        )
        for name, head, rows in trained.heads
    ]
    payload = {
        "model": trained.model,
        "state": trained.state,
        "core": trained.core,
        "d": trained.width,
        "dPerHead": {name: head.dimension for name, head, _ in trained.heads},
        "lambda": {name: head.strong_convexity for name, head, _ in trained.heads},
        "sigma": {name: head.sigma for name, head, _ in trained.heads},
        "tau": {name: head.tolerance for name, head, _ in trained.heads},
        "policyEntry": trained.policy_entry,
        "seconds": round(trained.seconds, 3),
    }
    text = (
        f"Model {trained.model}  (core: {trained.core}, d = {trained.width}, "
        f"{trained.seconds:.1f} s)\n"
        + table(("head", "d", "lambda", "sigma", "tau", "rows"), heads)
        + f"\nState {trained.state[:16]}…  policy is ledger entry {trained.policy_entry}"
    )
    emit("train", payload, as_json, text)


def _help(ctx: click.Context, ranks: Ranks) -> int:
    """What a process other than the first does; standard output is the first one's alone."""
    from mbd.workflows.ranks import help_to_build

    try:
        help_to_build(open_here(ctx), ranks)
    except MbdError as error:
        return fail(f"train, rank {ranks.rank}", error, as_json=False)
    return 0


def _assignment(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--set {text}: want KEY=VALUE", field="--set")
    return key, value
