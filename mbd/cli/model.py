"""`mbd model`: the released model as a folder of its own."""

from __future__ import annotations

from pathlib import Path

import click

from mbd.cli.context import session_here
from mbd.cli.output import emit, json_option, note, progress


@click.group()
def model() -> None:
    """The released model as a folder of its own."""


@model.command(epilog="Example: mbd model export ../sentiment --evaluate")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--evaluate", is_flag=True, help="Measure it on the test rows, for the card.")
@json_option
@click.pass_context
def export(ctx: click.Context, folder: Path, evaluate: bool, as_json: bool) -> None:
    """Write the current model to DIR: weights, policy, digests and a model card.

    It predicts without the workspace: Model.from_pretrained(DIR) in Python. A revocation
    changes the model of the workspace and no copy of it, so loading asks for the workspace
    or for the newest certificate, and refuses a model that another one has replaced.
    """
    from mbd.workflows.export_model import export_model

    with session_here(ctx, write=False) as session:
        found = None
        if evaluate:
            from mbd.workflows.evaluate import Question, evaluate_model

            with progress("evaluating") as report:
                found = evaluate_model(session, Question(), progress=report)
        made = export_model(session, folder, found)
    payload = {
        "folder": str(folder),
        "model": made.model.model_id,
        "digest": made.model.digest,
        "origin": made.origin,
        "ledgerSize": made.size,
        "files": [file.path for file in made.model.files],
    }
    text = f"Model {made.model.model_id}: {folder}\nDigest {made.model.digest}"
    emit("model export", payload, as_json, text)
    note("this copy learns of no revocation: loading it asks whether it is superseded")
