"""Bringing the tables of an older version to this one, or not at all."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from mbd.database.engine import REVISIONS, SCHEMA_REVISION, Database, check_known, revision_of
from mbd.workspace.ledger_place import Place


def missing_revisions(place: Place) -> tuple[str, ...]:
    """The migrations that a database still needs, in order.

    Raises:
        VersionError: A newer program made it.
        IntegrityError: It is not one of ours.
    """
    database = Database.open_any(place)
    found = revision_of(database)
    check_known(found, database.name)
    return REVISIONS[REVISIONS.index(found) + 1 :]


def upgrade_database(
    place: Place, check: Callable[[Connection], None] = lambda connection: None
) -> tuple[str, ...]:
    """Migrate; what was there stays as it was if anything fails.

    Args:
        place: Where.
        check: Looks at the result before it is kept, and raises if it is not sound.

    Returns:
        The migrations that were made; empty if there was nothing to do.

    Raises:
        ConflictError: Something has to be finished with the older version first.
        VersionError: A newer program made it.
    """
    missing = missing_revisions(place)
    if not missing:
        return ()
    from mbd.database.migrate import upgrade

    with Database.open_any(place).transaction() as connection:
        upgrade(connection, SCHEMA_REVISION)
        check(connection)
    Database.open(place)
    return missing
