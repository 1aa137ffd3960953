"""`mbd db`: the schema of the ledger's tables, upgrading it, and moving the ledger to a server."""

from __future__ import annotations

import contextlib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from mbd.database.copying import copy_file, copy_rows, sqlite_files
from mbd.database.engine import SCHEMA_REVISION, Database, revision_of
from mbd.database.upgrade import missing_revisions, upgrade_database
from mbd.errors import ConflictError, IntegrityError, MbdError, UsageError
from mbd.ledger.check import check_log
from mbd.verify.trust import load_trust
from mbd.workflows.ledger_copy import discard
from mbd.workflows.lock import exclusive
from mbd.workspace.database_url import check_url
from mbd.workspace.files import remove_file, write_atomically
from mbd.workspace.layout import Workspace
from mbd.workspace.ledger_place import Place, Server, database_line, ledger_place, schema_of
from mbd.workspace.settings import load_settings


@dataclass(frozen=True, kw_only=True)
class Schema:
    """What version the tables of a workspace have."""

    name: str
    """Where they are."""
    revision: str
    missing: tuple[str, ...]
    """Migrations that this program still wants; empty where all is well."""


def current_schema(workspace: Workspace) -> Schema:
    """Look, and change nothing.

    Raises:
        VersionError: A newer program made the tables.
    """
    place = ledger_place(workspace, load_settings(workspace))
    found = Database.open_any(place)
    return Schema(name=found.name, revision=revision_of(found), missing=missing_revisions(place))


def upgrade_schema(workspace: Workspace, copy: Path | None = None) -> Schema:
    """Bring the tables to this version; what was there stays as it was if anything fails.

    The whole log is checked against its checkpoints before the result is kept.

    Args:
        workspace: Where.
        copy: A new file for a copy of the ledger as it was.

    Returns:
        The schema as it is now; `missing` are the migrations that were made.

    Raises:
        ConflictError: A request has to be finished with the older version first.
        IntegrityError: The log is not sound.
        VersionError: A newer program made the tables.
    """
    place = ledger_place(workspace, load_settings(workspace))
    with exclusive(workspace.lock_file):
        if missing_revisions(place) and copy is not None:
            _save(place, copy)
        made = upgrade_database(place, lambda connection: _check(workspace, connection))
    return Schema(name=Database.open(place).name, revision=SCHEMA_REVISION, missing=made)


def move_ledger(workspace: Workspace, url: str) -> Schema:
    """Move the ledger from `ledger.db` to a schema of a PostgreSQL database.

    It is copied, and checked there entry by entry, before `mbd.toml` names the new place; the
    file is removed last. Whoever holds the workspace open meanwhile must be stopped before.

    Raises:
        ConflictError: The ledger is on a server already, or one of this workspace is there.
        IntegrityError: The log is not sound.
        MbdError: The server refused; nothing was changed.
    """
    content = workspace.settings_file.read_text("utf-8")
    settings = load_settings(workspace)
    if "database_url" in tomllib.loads(content):
        raise ConflictError(
            f"{workspace.settings_file} names a database already: the ledger was moved",
            code="database.moved",
            hint="a ledger.db that is still here is not used any more",
        )
    server = Server(check_url(url), schema_of(settings.id))
    with exclusive(workspace.lock_file), contextlib.ExitStack() as undo:
        source, target = Database.open(workspace.ledger_db), Database.create(server)
        undo.callback(discard, server)
        copy_rows(source, target)
        with target.read() as connection:
            _check(workspace, connection)
        write_atomically(workspace.settings_file, _naming(content, server).encode())
        undo.pop_all()
        for path in sqlite_files(workspace.ledger_db):
            remove_file(path)
    return Schema(name=target.name, revision=SCHEMA_REVISION, missing=())


def _naming(content: str, server: Server) -> str:
    """The settings with the new place in them, below the name of the log."""
    line = database_line(server).replace("\\", r"\\")
    changed = re.sub(r"^origin\s*=.*$", rf"\g<0>\n{line}", content, count=1, flags=re.MULTILINE)
    if "database_url" not in tomllib.loads(changed):
        raise MbdError("mbd.toml could not be changed: name the database there", field="origin")
    return changed


def _save(place: Place, copy: Path) -> None:
    if isinstance(place, Server):
        raise UsageError(
            f"{place.name} is not a file that could be copied",
            field="--copy",
            hint=f"pg_dump --schema={place.schema} DATABASE > copy.sql",
        )
    if copy.exists():
        raise ConflictError(f"{copy} exists", code="database.exists", field="--copy")
    copy_file(place, copy)


def _check(workspace: Workspace, connection: Connection) -> None:
    """Refuse a log that does not hold, with the key that the workspace's trust file names."""
    log = load_trust(workspace.trust_file).log
    if log is None:
        raise UsageError(f"{workspace.trust_file} names no log", code="trust.no_log")
    report = check_log(connection, log.key, None)
    if not report.ok:
        raise IntegrityError(
            f"the ledger is damaged, and was not upgraded: {report.problem}",
            code="log.corrupt",
            hint="put the newest good ledger back, then upgrade that",
        )
