"""`mbd predict`: from the channels that may be used."""

from __future__ import annotations

from pathlib import Path

import click

from mbd.cli.context import session_here
from mbd.cli.output import emit, json_option
from mbd.errors import UsageError


@click.command(
    epilog="Examples: mbd predict --record r000017 --without audio;  "
    "mbd predict --input clip.npz --user 42"
)
@click.option("--record", metavar="ID", help="A record of the data store.")
@click.option(
    "--input",
    "source",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="New features: a .npz with one array per modality, (steps, width) or (width,).",
)
@click.option("--user", help="Whose input it is; revoked channels of this person are refused.")
@click.option("--without", "without", multiple=True, metavar="MODALITY", help="Leave it out.")
@json_option
@click.pass_context
def predict(
    ctx: click.Context,
    record: str | None,
    source: Path | None,
    user: str | None,
    without: tuple[str, ...],
    as_json: bool,
) -> None:
    """Predict, and say which channels were used, reconstructed or refused because revoked."""
    from mbd.workflows.predict import predict_input, predict_record

    if (record is None) == (source is None):
        raise UsageError("give either --record ID or --input FILE.npz with --user U")
    if source is not None and not user:
        raise UsageError(
            "--input needs --user: a revocation is honoured by knowing whose input it is",
            field="--user",
        )
    with session_here(ctx, write=False) as session:
        if record is not None:
            made = predict_record(session, record, user=user, without=without)
        else:
            assert source is not None
            assert user
            made = predict_input(session, source, user=user, without=without)
    payload = {
        "prediction": made.prediction,
        "scores": made.scores,
        "used": list(made.used),
        "reconstructed": list(made.reconstructed),
        "refused": list(made.refused),
        "model": made.model,
    }
    shown = made.prediction if isinstance(made.prediction, str) else f"{made.prediction:.3f}"
    lines = [f"prediction     {shown}", f"used           {', '.join(made.used)}"]
    if made.reconstructed:
        lines.append(f"reconstructed  {', '.join(made.reconstructed)}")
    if made.refused:
        lines.append(f"refused        {', '.join(made.refused)}  (revoked)")
    emit("predict", payload, as_json, "\n".join(lines))
