"""`mbd secrets`: what the workspace keeps secret, and can forget."""

from __future__ import annotations

from pathlib import Path

import click

from mbd.cli.context import session_here
from mbd.cli.output import confirm, emit, json_option, note
from mbd.errors import UsageError

CONSEQUENCES = (
    "Only a receipt will tell whose its certificate is, and nothing that two are of one person:",
    "  `mbd ledger list --receipt` will find the one certificate that a receipt belongs to;",
    "  nobody can look up the certificates of a person any more, nor repeat a request by its id;",
    "  certificates, proofs, suppressions and consent stay as they are;",
    "  a backup that holds secrets.db still has the secret: give backups an end.",
)


@click.group()
def secrets() -> None:
    """What the workspace keeps secret, and can forget."""


@secrets.command(epilog="Example: mbd secrets forget --user 42 --yes")
@click.option("--user", help="The id that the data set uses.")
@click.option(
    "--receipt",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A receipt of theirs, instead of the id.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def forget(
    ctx: click.Context, user: str | None, receipt: Path | None, yes: bool, as_json: bool
) -> None:
    """Destroy what links the certificates of one person to each other and to the person.

    For somebody who has their receipts and wants nobody else to be able to tell. It cannot be
    undone. It is refused while a request of theirs is open, and logged without a name.
    """
    from mbd.cli.receipt import read_receipt
    from mbd.workflows.forget import forget_subject, subject_of

    if (user is None) == (receipt is None):
        raise UsageError("name the person by --user or by --receipt", field="--user")
    with session_here(ctx, write=True) as session:
        subject = user if receipt is None else subject_of(session, read_receipt(receipt))
        assert subject is not None, "one of both was given"
        for line in CONSEQUENCES:
            note(line)
        confirm("Destroy the secret of this person for good?", yes, as_json)
        done = forget_subject(session, subject)
    payload = {
        "certificates": done.certificates,
        "forgotten": done.logged is not None,
        "loggedAs": done.logged,
        "receipts": [str(path) for path in done.receipts],
    }
    text = "there was nothing left to forget"
    if done.logged is not None:
        text = (
            f"forgot whose {done.certificates} certificates are "
            f"(ledger entry {done.logged} says that, of nobody by name)"
        )
    emit("secrets forget", payload, as_json, text)
    for path in done.receipts:
        note(f"{path} still names the person: hand it over, then delete it")
