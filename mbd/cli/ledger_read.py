"""`mbd ledger list` and `show`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import click

from mbd.cli.context import open_here
from mbd.cli.ledger_common import (
    HEADER,
    chosen_filter,
    entry_json,
    entry_row,
    filter_options,
    reading,
)
from mbd.cli.output import emit, json_option, note, table

LIMIT = 1000


@click.command("list", epilog="Example: mbd ledger list --modality audio --since 2026-01-01")
@filter_options
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=LIMIT,
    show_default=True,
    help="At most so many entries; more of them are said to be there.",
)
@click.option(
    "--after",
    type=click.IntRange(-1, 2**31 - 1),
    metavar="INDEX",
    help="Go on after this entry: `next` of the page before.",
)
@json_option
@click.pass_context
def list_(
    ctx: click.Context, /, limit: int, after: int | None, as_json: bool, **options: object
) -> None:
    """List what was logged, without subjects: type, time, class, modalities, hash."""
    from mbd.ledger.queries import list_entries

    with reading(ctx) as (connection, interrupted):
        chosen = replace(chosen_filter(connection, options), after=after)
        found = list_entries(connection, chosen, limit=limit + 1)
    more, found = len(found) > limit, found[:limit]
    following = found[-1].index if more else None
    payload = {
        "entries": [entry_json(one) for one in found],
        "next": following,
        "interrupted": interrupted,
    }
    emit("ledger list", payload, as_json, table(HEADER, [entry_row(one) for one in found]))
    if more:
        note(f"there are more: --after {following}")


@click.command(epilog="Example: mbd ledger show 3")
@click.argument("reference", metavar="ID")
@json_option
@click.pass_context
def show(ctx: click.Context, reference: str, as_json: bool) -> None:
    """Show one entry, by index or certificate id.

    Prints its leaf, and its body unless that was erased, or is sealed and its key not here.
    """
    from mbd.ledger.bodies import Vault, open_body
    from mbd.ledger.queries import body_of, find_entry

    key_of = Vault(open_here(ctx).secrets_db).reader()
    with reading(ctx) as (connection, interrupted):
        entry = find_entry(connection, reference)
        stored = body_of(connection, entry.index)
    body = None if stored is None else open_body(entry.index, entry.leaf, stored, key_of)
    payload = {
        **entry_json(entry),
        "leaf": json.loads(entry.leaf),
        "body": None if body is None else _readable(body),
        "sealed": stored is not None and body is None,
        "interrupted": interrupted,
    }
    emit("ledger show", payload, as_json, _text(payload))


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


def _text(payload: dict[str, Any]) -> str:
    parts = ("leaf", "body", "sealed", "interrupted")
    fields = {name: value for name, value in payload.items() if name not in parts}
    fields["modalities"] = "+".join(payload.get("modalities", [])) or "-"
    lines = [f"{name:14}{value}" for name, value in fields.items()]
    leaf = json.dumps(payload["leaf"], indent=2)
    body = "sealed; its key is not here" if payload["sealed"] else "erased, or never stored"
    if payload["body"] is not None:
        body = json.dumps(payload["body"], indent=2, ensure_ascii=False)
    return "\n".join([*lines, f"leaf {leaf}", f"body {body}"])
