"""The last part of a restore, which any later command can finish: what is staged takes over.

Everything that may refuse or fail happens before, in `staging/.restore`, while the workspace is
as it was. Then `intent.json` is written there. From that moment on whoever opens the workspace
carries the restore to its end first; each move is one rename, and is skipped if it was made.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mbd.canonical.json import dumps, loads_strict
from mbd.database import models, pointers
from mbd.errors import DataError, IntegrityError
from mbd.ledger.entry import unsigned_entry
from mbd.workflows.session import Session
from mbd.workflows.snapshots import ModelSnapshot, remove_folder
from mbd.workspace.files import fsync_directory, remove_file, storage_errors, write_atomically
from mbd.workspace.layout import Workspace

INTENT_FILE = "intent.json"
BEFORE = "data.before"


@dataclass(frozen=True, kw_only=True)
class Intent:
    """A restore that was decided, and what is left to do is known."""

    restore_id: str
    model_pointer: str | None
    """None: the backup holds no model."""
    state_pointer: str | None
    policy_index: int | None
    """Ledger entry of the model's policy."""
    entry: str
    """Body of the ledger entry: canonical JSON."""
    salts: dict[str, str]
    """Openings (hex) of its commitments."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; keys are the field names."""
        return dict(vars(self))


def staged_folder(workspace: Workspace) -> Path:
    """Where a restore is prepared; no request id begins with a dot."""
    return workspace.staging / ".restore"


def intent_path(workspace: Workspace) -> Path:
    """The file that says that a restore is not finished."""
    return staged_folder(workspace) / INTENT_FILE


def is_unfinished(workspace: Workspace) -> bool:
    """Whether a restore was decided and is not finished."""
    return intent_path(workspace).is_file()


def decide(workspace: Workspace, intent: Intent) -> None:
    """Write the intent: from here on the restore happens, whoever finishes it."""
    write_atomically(intent_path(workspace), dumps(intent.to_json()), mode=0o600)


def finish_restore(session: Session) -> str | None:
    """Carry a restore that was decided to its end; its id, or None if there was none.

    Call it with the workspace's lock held.

    Raises:
        MbdError: The disk refused; the restore stays unfinished, and nothing else may begin.
    """
    workspace = session.workspace
    if not is_unfinished(workspace):
        return None
    intent, staged = _read(intent_path(workspace)), staged_folder(workspace)
    _replace_data(staged / "data", workspace.data, staged / BEFORE)
    for name, target in (("models", workspace.models), ("state", workspace.state)):
        _move_all(staged / name, target)
    salts = {name: bytes.fromhex(salt) for name, salt in intent.salts.items()}
    if salts:
        session.secrets.put_salts(intent.restore_id, salts)
    _activate(session, intent)
    session.log.publish()
    session.database.purge()
    for folder in (staged / name for name in (BEFORE, "models", "state")):
        remove_folder(folder)
    remove_file(intent_path(workspace))
    remove_folder(staged)
    return intent.restore_id


def _activate(session: Session, intent: Intent) -> None:
    """One transaction: pointers, ledger entry, and the mark that both are done."""
    body = intent.entry.encode()
    now = datetime.now(UTC)
    with session.database.transaction() as connection:
        if pointers.get(connection, "restore") == intent.restore_id:
            return
        pointers.set(connection, "restore", intent.restore_id)
        pointers.clear(connection, "growth")  # an addition that was interrupted is gone
        if intent.model_pointer is not None and intent.state_pointer is not None:
            assert intent.policy_index is not None
            model = ModelSnapshot.from_pointer(session.workspace.models, intent.model_pointer)
            pointers.set(connection, "model", intent.model_pointer)
            pointers.set(connection, "state", intent.state_pointer)
            models.add(connection, model.model_id, intent.policy_index, model.digest, now)
        session.log.append(connection, unsigned_entry("erasure", now, body), body)


def _replace_data(staged: Path, data: Path, before: Path) -> None:
    """Put the staged data where the data is; what was there is set aside."""
    if not staged.exists():
        return
    with storage_errors(data):
        if data.exists():
            remove_folder(before)
            os.rename(data, before)
            fsync_directory(before.parent)
        os.rename(staged, data)
        fsync_directory(data.parent)
        fsync_directory(staged.parent)


def _move_all(staged: Path, target: Path) -> None:
    """Move every folder in `staged` to `target`."""
    if not staged.exists():
        return
    with storage_errors(target):
        for folder in sorted(staged.iterdir()):
            os.rename(folder, target / folder.name)
        fsync_directory(target)


def _read(path: Path) -> Intent:
    with storage_errors(path):
        content = path.read_bytes()
    try:
        return Intent(**loads_strict(content, max_bytes=1 << 26))
    except (DataError, TypeError) as error:
        raise IntegrityError(
            f"{path} does not say how to finish the restore: {error}",
            code="restore.intent",
            hint="restore into an empty folder, with --ledger naming this workspace's ledger.db",
        ) from error
