"""`mbd ledger watch`: a monitor that believes nothing it did not check."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mbd.cli.ledger_common import (
    entry_json,
    entry_row,
    log_key,
    open_ledger,
    read_checkpoint,
    trust_option,
)
from mbd.cli.output import json_option, note
from mbd.errors import TemporaryError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mbd.database.engine import Database
    from mbd.ledger.note import Checkpoint, VerifierKey
    from mbd.ledger.watch import Growth, MonitorState

_HELP = """Print what is new in the log, after checking that nothing before it changed.

It starts at the checkpoint in the file of --since, else where it stopped the last time, else at
the first entry. New entries are hashed onto the old tree and must give the new signed root. The
new checkpoint is remembered only after everything was checked and printed.

\b
Exit codes
   0  what is new, if anything, follows from what was known
   1  it does not: log.fork, log.rolled_back, log.corrupt (code in --json)
   4  the log has no checkpoint yet
   7  the database is not there at the moment (with --once; otherwise it tries again)
"""


@click.command(help=_HELP, epilog="Example: mbd ledger watch --once --since checkpoint.txt")
@click.option(
    "--since",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="CHECKPOINT",
    help="File with the signed checkpoint to start from.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to remember the last good checkpoint; default: the user's state directory.",
)
@click.option("--once", is_flag=True, help="Look once and leave.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=60.0,
    show_default=True,
    help="Seconds between two looks.",
)
@trust_option
@json_option
@click.pass_context
def watch(
    ctx: click.Context,
    since: Path | None,
    state: Path | None,
    once: bool,
    interval: float,
    trust: Path | None,
    as_json: bool,
) -> None:
    from mbd.ledger.proofs import open_stored
    from mbd.ledger.watch import MonitorState, default_state

    key = log_key(ctx, trust)
    start = open_stored(read_checkpoint(since, key), key) if since else None
    monitor = _Monitor(open_ledger(ctx), key, MonitorState(state or default_state(key)), as_json)
    monitor.look(start, always=True)
    while not once:
        time.sleep(interval)
        try:
            monitor.look(None, always=False)
        except TemporaryError as error:
            note(f"{error.message}; trying again")


@dataclass(frozen=True)
class _Monitor:
    """One log, watched."""

    database: Database
    key: VerifierKey
    state: MonitorState
    as_json: bool

    def look(self, since: Checkpoint | None, *, always: bool) -> None:
        """Check, print, remember, in this order. Nothing new is said only if `always`."""
        from mbd.ledger.watch import look

        with self.database.read() as connection:
            growth = look(connection, self.key, since, self.state.read(self.key))
            if always or growth.new.size > growth.old.size:
                say = self._json if self.as_json else self._text
                for piece in say(connection, growth):
                    sys.stdout.write(piece)
                sys.stdout.flush()
        self.state.write(growth.proof.checkpoint)

    def _text(self, connection: Connection, growth: Growth) -> Iterator[str]:
        from mbd.ledger.watch import new_entries

        for entry in new_entries(connection, growth):
            yield "  ".join(str(value) for value in entry_row(entry)) + "\n"
        old, new = growth.old.size, growth.new.size
        if new == old:
            yield f"nothing new: {new} entries, as before\n"
        else:
            yield f"{new - old} new entries; the {old} before are as they were\n\n"
            yield growth.proof.text

    def _json(self, connection: Connection, growth: Growth) -> Iterator[str]:
        """One document on one line, in pieces: there may be very many entries."""
        from mbd.ledger.watch import new_entries

        head: dict[str, Any] = {
            "schema": "urn:mbd:cli:ledger-watch:v1",
            "origin": growth.new.origin,
            "oldSize": growth.old.size,
            "oldRoot": growth.old.root.hex(),
            "newSize": growth.new.size,
            "newRoot": growth.new.root.hex(),
            "proof": growth.proof.text,
        }
        yield json.dumps(head, ensure_ascii=False)[:-1] + ', "entries": ['
        separator = ""
        for entry in new_entries(connection, growth):
            yield separator + json.dumps(entry_json(entry), ensure_ascii=False)
            separator = ", "
        yield "]}\n"
