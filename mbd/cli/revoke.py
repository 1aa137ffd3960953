"""`mbd revoke` and `mbd resume`: from a request to a certificate, whatever happens between."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from mbd.cli.context import open_here, session_here
from mbd.cli.output import emit, json_option, note, progress, table
from mbd.errors import UsageError

if TYPE_CHECKING:
    from mbd.deletion.plan import Method
    from mbd.workflows.resolve import RevocationRequest, Terms
    from mbd.workflows.revoke import Preview, Revocation


@click.command(epilog="Example: mbd revoke --user 42 --modality audio")
@click.option("--user", help="The id that the data set uses.")
@click.option(
    "--modality",
    "modalities",
    multiple=True,
    help="The channel to remove; repeat it for several, or 'all': then the records go.",
)
@click.option(
    "--batch",
    "batch",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Many requests at once: .csv or .jsonl with user, modality and perhaps requestId.",
)
@click.option("--cancel", metavar="REQUEST", help="Give up a request before anything is erased.")
@click.option("--epsilon", type=float, help="Privacy loss granted to this deletion (mbd.toml).")
@click.option("--delta", type=float, help="Additive slack of the guarantee (mbd.toml).")
@click.option(
    "--method",
    type=click.Choice(["auto", "surgical", "exact", "retrain"]),
    default="auto",
    show_default=True,
    help="surgical: calibrated noise, class certified; exact: canonical solve, no noise; "
    "retrain: the whole model is trained again without the data, class exact; auto: surgical.",
)
@click.option(
    "--queue",
    is_flag=True,
    help="With retrain: switch the channel off now, train later for all that wait (mbd resume).",
)
@click.option("--dry-run", is_flag=True, help="Print the plan and change nothing.")
@click.option("--request-id", metavar="ID", help="Repeating a request with its id is harmless.")
@json_option
@click.pass_context
def revoke(
    ctx: click.Context,
    user: str | None,
    modalities: tuple[str, ...],
    batch: Path | None,
    cancel: str | None,
    epsilon: float | None,
    delta: float | None,
    method: str,
    queue: bool,
    dry_run: bool,
    request_id: str | None,
    as_json: bool,
) -> None:
    """Remove one person's modality from the model and sign what was done.

    Rows are subtracted from the integer state, the touched heads are released anew, the data
    is erased and searched for, and a certificate is logged. Killed at any instant, the request
    is finished by the next command, exactly once. With --batch, many requests share one state
    update and one release; each has its own certificate. Exit code 8: some were refused; if all
    were, the code that they have in common, or 1.
    """
    from mbd.workflows.resolve import RevocationRequest, Terms
    from mbd.workflows.revoke import preview_revocation, revoke_modality

    terms = Terms(method=cast("Method", method), epsilon=epsilon, delta=delta)
    _check_one_way(user, modalities, batch, cancel, request_id)
    if queue and method != "retrain":
        raise UsageError(
            "only a retraining is worth waiting for", field="--queue", hint="add --method retrain"
        )
    if cancel is not None:
        _cancel(ctx, cancel, as_json)
        return
    if batch is not None:
        from mbd.cli.revoke_batch import revoke_batch

        code = revoke_batch(ctx, batch, terms, queue=queue, dry_run=dry_run, as_json=as_json)
        ctx.exit(code)
    assert user is not None, "checked above"
    request = RevocationRequest(subject=user, modalities=modalities, request_id=request_id)
    if dry_run:
        from mbd.workflows.opening import open_to_look

        with open_to_look(open_here(ctx), note=note) as session:
            preview = preview_revocation(session, request, terms)
        emit("revoke", _preview_payload(preview), as_json, _preview_text(preview))
        return
    if queue:
        _queue(ctx, request, terms, as_json)
        return
    with session_here(ctx, write=True) as session, progress("revoking") as report:
        done = revoke_modality(session, request, terms, progress=report, note=note)
    emit("revoke", revocation_payload(done), as_json, _revocation_text(done))


def _queue(ctx: click.Context, request: RevocationRequest, terms: Terms, as_json: bool) -> None:
    from mbd.workflows.revoke import revoke_many

    with session_here(ctx, write=True) as session:
        (row,) = revoke_many(session, [request], terms, queue=True)
    if row.error is not None:
        raise row.error
    payload = {
        "requestId": row.request_id,
        "queued": row.certificate_id is None,
        "certificateId": row.certificate_id,
        "dueBy": row.due_by,
    }
    text = (
        f"Request {row.request_id}: the channel is off. The data goes with the next retraining "
        f"(`mbd resume` begins it), due by {row.due_by}.\n"
        f"To withdraw the request: mbd revoke --cancel {row.request_id}"
    )
    if row.certificate_id is not None:
        text = f"This request was finished before: certificate {row.certificate_id}."
    emit("revoke", payload, as_json, text)


def _check_one_way(
    user: str | None,
    modalities: tuple[str, ...],
    batch: Path | None,
    cancel: str | None,
    request_id: str | None,
) -> None:
    """One person, a file, or a cancellation: not two of them."""
    single = user is not None or bool(modalities) or request_id is not None
    if single + (batch is not None) + (cancel is not None) > 1:
        raise UsageError("want --user with --modality, or --batch, or --cancel", field="mbd revoke")
    if batch is None and cancel is None:
        if user is None:
            raise UsageError("missing option", field="--user", hint="or --batch FILE")
        if not modalities:
            raise UsageError("missing option", field="--modality", hint="or --modality all")


def _cancel(ctx: click.Context, request_id: str, as_json: bool) -> None:
    from mbd.workflows.cancel import cancel_request, learned_without
    from mbd.workflows.opening import open_session

    with open_session(open_here(ctx), write=True, finish=False) as session:
        known = cancel_request(session, request_id)
        without = known.is_open and learned_without(session, known)
    payload = {
        "requestId": request_id,
        "cancelled": True,
        "stage": known.stage,
        "trainedWithout": without,
    }
    if known.stage == "cancelled":
        text = f"Request {request_id} was cancelled before."
    else:
        text = (
            f"Cancelled request {request_id}, which was {known.stage}: nothing was erased, "
            "the channel is in service as before."
        )
    if without:
        text += "\nThe model was trained meanwhile, without it: `mbd train` learns it again."
    emit("revoke", payload, as_json, text)


@click.command(epilog="Example: mbd resume")
@json_option
@click.pass_context
def resume(ctx: click.Context, as_json: bool) -> None:
    """Finish what a crash left, each exactly once, and what waits for a retraining."""
    from mbd.workflows.opening import open_session
    from mbd.workflows.resume import finish_interrupted

    opened = open_session(open_here(ctx), write=True, finish=False)
    with opened as session, progress("resuming") as report:
        resumed = finish_interrupted(session, queued=True, progress=report, note=note)
    payload = {
        "finished": [revocation_payload(done) for done in resumed.finished],
        "cancelled": [
            {"requestId": one.request_id, "reason": one.reason} for one in resumed.cancelled
        ],
        "learned": list(resumed.settled.learned),
        "undoneRows": resumed.settled.undone,
    }
    lines = [_revocation_text(done) for done in resumed.finished]
    lines += [f"Gave up request {one.request_id}: {one.reason}" for one in resumed.cancelled]
    if resumed.settled.learned:
        lines.append(f"Finished an addition: {', '.join(resumed.settled.learned)} learned it.")
    if resumed.settled.undone:
        lines.append("Took back an addition: its records had not been held yet.")
    text = "\n".join(lines) or "Nothing was interrupted."
    emit("resume", payload, as_json, text)


def revocation_payload(done: Revocation) -> dict[str, Any]:
    """The JSON fields of a finished revocation."""
    return {
        "requestId": done.request_id,
        "certificateId": done.certificate_id,
        "bundle": done.bundle,
        "receipt": done.receipt,
        "class": done.guarantee_class,
        "epsilon": done.epsilon,
        "delta": done.delta,
        "heads": list(done.heads),
        "seconds": {"engine": round(done.engine_seconds, 4), "total": round(done.total_seconds, 4)},
        "repeated": done.repeated,
    }


def _revocation_text(done: Revocation) -> str:
    if done.repeated:
        note("This request was finished before; nothing was done again.")
    loss = f"epsilon {done.epsilon}, delta {done.delta}"
    lines = [
        f"Certificate  {done.certificate_id}  ({done.guarantee_class}: {loss})",
        f"  bundle     {done.bundle}",
        f"  receipt    {done.receipt}  (hand it to the person, then delete it)",
        f"  heads      {', '.join(done.heads) or 'none: the channel was in no training row'}",
        f"Check it with: mbd verify {done.bundle}",
    ]
    return "\n".join(lines)


def _preview_payload(preview: Preview) -> dict[str, Any]:
    return {
        "dryRun": True,
        "modalities": list(preview.modalities),
        "cascaded": list(preview.cascaded),
        "class": preview.guarantee_class,
        "method": preview.method,
        "epsilon": preview.epsilon,
        "delta": preview.delta,
        "records": preview.records,
        "vanishing": preview.vanishing,
        "rows": preview.rows,
        "heads": list(preview.heads),
        "untouched": list(preview.untouched),
        "blocks": [dict(block) for block in preview.blocks],
        "stores": list(preview.stores),
        "choices": list(preview.choices),
        "expectedNoise": preview.expected_noise,
        "estimatedSeconds": preview.estimated_seconds,
    }


def _preview_text(preview: Preview) -> str:
    blocks = [(block["block"], block["action"], block["class"]) for block in preview.blocks]
    return "\n".join(
        [
            f"Would remove {', '.join(preview.modalities)} from {preview.records} records "
            f"({preview.vanishing} would vanish), {preview.rows} rows of the state.",
            *(
                [f"{', '.join(preview.cascaded)}: derived from it, as the data set declares."]
                if preview.cascaded
                else []
            ),
            f"Class {preview.guarantee_class}, method {preview.method}, "
            f"epsilon at most {preview.epsilon:g}, delta {preview.delta:g}.",
            table(("block", "action", "class"), blocks),
            f"Rewritten: {', '.join(preview.stores)}",
            *([f"Chosen again: {', '.join(preview.choices)}."] if preview.choices else []),
            f"{_noise(preview.expected_noise)}; {_duration(preview.estimated_seconds)}.",
            "Nothing was changed.",
        ]
    )


def _noise(deviation: float) -> str:
    if not deviation:
        return "No noise"
    return f"Noise on one prediction: at most {deviation:.2g} (standard deviation, label units)"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "how long it takes is not known: no training was timed here"
    return f"about {seconds:.1f} s"
