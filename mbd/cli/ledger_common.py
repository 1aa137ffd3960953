"""What the commands of `mbd ledger` share: opening it, its key, filters, how an entry looks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mbd.cli.context import open_here
from mbd.cli.output import note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from mbd.database.engine import Database
    from mbd.ledger.note import VerifierKey
    from mbd.ledger.queries import Filter, LogEntry

F = TypeVar("F", bound=Callable[..., Any])

DAY = click.DateTime(formats=["%Y-%m-%d"])
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
HEADER = ("index", "time", "type", "class", "modalities", "certificate")

trust_option = click.option(
    "--trust",
    type=FILE,
    envvar="MBD_TRUST",
    help="Trust file with the log's key; default: the workspace's own.",
)


def filter_options(function: F) -> F:
    """The options that choose entries; `chosen_filter` takes their values."""
    from mbd.ledger.entry import ENTRY_TYPES

    options = (
        click.option("--type", "kind", type=click.Choice(ENTRY_TYPES), help="Only this type."),
        click.option("--since", type=DAY, help="First day, UTC."),
        click.option("--until", type=DAY, help="Last day, UTC, included."),
        click.option("--modality", help="Only entries about this modality."),
        click.option(
            "--class",
            "guarantee_class",
            type=click.Choice(["certified", "exact", "empirical"]),
            help="Only certificates of this guarantee class.",
        ),
        click.option("--certificate", metavar="ID", help="Only entries about this certificate."),
        click.option(
            "--receipt",
            type=FILE,
            help="Only the certificate that this receipt belongs to; where the workspace has its "
            "secrets, all certificates of the same person.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def chosen_filter(connection: Connection, options: dict[str, Any]) -> Filter:
    """What `filter_options` were given.

    Raises:
        NotFoundError: The ledger has no such certificate.
    """
    from mbd.ledger.queries import Filter, find_entry

    receipt, certificate = options["receipt"], options["certificate"]
    for wanted in (certificate, receipt and certificate_of(receipt)):
        if wanted is not None:
            find_entry(connection, wanted)
    return Filter(
        type=options["kind"],
        since=options["since"] and options["since"].date(),
        until=options["until"] and options["until"].date(),
        modality=options["modality"],
        guarantee_class=options["guarantee_class"],
        certificate_id=certificate,
        certificate_ids=None if receipt is None else _certificates_of(receipt),
    )


def _certificates_of(receipt: Path) -> frozenset[str]:
    """The certificates of the person that a receipt is about, as far as they can be told here.

    Of a receipt that another version wrote, its own certificate.
    """
    from mbd.cli.receipt import read_receipt
    from mbd.errors import DataError
    from mbd.workflows.session import Session
    from mbd.workflows.subject import certificates_of
    from mbd.workspace.settings import load_settings

    workspace = open_here(click.get_current_context())
    try:
        content = read_receipt(receipt)
    except DataError:
        return frozenset({certificate_of(receipt)})
    found = certificates_of(Session(workspace, load_settings(workspace)), content)
    if not found.secret:
        note("only the certificate of this receipt: others of the person cannot be told here")
    elif found.unreadable:
        note(f"{found.unreadable} certificates are erased or sealed: whose they are is unknown")
    return found.ids


def certificate_of(receipt: Path) -> str:
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


def open_ledger(ctx: click.Context) -> Database:
    """The database with the ledger of the workspace here."""
    from mbd.database.engine import Database
    from mbd.workspace.ledger_place import ledger_place
    from mbd.workspace.settings import load_settings

    workspace = open_here(ctx)
    return Database.open(ledger_place(workspace, load_settings(workspace)))


@contextmanager
def reading(ctx: click.Context) -> Iterator[tuple[Connection, int]]:
    """One consistent view of the ledger, and how many requests are unfinished."""
    from mbd.database.journal import Journal

    with open_ledger(ctx).read() as connection:
        unfinished = len(Journal(connection).open_requests())
        if unfinished:
            note(f"unfinished requests: {unfinished}; `mbd resume` finishes what a crash left")
        yield connection, unfinished


def log_key(ctx: click.Context, trust: Path | None) -> VerifierKey:
    """The log's public key: from the trust file named, else from the workspace's own.

    Raises:
        UsageError: The trust file names no log, or the workspace has none.
    """
    from mbd.errors import UsageError
    from mbd.verify.trust import load_trust

    path = trust or open_here(ctx).trust_file
    policy = load_trust(path)
    if policy.log is None:
        raise UsageError(f"{path} names no log", code="trust.no_log", field="--trust")
    return policy.log.key


def read_checkpoint(path: Path, key: VerifierKey) -> str:
    """The signed note in a file; a bundle's or a proof's own checkpoint is not looked for."""
    from mbd.ledger.note import MAX_NOTE_BYTES
    from mbd.ledger.proofs import open_stored

    with path.open("rb") as stream:
        signed = stream.read(MAX_NOTE_BYTES + 1).decode("utf-8", errors="replace")
    open_stored(signed, key, f"it is in {path}")
    return signed


def entry_json(entry: LogEntry) -> dict[str, Any]:
    """An entry as every command's JSON has it."""
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


def entry_row(entry: LogEntry) -> tuple[object, ...]:
    """An entry as a row below `HEADER`."""
    about = entry.guarantee_class or "-", "+".join(entry.modalities) or "-"
    return entry.index, entry.time, entry.type, *about, entry.certificate_id or "-"
