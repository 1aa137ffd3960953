"""`mbd db`: the tables of the ledger: their version, upgrading them, moving them to a server."""

from __future__ import annotations

from pathlib import Path

import click

from mbd.cli.context import open_here
from mbd.cli.output import emit, json_option, note


@click.group()
def db() -> None:
    """The tables of the ledger: their version, upgrading them, moving them to a server."""


@db.command(epilog="Example: mbd db current")
@json_option
@click.pass_context
def current(ctx: click.Context, as_json: bool) -> None:
    """Say where the ledger's tables are, and which version they have.

    Exit code 0, also if they are older than this program wants; 1 if they are newer.
    """
    from mbd.workflows.database import current_schema

    found = current_schema(open_here(ctx))
    payload = {
        "database": found.name,
        "revision": found.revision,
        "current": not found.missing,
        "missing": list(found.missing),
    }
    state = "current"
    if found.missing:
        state = f"older: `mbd db upgrade` makes {', '.join(found.missing)}"
    emit("db current", payload, as_json, f"{found.name}\nschema {found.revision}, {state}")


@db.command(epilog="Example: mbd db upgrade --copy /backups/ledger-before.db")
@click.option(
    "--copy",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Copy ledger.db to this new file first; on a server use pg_dump.",
)
@json_option
@click.pass_context
def upgrade(ctx: click.Context, copy: Path | None, as_json: bool) -> None:
    """Bring the ledger's tables to this version, in one transaction.

    The whole log is checked before the result is kept; if anything fails, nothing has changed.
    An older version of mbd cannot read the result: save a copy first.
    """
    from mbd.workflows.database import upgrade_schema

    if copy is None:
        note("no copy is made: --copy FILE saves one first (on a server: pg_dump)")
    done = upgrade_schema(open_here(ctx), copy)
    payload = {
        "database": done.name,
        "revision": done.revision,
        "made": list(done.missing),
        "copy": None if copy is None or not done.missing else str(copy.resolve()),
    }
    what = f"upgraded: {', '.join(done.missing)}" if done.missing else "there was nothing to do"
    emit("db upgrade", payload, as_json, f"{done.name}\nschema {done.revision}; {what}")


@db.command(epilog="Example: MBD_DATABASE_URL=postgresql+psycopg://mbd@db/mbd mbd db move")
@click.option(
    "--database-url",
    envvar="MBD_DATABASE_URL",
    metavar="URL",
    required=True,
    help="postgresql+psycopg://USER@HOST/NAME. A password belongs in MBD_DATABASE_URL, PGPASSWORD "
    "or ~/.pgpass, and is not stored.",
)
@json_option
@click.pass_context
def move(ctx: click.Context, database_url: str, as_json: bool) -> None:
    """Move the ledger from ledger.db to a PostgreSQL database.

    Every entry is checked there before mbd.toml names the new place; ledger.db is removed then.
    Stop what holds the workspace open first.
    """
    from mbd.workflows.database import move_ledger

    done = move_ledger(open_here(ctx), database_url)
    payload = {"database": done.name, "revision": done.revision}
    emit("db move", payload, as_json, f"The ledger is now in the {done.name}")
