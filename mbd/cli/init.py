"""`mbd init`: a new workspace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbd.cli.output import emit, json_option

if TYPE_CHECKING:
    from mbd.signing.public import Algorithm


@click.command(epilog="Example: mbd init ./service --issuer 'Example Clinic'")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--issuer",
    metavar="NAME",
    help="The name in certificates, for people to read; a name made of the workspace's id by "
    "default. It belongs to the key: a new name takes `mbd key rotate`.",
)
@click.option(
    "--encrypt-keys",
    is_flag=True,
    help="Encrypt the private keys: the passphrase is that of MBD_KEY_PASSPHRASE, of the file "
    "MBD_KEY_PASSPHRASE_FILE, or typed.",
)
@click.option(
    "--issuer-algorithm",
    type=click.Choice(["ed25519", "ecdsa-p256"]),
    default="ed25519",
    show_default=True,
    help="Of the key that signs certificates.",
)
@click.option(
    "--database-url",
    envvar="MBD_DATABASE_URL",
    metavar="URL",
    help="Keep the ledger in a schema of this PostgreSQL database instead of a file: "
    "postgresql+psycopg://USER@HOST/NAME. A password belongs in MBD_DATABASE_URL, PGPASSWORD or "
    "~/.pgpass, and is not stored.",
)
@json_option
def init(
    directory: Path,
    issuer: str | None,
    encrypt_keys: bool,
    issuer_algorithm: Algorithm,
    database_url: str | None,
    as_json: bool,
) -> None:
    """Make a workspace at DIRECTORY: folders, keys, trust file, ledger.

    An existing workspace, or any folder with something in it, is never overwritten.
    """
    from mbd.signing.passphrase import PASSPHRASE
    from mbd.workflows.initialise import initialise

    passphrase = PASSPHRASE.choose(f"the keys of {directory}") if encrypt_keys else None
    made = initialise(
        directory,
        passphrase=passphrase,
        algorithm=issuer_algorithm,
        database_url=database_url,
        issuer=issuer,
    )
    payload = {
        "workspace": str(made.workspace.root),
        "issuer": made.issuer,
        "issuerKey": made.issuer_key,
        "logKey": made.log_key,
        "origin": made.origin,
        "ledger": made.ledger,
    }
    name = "" if issuer is None else f"  issuer      {issuer}\n"
    ledger = "" if database_url is None else f"  ledger      {made.ledger}\n"
    text = (
        f"Workspace {made.workspace.root}\n"
        f"{name}"
        f"  issuer key  {made.issuer_key}\n"
        f"  log key     {made.log_key}\n"
        f"{ledger}"
        "Keep keys/ and secrets.db private; auditors get the output of `mbd key export`."
    )
    emit("init", payload, as_json, text)
