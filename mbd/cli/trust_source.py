"""Where a command that verifies finds the trust file, and how it says which one it was."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import click

from mbd.canonical.text import printable
from mbd.cli.context import open_here
from mbd.cli.output import note
from mbd.errors import MbdError
from mbd.verify import TrustPolicy, load_trust
from mbd.workspace.layout import Workspace


@dataclass(frozen=True)
class TrustSource:
    """Where trust comes from, if from anywhere."""

    path: Path | None
    named: bool = False
    """Whether it was named, by an option or the environment, and not just found."""
    own: bool = False
    """Whether it is the file that the workspace wrote about its own keys."""

    def load(self) -> TrustPolicy | None:
        """The policy in the file, if there is a file."""
        return load_trust(self.path) if self.path else None

    def tell(self) -> None:
        """Say whom the verdict believes; a file that nobody named may be the forger's."""
        if self.path is None:
            note("trust: no trust file was named or found")
            return
        shown = printable(str(self.path))
        if self.own:
            note(
                f"trust: {shown} is this workspace's own: you are trusting yourself, "
                "or whoever made this folder"
            )
        elif self.named:
            note(f"trust: {shown}")
        else:
            click.echo(
                f"believing ./{shown}: make sure that it did not come with the certificate",
                err=True,
            )


def find_trust(ctx: click.Context, given: Path | None) -> TrustSource:
    """--trust, MBD_TRUST, ./trust.toml, then the workspace's own."""
    from_environment = os.environ.get("MBD_TRUST")
    named = given or (Path(from_environment) if from_environment else None)
    local = Path("trust.toml")
    if named is None and not os.path.lexists(local):
        own = _own_trust(ctx)
        return TrustSource(own, own=own is not None)
    chosen = named or local
    return TrustSource(chosen, named=named is not None, own=_is_of_a_workspace(chosen))


def _is_of_a_workspace(path: Path) -> bool:
    """Whether a workspace wrote it about itself; its settings, a stranger's perhaps, stay shut."""
    found = path.resolve()
    return found == Workspace(found.parent).trust_file and os.path.lexists(
        Workspace(found.parent).settings_file
    )


def _own_trust(ctx: click.Context) -> Path | None:
    """The trust file of the workspace here; verifying needs no workspace, so none is fine."""
    try:
        path = open_here(ctx).trust_file
    except MbdError:
        return None
    return path if path.is_file() else None
