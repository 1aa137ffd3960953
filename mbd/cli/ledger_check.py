"""`mbd ledger check` and `checkpoint`."""

from __future__ import annotations

from pathlib import Path

import click

from mbd.cli.context import open_here
from mbd.cli.ledger_common import log_key, reading, trust_option
from mbd.cli.output import emit, json_option, progress


@click.command(epilog="Example: mbd ledger check")
@trust_option
@json_option
@click.pass_context
def check(ctx: click.Context, trust: Path | None, as_json: bool) -> None:
    """Re-hash everything: bodies, leaves, subtrees, checkpoints. Exit code 1 on a difference.

    The first bad entry is named. For a checkpoint that is not what the log's key signed, it is
    the first entry that no good checkpoint before it vouches for. Without secrets.db beside it
    a ledger checks as well, but for the bodies that are sealed.
    """
    from mbd.ledger.bodies import Vault
    from mbd.ledger.check import check_log
    from mbd.ledger.last_signed import Memory, path_of

    key = log_key(ctx, trust)
    key_of = Vault(open_here(ctx).secrets_db).reader()
    remembered = Memory(path_of(key)).read()
    with reading(ctx) as (connection, interrupted), progress("checking") as told:
        report = check_log(connection, key, remembered, told, key_of=key_of)
    root = None if report.root is None else report.root.hex()
    payload = {
        "ok": report.ok,
        "size": report.size,
        "root": root,
        "checkpoints": report.checkpoints,
        "bodies": report.bodies,
        "unreadable": report.unreadable,
        "badIndex": report.bad_index,
        "problem": report.problem,
        "interrupted": interrupted,
    }
    sealed = f"{report.unreadable} bodies are sealed and were not read: their keys are not here\n"
    good = (
        f"ok: {report.size} entries, {report.bodies} bodies, {report.checkpoints} checkpoints\n"
        f"{sealed if report.unreadable else ''}root {root}"
    )
    where = "" if report.bad_index is None else f"first bad entry: {report.bad_index}\n"
    emit("ledger check", payload, as_json, good if report.ok else f"{where}{report.problem}")
    ctx.exit(0 if report.ok else 1)


@click.command(epilog="Example: mbd ledger checkpoint > checkpoint.txt")
@json_option
@click.pass_context
def checkpoint(ctx: click.Context, as_json: bool) -> None:
    """Print the newest signed checkpoint (a C2SP signed note)."""
    from mbd.ledger.note import parse_checkpoint, parse_note
    from mbd.ledger.proofs import newest_note

    with reading(ctx) as (connection, interrupted):
        signed = newest_note(connection)
    head = parse_checkpoint(parse_note(signed).text)
    payload = {
        "checkpoint": signed,
        "origin": head.origin,
        "size": head.size,
        "root": head.root.hex(),
        "interrupted": interrupted,
    }
    emit("ledger checkpoint", payload, as_json, signed.rstrip("\n"))
