"""`mbd ledger`: the auditor's view. Reads only; reports unfinished requests, finishes none."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mbd.cli.context import open_here
from mbd.cli.output import emit, json_option, note, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from mbd.ledger.queries import LogEntry

DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.group()
def ledger() -> None:
    """The auditor's view of the tamper-evident log."""


@ledger.command("list", epilog="Example: mbd ledger list --modality audio --since 2026-01-01")
@click.option("--since", type=DAY, help="First day, UTC.")
@click.option("--until", type=DAY, help="Last day, UTC, included.")
@click.option("--modality", help="Only entries about this modality.")
@click.option(
    "--class",
    "guarantee_class",
    type=click.Choice(["certified", "exact", "empirical"]),
    help="Only certificates of this guarantee class.",
)
@click.option(
    "--receipt",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Only the certificate that this receipt belongs to.",
)
@json_option
@click.pass_context
def list_(
    ctx: click.Context,
    since: datetime | None,
    until: datetime | None,
    modality: str | None,
    guarantee_class: str | None,
    receipt: Path | None,
    as_json: bool,
) -> None:
    """List what was logged, without subjects: type, time, class, modalities, hash."""
    from mbd.ledger.queries import Filter, find_entry, list_entries

    certificate = None if receipt is None else _certificate_of(receipt)
    chosen = Filter(
        since=since.date() if since else None,
        until=until.date() if until else None,
        modality=modality,
        guarantee_class=guarantee_class,
        certificate_id=certificate,
    )
    with _reading(ctx) as (connection, interrupted):
        if certificate is not None:
            find_entry(connection, certificate)
        found = list_entries(connection, chosen)
    payload = {"entries": [_entry_json(one) for one in found], "interrupted": interrupted}
    header = ("index", "time", "type", "class", "modalities", "certificate")
    emit("ledger list", payload, as_json, table(header, [_line(one) for one in found]))


@ledger.command(epilog="Example: mbd ledger show 3")
@click.argument("reference", metavar="ID")
@json_option
@click.pass_context
def show(ctx: click.Context, reference: str, as_json: bool) -> None:
    """Show one entry, by index or certificate id.

    Prints its leaf, and its body unless that was erased.
    """
    from mbd.ledger.queries import body_of, find_entry

    with _reading(ctx) as (connection, interrupted):
        entry = find_entry(connection, reference)
        body = body_of(connection, entry.index)
    payload = {
        **_entry_json(entry),
        "leaf": json.loads(entry.leaf),
        "body": None if body is None else _readable(body),
        "interrupted": interrupted,
    }
    emit("ledger show", payload, as_json, _entry_text(entry, payload))


@ledger.command(epilog="Example: mbd ledger check")
@json_option
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """Re-hash everything: bodies, leaves, subtrees, checkpoints. Exit code 1 on a difference."""
    from mbd.ledger.check import check_log
    from mbd.ledger.memory import Memory, default_path
    from mbd.ledger.note import VerifierKey
    from mbd.ledger.signer import log_signer
    from mbd.signing.keys import load_key
    from mbd.workspace.settings import load_settings

    workspace = open_here(ctx)
    signer = log_signer(load_settings(workspace).origin, load_key(workspace.log_key))
    key = VerifierKey(signer.name, signer.public_key)
    with _reading(ctx) as (connection, interrupted):
        report = check_log(connection, key, Memory(default_path(signer)).read())
    root = None if report.root is None else report.root.hex()
    payload = {
        "ok": report.ok,
        "size": report.size,
        "root": root,
        "checkpoints": report.checkpoints,
        "bodies": report.bodies,
        "badIndex": report.bad_index,
        "problem": report.problem,
        "interrupted": interrupted,
    }
    good = (
        f"ok: {report.size} entries, {report.bodies} bodies, {report.checkpoints} checkpoints\n"
        f"root {root}"
    )
    where = "" if report.bad_index is None else f"first bad entry: {report.bad_index}\n"
    emit("ledger check", payload, as_json, good if report.ok else f"{where}{report.problem}")
    ctx.exit(0 if report.ok else 1)


@ledger.command(epilog="Example: mbd ledger checkpoint > checkpoint.txt")
@json_option
@click.pass_context
def checkpoint(ctx: click.Context, as_json: bool) -> None:
    """Print the newest signed checkpoint (a C2SP signed note)."""
    from mbd.errors import NotFoundError
    from mbd.ledger.note import parse_checkpoint, parse_note
    from mbd.ledger.queries import latest_note

    with _reading(ctx) as (connection, interrupted):
        signed = latest_note(connection)
    if signed is None:
        raise NotFoundError("the ledger has no checkpoint yet", code="log.unpublished")
    head = parse_checkpoint(parse_note(signed).text)
    payload = {
        "checkpoint": signed,
        "origin": head.origin,
        "size": head.size,
        "root": head.root.hex(),
        "interrupted": interrupted,
    }
    emit("ledger checkpoint", payload, as_json, signed.rstrip("\n"))


@contextmanager
def _reading(ctx: click.Context) -> Iterator[tuple[Connection, int]]:
    """One consistent view of the ledger, and how many requests are unfinished."""
    from mbd.database.engine import Database
    from mbd.database.journal import Journal

    with Database.open(open_here(ctx).ledger_db).read() as connection:
        unfinished = len(Journal(connection).open_requests())
        if unfinished:
            note(f"unfinished requests: {unfinished}; `mbd resume` finishes what a crash left")
        yield connection, unfinished


def _certificate_of(receipt: Path) -> str:
    """The certificate id in a receipt."""
    from mbd.canonical.json import loads_strict
    from mbd.canonical.ulid import is_ulid
    from mbd.certificate.receipt import MAX_RECEIPT_BYTES
    from mbd.errors import DataError

    with receipt.open("rb") as stream:
        content = loads_strict(stream.read(MAX_RECEIPT_BYTES + 1), max_bytes=MAX_RECEIPT_BYTES)
    identity = content.get("certificateId") if isinstance(content, dict) else None
    if not isinstance(identity, str) or not is_ulid(identity):
        raise DataError(f"{receipt} is not a receipt", field="certificateId")
    return identity


def _entry_json(entry: LogEntry) -> dict[str, Any]:
    optional = {
        "certificateId": entry.certificate_id,
        "modalities": list(entry.modalities) or None,
        "class": entry.guarantee_class,
    }
    return {
        "index": entry.index,
        "type": entry.type,
        "time": entry.time,
        **{name: value for name, value in optional.items() if value is not None},
        "leafHash": entry.leaf_hash.hex(),
    }


def _line(entry: LogEntry) -> tuple[object, ...]:
    about = entry.guarantee_class or "-", "+".join(entry.modalities) or "-"
    return entry.index, entry.time, entry.type, *about, entry.certificate_id or "-"


def _readable(body: bytes) -> Any:
    """An envelope as the statement it carries, other JSON as it is, anything else as base64."""
    from mbd.canonical.digest import b64encode
    from mbd.errors import MbdError
    from mbd.ledger.binding import envelope_payload

    try:
        content = envelope_payload(body)[1]
    except MbdError:
        content = body
    try:
        return json.loads(content)
    except ValueError:
        return {"base64": b64encode(body)}


def _entry_text(entry: LogEntry, payload: dict[str, Any]) -> str:
    fields = {**_entry_json(entry), "modalities": "+".join(entry.modalities) or "-"}
    lines = [f"{name:14}{value}" for name, value in fields.items()]
    leaf = json.dumps(payload["leaf"], indent=2)
    body = "erased, or never stored"
    if payload["body"] is not None:
        body = json.dumps(payload["body"], indent=2, ensure_ascii=False)
    return "\n".join([*lines, f"leaf {leaf}", f"body {body}"])
