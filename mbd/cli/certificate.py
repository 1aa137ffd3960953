"""`mbd certificate`: what to do with one certificate."""

from __future__ import annotations

import click

from mbd.cli.main import LazyGroup

_COMMANDS = {
    "show": ("mbd.cli.certificate_show:show", "A page in plain words, to read or to print."),
    "escrow": ("mbd.cli.certificate_escrow:escrow", "What opens it for an auditor."),
}


@click.group(cls=LazyGroup, table=_COMMANDS)
def certificate() -> None:
    """One certificate: for the people it is about, and for those who act for them."""
