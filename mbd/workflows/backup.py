"""A copy of a workspace that can be checked and put back: `backup.json` names every file.

The ledger is always copied into a file, also from a server, so a backup is one folder.
Receipts belong to the people and staging to a request, so neither is copied. Keys are copied
only when asked for: whoever holds them can sign, and can tell who is in which bucket.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from mbd.canonical.digest import sha256_file, sha256_hex
from mbd.canonical.json import dumps, loads_strict
from mbd.canonical.times import timestamp
from mbd.database.copying import copy_file
from mbd.errors import (
    ConflictError,
    DataError,
    IntegrityError,
    NotFoundError,
    UsageError,
    VersionError,
)
from mbd.workflows.damage import find_damage
from mbd.workflows.ledger_copy import save_ledger
from mbd.workflows.session import Session
from mbd.workspace.files import fsync_directory, fsync_file, storage_errors, write_atomically

BACKUP_FILE = "backup.json"
FORMAT = 1
LEDGER, SECRETS, KEYS = "ledger.db", "secrets.db", "keys"
FOLDERS = ("certs", "data", "models", "state")
FILES = ("mbd.toml", "trust.toml")

_MAX_BYTES = 1 << 28

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class BackupFile:
    """One file of a backup."""

    path: str
    """Relative, with slashes: where it is in a workspace too."""
    sha256: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Backup:
    """What `backup.json` says."""

    folder: Path
    workspace_id: str
    origin: str
    """Name of the log."""
    created_at: str
    ledger_size: int
    ledger_root: str
    """Root (hex) of the log at that size."""
    with_keys: bool
    files: tuple[BackupFile, ...]

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(file.size_bytes for file in self.files)

    def below(self, *tops: str) -> Iterator[BackupFile]:
        """The files in these top-level folders, or with these names."""
        return (file for file in self.files if PurePosixPath(file.path).parts[0] in tops)

    def copy(self, file: BackupFile, target: Path) -> None:
        """Copy one file to `target`, durably, and check what was written.

        Raises:
            IntegrityError: The file was altered since the backup was checked.
        """
        copy_durably(self.folder / file.path, target)
        if sha256_file(target) != file.sha256:
            raise _altered(self.folder / file.path, "it changed while it was copied")


def make_backup(
    session: Session,
    target: Path,
    *,
    with_keys: bool = False,
    progress: Progress = lambda done, total: None,
) -> Backup:
    """Copy a workspace to `target`; call it with the workspace's lock held.

    Raises:
        ConflictError: `target` exists.
        UsageError: `target` is inside the workspace.
        IntegrityError: A file of the workspace is damaged: the copy would be, too.
        StorageError: The disk refused; nothing is left behind.
    """
    with new_folder(session, target) as draft:
        return _fill(session, draft, with_keys, progress)


@contextlib.contextmanager
def new_folder(session: Session, target: Path) -> Iterator[Path]:
    """A draft to fill with copies of a sound workspace; it becomes `target` whole, or not at all.

    Raises: what `make_backup` says.
    """
    root, target = session.workspace.root, target.resolve()
    if target.exists():
        raise ConflictError(
            f"{target} exists; a backup is never overwritten",
            code="backup.exists",
            hint="choose a new folder",
        )
    if target.is_relative_to(root):
        raise UsageError(f"{target} is inside the workspace", field="DIR", hint="choose another")
    for found in find_damage(session):
        raise found.error
    session.log.publish()
    draft = target.with_name(f".{target.name}.partial")
    try:
        with storage_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(mode=0o700)
        yield draft
        with storage_errors(target):
            os.rename(draft, target)
            fsync_directory(target.parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def open_backup(folder: Path, progress: Progress = lambda done, total: None) -> Backup:
    """Read `backup.json` and every file it names.

    Raises:
        NotFoundError: There is none.
        IntegrityError: A file is missing, torn or altered; names it.
        VersionError: A newer version made it.
    """
    folder = folder.resolve()
    backup = _read(folder)
    for done, file in enumerate(backup.files):
        progress(done, len(backup.files))
        path = folder / file.path
        if path.is_symlink() or not path.is_file():
            raise _altered(path, "it is missing, or no file")
        if path.stat().st_size != file.size_bytes or sha256_file(path) != file.sha256:
            raise _altered(path, f"its digest is not the one that {BACKUP_FILE} names")
    return backup


def copy_durably(source: Path, target: Path) -> None:
    """Copy content and mode of a file, folders made as needed, and flush it."""
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        shutil.copymode(source, target)
    fsync_file(target)


def copy_all(sources: Sequence[Path], root: Path, target: Path, progress: Progress) -> None:
    """Copy files to the same places below `target` as they have below `root`."""
    for done, source in enumerate(sources):
        progress(done, len(sources))
        copy_durably(source, target / source.relative_to(root))


def flush_folders(root: Path) -> None:
    """Make every entry of every folder at and below `root` durable."""
    with storage_errors(root):
        for folder, _, _ in os.walk(root):
            fsync_directory(Path(folder))


def _fill(session: Session, draft: Path, with_keys: bool, progress: Progress) -> Backup:
    workspace, head = session.workspace, session.log.latest()
    sources = [workspace.root / name for name in FILES]
    for name in (*FOLDERS, *([KEYS] if with_keys else [])):
        sources += files_below(workspace.root / name)
    copy_all(sources, workspace.root, draft, progress)
    save_ledger(session.database, draft / LEDGER)
    copy_file(workspace.secrets_db, draft / SECRETS)
    made = Backup(
        folder=draft,
        workspace_id=session.settings.id,
        origin=session.settings.origin,
        created_at=timestamp(datetime.now(UTC)),
        ledger_size=head.size,
        ledger_root=head.root.hex(),
        with_keys=with_keys,
        files=tuple(_describe(draft, path) for path in files_below(draft)),
    )
    write_atomically(draft / BACKUP_FILE, _listing(_to_json(made)), mode=0o600)
    flush_folders(draft)
    return made


def files_below(folder: Path) -> list[Path]:
    """Every regular file below a folder, but for those that nobody finished writing."""
    found = sorted(folder.rglob("*"))
    return [
        path
        for path in found
        if path.is_file() and not path.is_symlink() and not path.name.endswith(".partial")
    ]


def _describe(draft: Path, path: Path) -> BackupFile:
    return BackupFile(
        path=path.relative_to(draft).as_posix(),
        sha256=sha256_file(path),
        size_bytes=path.stat().st_size,
    )


def _listing(body: dict[str, Any]) -> bytes:
    """The bytes of `backup.json`: there is one spelling."""
    return dumps({"format": FORMAT, "sha256": sha256_hex(dumps(body)), "body": body}) + b"\n"


def _to_json(backup: Backup) -> dict[str, Any]:
    return {
        "workspace": backup.workspace_id,
        "origin": backup.origin,
        "createdAt": backup.created_at,
        "ledger": {"size": backup.ledger_size, "root": backup.ledger_root},
        "keys": backup.with_keys,
        "files": [[file.path, file.sha256, file.size_bytes] for file in backup.files],
    }


def _read(folder: Path) -> Backup:
    path = folder / BACKUP_FILE
    if not path.is_file():
        raise NotFoundError(
            f"{folder} is no backup: it has no {BACKUP_FILE}",
            code="backup.not_found",
            hint="`mbd backup DIR` makes one",
        )
    with storage_errors(path):
        content = path.read_bytes()
    try:
        found = loads_strict(content, max_bytes=_MAX_BYTES)
        if isinstance(found["format"], int) and found["format"] > FORMAT:
            raise VersionError(f"{path} has format {found['format']}; this program reads {FORMAT}")
        if content != _listing(found["body"]):
            raise _altered(path, "its own digest differs")
        return _from_json(folder, found["body"])
    except (DataError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise _altered(path, f"it is not the list of a backup: {error}") from error


def _from_json(folder: Path, body: dict[str, Any]) -> Backup:
    return Backup(
        folder=folder,
        workspace_id=body["workspace"],
        origin=body["origin"],
        created_at=body["createdAt"],
        ledger_size=int(body["ledger"]["size"]),
        ledger_root=body["ledger"]["root"],
        with_keys=bool(body["keys"]),
        files=tuple(
            BackupFile(path=_safe(path), sha256=digest, size_bytes=size)
            for path, digest, size in body["files"]
        ),
    )


def _safe(path: str) -> str:
    """A path that stays in the folder it is put in, in a place that a backup has."""
    parts = PurePosixPath(path).parts
    known = {*FOLDERS, *FILES, LEDGER, SECRETS, KEYS}
    if PurePosixPath(*parts).as_posix() != path or ".." in parts or parts[0] not in known:
        raise DataError(f"{path!r} is no file of a backup", code="backup.path")
    return path


def _altered(path: Path, why: str) -> IntegrityError:
    return IntegrityError(
        f"{path}: {why}",
        code="backup.altered",
        field=str(path),
        hint="nothing was changed; use another backup",
    )
