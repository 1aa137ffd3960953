"""The ledger of a workspace as a file, and a file as the ledger of a workspace."""

from __future__ import annotations

import contextlib
from pathlib import Path

from mbd.database.copying import copy_file, copy_rows, save_as_file
from mbd.database.engine import Database
from mbd.database.upgrade import upgrade_database
from mbd.errors import MbdError, NotFoundError
from mbd.workspace.files import remove_file
from mbd.workspace.ledger_place import Place, Server


def save_ledger(database: Database, target: Path) -> None:
    """Copy the ledger, wherever it is, into a new SQLite file."""
    if database.path is not None:
        copy_file(database.path, target)
    else:
        save_as_file(database, target)


def put_ledger(source: Path, place: Place, scratch: Path) -> None:
    """Make the database of a workspace of a file, which may be of an older version.

    Args:
        source: The file; it is not changed.
        place: Where there is no database yet.
        scratch: A folder for a copy meanwhile.

    Raises:
        ConflictError: There is a database, or the file has a request open in the old way.
    """
    copy = scratch / "ledger.db" if isinstance(place, Server) else place
    copy_file(source, copy)
    upgrade_database(copy)
    if isinstance(place, Server):
        copy_rows(Database.open(copy), Database.create(place))
        remove_file(copy)


def is_there(place: Place) -> bool:
    """Whether a workspace has its database already."""
    try:
        Database.open(place)
    except NotFoundError:
        return False
    return True


def discard(place: Server) -> None:
    """Give up a database that was made for something that failed."""
    from mbd.database.postgres import PostgresSchema

    with contextlib.suppress(MbdError):  # what failed matters more
        PostgresSchema(place).drop()
