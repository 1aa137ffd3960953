"""A folder that appears whole: it is made as a draft and moved to its place at the end."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from mbd.errors import ConflictError
from mbd.workspace.files import fsync_directory, storage_errors
from mbd.workspace.layout import SETTINGS_FILE

_DRAFT = ".mbd-draft"
"""Where it is made inside an empty folder that exists."""


def refuse_filled(target: Path) -> None:
    """Refuse a place where something is already; an empty folder is no such thing.

    Raises:
        ConflictError: There is something.
    """
    with storage_errors(target):
        exists = os.path.lexists(target)
        found = [*target.iterdir()] if target.is_dir() else [target] if exists else []
    if not found:
        return
    what = "a workspace" if (target / SETTINGS_FILE).exists() else "something"
    killed = found == [target / _DRAFT]
    raise ConflictError(
        f"{target} already holds {what}; it is never overwritten",
        code="workspace.exists",
        hint=f"a killed command left {found[0]}: delete it" if killed else "choose a new folder",
    )


def new_draft(target: Path, *, mode: int = 0o777) -> Path:
    """An empty folder on the file system of `target`: beside it, or in it where it exists.

    Raises:
        ConflictError: There is something at `target`.
        StorageError: The disk refused.
    """
    refuse_filled(target)
    if not target.exists():
        draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
        with storage_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            draft.mkdir(mode=mode)
        return draft
    draft = target / _DRAFT
    with storage_errors(target):
        draft.mkdir(mode=mode)
        alone = os.listdir(target) == [_DRAFT]
        if not alone:  # another command was faster
            draft.rmdir()
    if not alone:
        refuse_filled(target)
    return draft


def move_into_place(draft: Path, target: Path) -> None:
    """The draft becomes `target`; into a folder that was there its contents move, settings last.

    That folder itself stays: a shell may stand in it, and something may be mounted there. Until
    its settings are there it is no workspace.

    Raises:
        StorageError: The disk refused; everything is in the draft.
    """
    with storage_errors(target):
        if draft.parent == target:
            _move_contents(draft, target)
            fsync_directory(target)
        else:
            os.rename(draft, target)
            fsync_directory(target.parent)


def _move_contents(draft: Path, target: Path) -> None:
    moved = list[str]()
    try:
        for name in sorted(os.listdir(draft), key=lambda name: name == SETTINGS_FILE):
            os.rename(draft / name, target / name)
            moved.append(name)
        draft.rmdir()
    except OSError:
        for name in moved:
            os.rename(target / name, draft / name)
        raise
