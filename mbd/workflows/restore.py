"""Putting a backup back without forgetting what was revoked since.

The ledger, the secrets, the keys and the list of suppressions stay those of the workspace: they
know later revocations. Data, model and state come from the backup, and lose what was revoked
since before they are in force. Where the ledger is lost, the memory of the log outside the
workspace says whether anything came after the backup; if so, an older ledger is refused.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mbd.canonical.json import dumps
from mbd.canonical.ulid import new_ulid
from mbd.database import pointers
from mbd.database.journal import Journal
from mbd.errors import (
    ConflictError,
    IntegrityError,
    MbdError,
    NotFoundError,
    RefusedError,
    UsageError,
)
from mbd.ledger.check import check_log
from mbd.ledger.log import Log
from mbd.ledger.merkle import root_of
from mbd.ledger.queries import log_size, with_nodes
from mbd.signing.commitment import commit, new_salt
from mbd.signing.keys import check_signer
from mbd.workflows.backup import (
    FILES,
    KEYS,
    LEDGER,
    SECRETS,
    Backup,
    copy_durably,
    flush_folders,
)
from mbd.workflows.destruction import ERASURE_SCHEMA, drop_stale_keys
from mbd.workflows.key_change import follow_ledger
from mbd.workflows.ledger_copy import discard, is_there, put_ledger
from mbd.workflows.leftovers import remove_leftovers
from mbd.workflows.lock import exclusive
from mbd.workflows.reapply import (
    Staged,
    erase_doomed,
    find_doomed,
    forbidden,
    heads_to_release,
    open_staged,
    rebuild,
)
from mbd.workflows.restoration import Intent, decide, finish_restore, staged_folder
from mbd.workflows.resume import finish_interrupted
from mbd.workflows.session import Session, open_log
from mbd.workflows.snapshots import ModelSnapshot, StateSnapshot, remove_folder
from mbd.workspace.files import remove_file, storage_errors
from mbd.workspace.layout import Workspace, open_workspace
from mbd.workspace.ledger_place import Server
from mbd.workspace.new_folder import move_into_place, new_draft
from mbd.workspace.settings import load_settings

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Restored:
    """A finished restore."""

    workspace: Path
    created_at: str
    """When the backup was made."""
    entries_since: int
    """Ledger entries after the backup."""
    channels: int
    """Channels of people that were revoked since, and erased again."""
    heads: tuple[str, ...]
    """Heads that were released anew for it."""
    model: str | None


def restore_into(
    workspace: Workspace, backup: Backup, progress: Progress = lambda done, total: None
) -> Restored:
    """Put a backup back into the workspace it was made of.

    Args:
        workspace: Where; its data, model and state may be damaged.
        backup: As `open_backup` returned it.
        progress: Called with files copied and files in all.

    Raises:
        ConflictError: The backup is another workspace's.
        RefusedError: The ledger is damaged, or not a continuation of the backup's; or the
            backup's model learned what it cannot forget. Nothing was changed.
        MbdError: The disk refused: before the restore was decided nothing was changed,
            afterwards the next command finishes it.
    """
    session = Session(workspace, load_settings(workspace))
    with exclusive(workspace.lock_file):
        check_signer(session.log_key)
        finish_restore(session)
        return _restore(session, backup, progress)


def _restore(session: Session, backup: Backup, progress: Progress) -> Restored:
    if session.settings.id != backup.workspace_id:
        raise ConflictError(
            f"the backup is of workspace {backup.workspace_id}, not of {session.settings.id}",
            code="restore.other",
            field="--into",
        )
    size = check_ledger(session.log, backup)
    _finish_requests(session)
    folder = staged_folder(session.workspace)
    remove_folder(folder)
    try:
        restored = _stage(session, backup, size, progress)
    except MbdError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finish_restore(session)
    remove_leftovers(session)
    return restored


def restore_anew(
    target: Path,
    backup: Backup,
    *,
    ledger: Path | None = None,
    keys: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> Restored:
    """Make a workspace of a backup where there is none.

    Args:
        target: A new or empty folder.
        backup: As `open_backup` returned it.
        ledger: The newest `ledger.db` that was saved, if there is one newer than the backup's.
            A server that holds the workspace's ledger still has the newest: it is taken as it is.
        keys: Folder with the workspace's keys, where the backup has none.
        progress: Called with files copied and files in all.

    Raises:
        ConflictError: There is something at `target`.
        NotFoundError: No keys were given, and the backup has none.
        RefusedError: The log is known to have gone on after that ledger.
    """
    target = target.resolve()
    draft = Workspace(new_draft(target, mode=0o700))
    with contextlib.ExitStack() as undo:
        undo.callback(shutil.rmtree, draft.root, ignore_errors=True)
        restored = _assemble(draft, backup, ledger, keys, progress, undo)
        flush_folders(draft.root)
        move_into_place(draft.root, target)
        undo.pop_all()
    workspace = open_workspace(target)
    session = Session(workspace, load_settings(workspace))
    with exclusive(workspace.lock_file):
        finish_restore(session)
        session.log.publish()
        follow_ledger(session)
        remove_leftovers(session)
    return Restored(**{**vars(restored), "workspace": target})


def check_ledger(log: Log, backup: Backup) -> int:
    """The size of a log that is whole, as long as was ever signed, and goes on from a backup's.

    Raises:
        RefusedError: It is not; restoring with it could forget revocations.
    """
    try:
        with log.database.read() as connection:
            report = check_log(connection, log.verifier_key, log.memory.read())
            if not report.ok:
                raise _unusable(log.database.name, str(report.problem))
            size = log_size(connection)
            if size < backup.ledger_size:
                raise _unusable(
                    log.database.name,
                    f"it has {size} entries, the backup's had {backup.ledger_size}",
                )
            root = with_nodes(connection, lambda read: root_of(read, backup.ledger_size)).hex()
    except (IntegrityError, NotFoundError) as error:
        raise _unusable(log.database.name, error.message) from error
    if root != backup.ledger_root:
        raise _unusable(log.database.name, "it is not a continuation of the backup's")
    return size


def _unusable(name: str, why: str) -> RefusedError:
    return RefusedError(
        f"{name} cannot say what was revoked after the backup: {why}",
        code="restore.ledger",
        field=name,
        hint="find the newest ledger.db and put it there; or restore into an empty folder "
        "(--into DIR), which is allowed if nothing was logged after the backup",
    )


def _finish_requests(session: Session) -> None:
    """Finish interrupted requests; one that has staged something needs the data of before.

    One that has not is carried out on the restored data, by whatever command comes next.
    """
    try:
        finish_interrupted(session)
    except MbdError as error:
        with session.database.read() as connection:
            stuck = [one for one in Journal(connection).open_requests() if one.reached("staged")]
        if stuck:
            raise ConflictError(
                f"request {stuck[0].request_id} is {stuck[0].stage}, and cannot be finished: "
                f"{error.message}",
                code="restore.open_request",
                hint=error.hint or "mend it, and run `mbd resume`",
            ) from error


def _stage(session: Session, backup: Backup, size: int, progress: Progress) -> Restored:
    """Copy, subtract, release and erase beside the workspace; then decide."""
    workspace = session.workspace
    folder, restore_id = staged_folder(workspace), new_ulid(datetime.now(UTC))
    with storage_errors(folder):
        for name in ("data", "models", "state"):
            (folder / name).mkdir(parents=True, mode=0o700)
    wanted = list(backup.below("data", "models", "state", LEDGER))
    for done, file in enumerate(wanted):
        progress(done, len(wanted))
        backup.copy(file, folder / file.path)
    staged = open_staged(folder, session.key)
    _refuse_missing_model(session, staged)
    off = forbidden(session, backup.ledger_size)
    doomed = find_doomed(staged, off)
    heads = heads_to_release(staged, doomed)
    now = datetime.now(UTC)
    made = None
    if staged.model is not None:
        made = rebuild(staged, doomed, heads, new_ulid(now), new_ulid(now))
    erase_doomed(staged, off)
    flush_folders(folder)
    decide(workspace, _intent(restore_id, backup, staged, made))
    return Restored(
        workspace=workspace.root,
        created_at=backup.created_at,
        entries_since=size - backup.ledger_size,
        channels=len(doomed),
        heads=heads,
        model=None if made is None else made[0].model_id,
    )


def _refuse_missing_model(session: Session, staged: Staged) -> None:
    with session.database.read() as connection:
        current = pointers.get(connection, "model")
    if staged.model is None and current is not None:
        raise RefusedError(
            "the backup was made before a model was trained: nothing would fit its data",
            code="restore.no_model",
            hint="use a later backup",
        )


def _intent(
    restore_id: str,
    backup: Backup,
    staged: Staged,
    made: tuple[ModelSnapshot, StateSnapshot] | None,
) -> Intent:
    openings = {} if staged.store is None else {"datasetAfter": staged.store.root()}
    exact: set[str] = set()
    if made is not None:
        model, state = made
        openings["stateAfter"] = state.digest
        exact = {name for name in state.heads if not model.head(name).noise_steps}
    salts = {name: new_salt() for name in openings}
    entry = {
        "schema": ERASURE_SCHEMA,
        "id": restore_id,
        "reason": "restore",
        "backup": {"size": backup.ledger_size, "root": backup.ledger_root},
        "commitments": {name: commit(salts[name], name, openings[name]) for name in openings},
        "modelAfter": None if made is None else made[0].digest,
        "heads": [] if made is None else sorted(made[1].heads.keys() - exact),
        "exact": sorted(exact),
    }
    return Intent(
        restore_id=restore_id,
        model_pointer=None if made is None else made[0].to_pointer(),
        state_pointer=None if made is None else made[1].to_pointer(),
        policy_index=staged.policy_index,
        entry=dumps(entry).decode(),
        salts={name: salt.hex() for name, salt in salts.items()},
    )


def _assemble(
    draft: Workspace,
    backup: Backup,
    ledger: Path | None,
    keys: Path | None,
    progress: Progress,
    undo: contextlib.ExitStack,
) -> Restored:
    """A whole workspace at `draft`; with a newer ledger, the restore is decided in it."""
    with storage_errors(draft.root):
        for folder in draft.folders:
            folder.mkdir(mode=0o700)
    for file in backup.below(*FILES, SECRETS, "certs", KEYS):
        backup.copy(file, draft.root / file.path)
    _put_keys(draft, backup, keys)
    session = Session(draft, load_settings(draft))
    goes_on = _put_ledger(session, backup, ledger, undo)
    drop_stale_keys(session)
    log = open_log(draft, session.settings, session.database)
    if goes_on:
        return _stage(session, backup, check_ledger(log, backup), progress)
    _refuse_forgetting(log, backup)
    check_ledger(log, backup)
    wanted = list(backup.below("data", "models", "state"))
    for done, file in enumerate(wanted):
        progress(done, len(wanted))
        backup.copy(file, draft.root / file.path)
    model = session.find_model()
    return Restored(
        workspace=draft.root,
        created_at=backup.created_at,
        entries_since=0,
        channels=0,
        heads=(),
        model=None if model is None else model.model_id,
    )


def _put_keys(draft: Workspace, backup: Backup, keys: Path | None) -> None:
    for path in (draft.issuer_key, draft.log_key, draft.workspace_key):
        source = None if keys is None else keys / path.name
        if source is not None and source.is_file():
            copy_durably(source, path)
            path.chmod(0o600)
        if not path.is_file():
            raise NotFoundError(
                f"there is no {path.name}: the backup was made without keys"
                if not backup.with_keys
                else f"there is no {path.name} in the backup",
                code="restore.keys",
                field="--keys",
                hint="name the folder with the workspace's keys",
            )


def _put_ledger(
    session: Session, backup: Backup, ledger: Path | None, undo: contextlib.ExitStack
) -> bool:
    """Give the draft its ledger; True if that may be newer than the backup's.

    Raises:
        UsageError: There is one on the server, and another was given.
    """
    place, draft = session.ledger_place, session.workspace
    if isinstance(place, Server):
        if is_there(place):
            if ledger is not None:
                raise UsageError(
                    f"{place.name} still holds the ledger of this workspace, and it is the newest",
                    field="--ledger",
                    hint="leave --ledger out",
                )
            return True
        undo.callback(discard, place)
    source = draft.staging / f"backup-{LEDGER}"
    for file in backup.below(LEDGER):
        backup.copy(file, source)
    put_ledger(source if ledger is None else ledger.resolve(), place, draft.staging)
    remove_file(source)
    return ledger is not None


def _refuse_forgetting(log: Log, backup: Backup) -> None:
    """Refuse an old ledger where this machine remembers a longer log.

    Raises:
        RefusedError: Entries are known to be missing.
    """
    signed = log.remembered()
    if signed is None or signed.size <= backup.ledger_size:
        return
    lost = signed.size - backup.ledger_size
    raise RefusedError(
        f"{lost} ledger entries were signed after this backup (it has {backup.ledger_size} of "
        f"{signed.size}): revocations among them would be forgotten, and their channels served",
        code="restore.forgets",
        field="--ledger",
        hint="find the newest ledger.db and name it with --ledger FILE; the suppressions in it "
        "are then applied to the restored data",
    )
