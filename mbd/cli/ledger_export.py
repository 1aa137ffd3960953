"""`mbd ledger export`: the log for other programs and other people."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mbd.cli.ledger_common import chosen_filter, filter_options, log_key, reading, trust_option
from mbd.cli.output import emit, json_option

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mbd.ledger.queries import LogEntry

TARGET = click.Path(path_type=Path, allow_dash=True)


@click.command(epilog="Example: mbd ledger export --csv ledger.csv --type certificate")
@click.option("--csv", type=TARGET, help="A table; - for standard output.")
@click.option("--jsonl", type=TARGET, help="One JSON object per line; - for standard output.")
@click.option("--sqlite", type=click.Path(path_type=Path), help="A SQLite file.")
@click.option(
    "--tiles",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="A folder to serve as it is (C2SP tlog-tiles): everything up to the newest checkpoint. "
    "One made before is brought up to date.",
)
@filter_options
@trust_option
@json_option
@click.pass_context
def export(
    ctx: click.Context,
    /,
    csv: Path | None,
    jsonl: Path | None,
    sqlite: Path | None,
    tiles: Path | None,
    trust: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Write the log as CSV, JSON lines, SQLite or tiles: exactly one of them.

    Leaves, hashes and checkpoints only: bodies stay, because nobody could erase a copy.
    """
    given = {"csv": csv, "jsonl": jsonl, "sqlite": sqlite, "tiles": tiles}
    kind, path = _only(given)
    if tiles is not None and any(value is not None for value in options.values()):
        raise click.UsageError("tiles hold every entry: filters do not apply")
    if str(path) == "-" and as_json:
        raise click.UsageError("standard output takes the entries or --json, not both")
    with reading(ctx) as (connection, _):
        if kind == "tiles":
            payload = _write_tiles(ctx, connection, path, trust)
        else:
            payload = _write_table(ctx, connection, kind, path, trust, options)
    if str(path) != "-":
        document = {"format": kind, "path": str(path), **payload}
        emit("ledger export", document, as_json, f"{payload['entries']} entries in {path}")


def _only(given: dict[str, Path | None]) -> tuple[str, Path]:
    named = [(kind, path) for kind, path in given.items() if path is not None]
    if len(named) != 1:
        raise click.UsageError("name one of --csv, --jsonl, --sqlite and --tiles")
    return named[0]


def _write_tiles(
    ctx: click.Context, connection: Connection, folder: Path, trust: Path | None
) -> dict[str, Any]:
    from mbd.ledger.tiles import write_tiles

    written = write_tiles(connection, log_key(ctx, trust), folder)
    return {"entries": written.size, "root": written.root.hex(), "files": written.files}


def _write_table(
    ctx: click.Context,
    connection: Connection,
    kind: str,
    path: Path,
    trust: Path | None,
    options: dict[str, Any],
) -> dict[str, Any]:
    from mbd.ledger import export as tables
    from mbd.ledger.queries import iterate_entries
    from mbd.workspace.files import refuse_existing, write_new

    counted = _Counted(iterate_entries(connection, chosen_filter(connection, options)))
    if kind == "sqlite":
        refuse_existing(path)
        notes = tables.published_notes(connection)
        tables.write_sqlite(path, counted, notes, log_key(ctx, trust))
        return {"entries": counted.count}
    lines = (tables.csv_lines if kind == "csv" else tables.json_lines)(counted)
    if str(path) == "-":
        for line in lines:
            sys.stdout.write(line.decode())
    else:
        write_new(path, lines)
    return {"entries": counted.count}


class _Counted:
    """Entries that are counted as they pass."""

    def __init__(self, entries: Iterable[LogEntry]) -> None:
        self._entries = entries
        self.count = 0

    def __iter__(self) -> Iterator[LogEntry]:
        for entry in self._entries:
            self.count += 1
            yield entry
