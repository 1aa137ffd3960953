"""`mbd ledger`: the auditor's view. Reads only, but for `erase-body`; finishes no request."""

from __future__ import annotations

import click

from mbd.cli.main import LazyGroup

_COMMANDS = {
    "list": ("mbd.cli.ledger_read:list_", "What was logged, without subjects."),
    "show": ("mbd.cli.ledger_read:show", "One entry: its leaf and its body."),
    "check": ("mbd.cli.ledger_check:check", "Re-hash everything; name the first bad entry."),
    "checkpoint": ("mbd.cli.ledger_check:checkpoint", "The newest signed checkpoint."),
    "proof": ("mbd.cli.ledger_proof:proof", "That an entry is in the log, checkable offline."),
    "consistency": ("mbd.cli.ledger_proof:consistency", "That the log only grew."),
    "export": ("mbd.cli.ledger_export:export", "The log as CSV, JSON lines, SQLite or tiles."),
    "erase-body": ("mbd.cli.ledger_erase:erase_body", "Erase a body; its leaf and proofs stay."),
    "watch": ("mbd.cli.ledger_watch:watch", "For a monitor: what is new, and that it only grew."),
}


@click.group(cls=LazyGroup, table=_COMMANDS)
def ledger() -> None:
    """The auditor's view of the tamper-evident log."""
