"""`mbd state check`: is the model what the retained data says it must be?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbd.canonical.text import printable
from mbd.cli.context import session_here
from mbd.cli.output import emit, json_option, note, progress, table

if TYPE_CHECKING:
    from mbd.certificate.receipt import Receipt
    from mbd.workflows.session import Session


@click.group()
def state() -> None:
    """The integer state behind the heads."""


@state.command(epilog="Example: mbd state check --receipt receipts/01J....json")
@click.option(
    "--receipt",
    "receipt_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Of a revocation: its channel must be switched off and gone.",
)
@click.option(
    "--train-again",
    is_flag=True,
    help="Also train again by the recipe and compare: as long as a training takes.",
)
@json_option
@click.pass_context
def check(ctx: click.Context, receipt_file: Path | None, train_again: bool, as_json: bool) -> None:
    """Rebuild the state from the retained rows and compare; test the heads against the optimum.

    Then policy, model and state are held against the ledger, and rows against records. With
    --train-again the policy, the core and the rows are made again too, as a certificate of a
    retraining says they can be.

    Exit 1 on any difference: an engine that did nothing, rows left behind, noise of the
    wrong size, a head computed from something else.
    """
    from mbd.certificate.receipt import parse_receipt
    from mbd.workflows.cross_check import granted_again
    from mbd.workflows.state_check import check_state

    receipt = None if receipt_file is None else parse_receipt(receipt_file.read_bytes())

    with session_here(ctx, write=True) as session, progress("rebuilding") as report:
        found = check_state(session, progress=report, receipt=receipt)
        trained = _train_again(session, report) if train_again else ()
        again = () if receipt is None else granted_again(session, receipt)
    ok, findings = found.ok and not trained, (*found.findings, *trained)
    payload = {
        "digest": found.digest,
        "fromScratch": found.from_scratch,
        "equal": found.equal,
        "ok": ok,
        "heads": [
            {"head": head.head, "rows": head.rows, "state": head.state, "release": head.release}
            for head in found.heads
        ],
        "findings": list(findings),
        "receipt": None if receipt is None else receipt.certificate_id,
        "grantedAgain": list(again),
    }
    rows = [(head.head, head.rows, head.state, head.release) for head in found.heads]
    lines = [
        table(("head", "rows", "state", "release"), rows),
        f"state         {found.digest}",
        f"from scratch  {found.from_scratch}",
        *found.others,
        *trained,
        *([_receipt_line(receipt, again)] if receipt is not None and ok else []),
        *(["trained again: the same policy, core, rows and state"] if train_again and ok else []),
        "Equal: the model is what the retained data says."
        if ok
        else "DIFFERENT: the model is not what the retained data says.",
    ]
    emit("state check", payload, as_json, "\n".join(lines))
    ctx.exit(0 if ok else 1)


def _receipt_line(receipt: Receipt, again: tuple[str, ...]) -> str:
    """Of each channel of the receipt, which of the two ways it is well."""
    said = []
    for names, what in (
        ([one for one in receipt.modalities if one not in again], "switched off"),
        (list(again), "in use for what came later: consent was granted again since"),
    ):
        if names:
            verb = "is" if len(names) == 1 else "are"
            said.append(f"{', '.join(names)} of {printable(receipt.subject)} {verb} {what}")
    return (
        f"Receipt {receipt.certificate_id}: {'; '.join(said)}; "
        "nothing that was erased is in records, nor in rows that are said to be theirs."
    )


def _train_again(session: Session, report: Callable[[int, int], None]) -> tuple[str, ...]:
    from mbd.workflows.retrain import check_training

    differences = check_training(session, note=note, progress=report)
    return tuple(f"trained again: {what}" for what in differences)
