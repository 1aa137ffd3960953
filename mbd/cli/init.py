"""`mbd init`: a new workspace."""

from __future__ import annotations

from pathlib import Path

import click

from mbd.cli.output import emit, json_option


@click.command(epilog="Example: mbd init ./service && cd service")
@click.argument("directory", type=click.Path(path_type=Path))
@json_option
def init(directory: Path, as_json: bool) -> None:
    """Make a workspace at DIRECTORY: folders, keys, trust file, ledger.

    An existing workspace, or any folder with something in it, is never overwritten.
    """
    from mbd.workflows.initialise import initialise

    made = initialise(directory)
    payload = {
        "workspace": str(made.workspace.root),
        "issuerKey": made.issuer_key,
        "logKey": made.log_key,
        "origin": made.origin,
    }
    text = (
        f"Workspace {made.workspace.root}\n"
        f"  issuer key  {made.issuer_key}\n"
        f"  log key     {made.log_key}\n"
        "Keep keys/ and secrets.db private; auditors get trust.toml."
    )
    emit("init", payload, as_json, text)
