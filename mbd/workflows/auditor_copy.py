"""What an auditor needs to rebuild a model, and nothing that names whose data was removed.

`mbd verify --reproduce` reads records, rows, models and states, and asks the ledger what came
later. Keys, secrets and receipts are no business of its reader; neither are requests, which
people name as they like, and which name the person while they wait.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from mbd.database.connection import database_errors
from mbd.workflows.backup import (
    FOLDERS,
    LEDGER,
    Progress,
    copy_all,
    files_below,
    flush_folders,
    new_folder,
)
from mbd.workflows.ledger_copy import save_ledger
from mbd.workflows.session import Session
from mbd.workspace.files import fsync_file

_WITHHELD = (
    "DELETE FROM suppression",
    "DELETE FROM request",  # those that are open wait for a retraining: nothing is half done
    "DELETE FROM batch",
    "DELETE FROM body WHERE entry_index NOT IN "
    "(SELECT entry_index FROM entry WHERE type = 'erasure')",
)


@dataclass(frozen=True)
class AuditorCopy:
    """What was copied."""

    folder: Path
    files: int
    size_bytes: int


def make_auditor_copy(
    session: Session, target: Path, *, progress: Progress = lambda done, total: None
) -> AuditorCopy:
    """Copy what `mbd verify --reproduce` reads; call it with the lock held and nothing half done.

    It cannot be restored: there is no `backup.json` in it.

    Raises: what `make_backup` says.
    """
    root = session.workspace.root
    with new_folder(session, target) as draft:
        sources = [path for name in FOLDERS for path in files_below(root / name)]
        copy_all(sources, root, draft, progress)
        save_ledger(session.database, draft / LEDGER)
        _withhold(draft / LEDGER)
        flush_folders(draft)
        sizes = [path.stat().st_size for path in files_below(draft)]
    return AuditorCopy(target.resolve(), len(sizes), sum(sizes))


def _withhold(ledger: Path) -> None:
    """Take out who asked for what, also of the pages that SQLite would keep."""
    with database_errors(ledger), contextlib.closing(sqlite3.connect(ledger)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA secure_delete = ON")
        with connection:
            for statement in _WITHHELD:
                connection.execute(statement)
        connection.execute("VACUUM")
    fsync_file(ledger)
