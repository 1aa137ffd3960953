"""`mbd ledger proof` and `consistency`: texts that strangers can check offline."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbd.cli.ledger_common import entry_json, log_key, read_checkpoint, reading, trust_option
from mbd.cli.output import emit, json_option

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mbd.ledger.note import Checkpoint, VerifierKey

_SIZE = re.compile(r"0|[1-9][0-9]{0,8}")


@click.command(epilog="Example: mbd ledger proof 3 > proof.txt")
@click.argument("reference", metavar="ID")
@trust_option
@json_option
@click.pass_context
def proof(ctx: click.Context, reference: str, trust: Path | None, as_json: bool) -> None:
    """Prove that an entry, by index or certificate id, is in the log.

    Prints a C2SP tlog-proof under the newest checkpoint, after checking that it holds.
    """
    from mbd.canonical.digest import b64encode
    from mbd.ledger.proofs import open_stored, prove_entries
    from mbd.ledger.queries import find_entry

    key = log_key(ctx, trust)
    with reading(ctx) as (connection, _):
        entry = find_entry(connection, reference)
        (found,) = prove_entries(connection, key, [entry.index])
    head = open_stored(found.checkpoint, key)
    payload = {
        **entry_json(entry),
        "leaf": bytes(entry.leaf).decode(),
        "size": head.size,
        "root": head.root.hex(),
        "hashes": [b64encode(digest) for digest in found.hashes],
        "proof": found.text,
    }
    emit("ledger proof", payload, as_json, found.text.rstrip("\n"))


@click.command(epilog="Example: mbd ledger consistency checkpoint.txt 120")
@click.argument("old")
@click.argument("new", required=False)
@trust_option
@json_option
@click.pass_context
def consistency(
    ctx: click.Context, old: str, new: str | None, trust: Path | None, as_json: bool
) -> None:
    """Prove that the log of OLD is the beginning of the log of NEW.

    OLD and NEW are sizes or files with a signed checkpoint; NEW is the newest checkpoint if left
    out, and must have been signed. A file is held against the log: a checkpoint of another
    history is exit code 1. Prints the old size, the hashes and the new checkpoint, as a C2SP
    witness takes them, after checking that they hold.
    """
    from mbd.canonical.digest import b64encode
    from mbd.ledger.proofs import newest_note, open_stored, prove_growth

    key = log_key(ctx, trust)
    with reading(ctx) as (connection, _):
        older = _head(connection, old, key)
        note = newest_note(connection) if new is None else _note(connection, new, key)
        found = prove_growth(connection, key, older, note)
    newer = open_stored(note, key)
    payload = {
        "oldSize": older.size,
        "oldRoot": older.root.hex(),
        "newSize": newer.size,
        "newRoot": newer.root.hex(),
        "hashes": [b64encode(digest) for digest in found.hashes],
        "proof": found.text,
    }
    emit("ledger consistency", payload, as_json, found.text.rstrip("\n"))


def _head(connection: Connection, given: str, key: VerifierKey) -> Checkpoint:
    """The tree head of a file, or of a size: signed, or else as it is stored."""
    from mbd.errors import NotFoundError
    from mbd.ledger.proofs import open_stored, published_note, stored_head

    if not _SIZE.fullmatch(given):
        return open_stored(_file(given, key), key)
    try:
        return open_stored(published_note(connection, int(given)), key)
    except NotFoundError:
        return stored_head(connection, key.name, int(given))


def _note(connection: Connection, given: str, key: VerifierKey) -> str:
    from mbd.ledger.proofs import published_note

    if _SIZE.fullmatch(given):
        return published_note(connection, int(given))
    return _file(given, key)


def _file(given: str, key: VerifierKey) -> str:
    from mbd.errors import UsageError

    path = Path(given)
    if not path.is_file():
        raise UsageError(
            f"{given!r} is neither a size nor a file with a checkpoint", code="usage.checkpoint"
        )
    return read_checkpoint(path, key)
