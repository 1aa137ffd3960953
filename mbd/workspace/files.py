"""Durable file operations: write beside, fsync, rename, fsync the folder."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import repeat
from pathlib import Path

from mbd.errors import ConflictError, StorageError

_WAITING = 8  # threads
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says about `path` into our error."""
    try:
        yield
    except OSError as error:
        full = error.errno in _FULL
        raise StorageError(
            f"{path}: {error.strerror or error}",
            code="storage.full" if full else "storage",
            hint="free some space, then run `mbd resume`" if full else None,
        ) from error


def fsync_directory(directory: Path) -> None:
    """Make renames and unlinks inside `directory` durable."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(
    path: Path, content: bytes | Iterable[bytes | memoryview], *, mode: int = 0o644
) -> None:
    """Replace `path` by `content`: a reader sees the old bytes or the new, never a part.

    Pieces are written one after the other, so that nobody has to join large ones.

    Raises:
        StorageError: The disk refused; the old file, if any, is untouched.
    """
    _replace(path, content, mode)
    with storage_errors(path):
        fsync_directory(path.parent)


def refuse_existing(path: Path, *, field: str | None = None) -> None:
    """Refuse to write where something is, or where there is no folder; ask before long work.

    Args:
        path: The file that somebody named for an output.
        field: The option that named it.

    Raises:
        ConflictError: Something is there, were it only a link to nowhere.
        StorageError: The folder is missing.
    """
    if os.path.lexists(path):
        raise ConflictError(
            f"{path} exists", code="export.exists", field=field, hint="name another file"
        )
    if not path.parent.is_dir():
        raise StorageError(f"{path}: there is no folder {path.parent}", field=field)


def write_new(
    path: Path,
    content: bytes | Iterable[bytes | memoryview],
    *,
    mode: int = 0o644,
    field: str | None = None,
) -> None:
    """Write a file that is not there yet; it appears complete or not at all.

    Every output that somebody names goes through here: a name typed in haste is that of a key
    or of a ledger, and there is no other copy of it.

    Raises:
        ConflictError: Something is there.
        StorageError: The disk refused.
    """
    refuse_existing(path, field=field)
    write_atomically(path, content, mode=mode)


def write_all_atomically(files: Mapping[Path, bytes], *, mode: int = 0o644) -> None:
    """The same for many files: each appears whole; all are durable at the end.

    Waiting for the disk is most of the work, so several wait at a time.

    Raises:
        StorageError: The disk refused one; others may have been replaced.
    """
    from concurrent.futures import ThreadPoolExecutor  # not for those who write one file

    with ThreadPoolExecutor(_WAITING) as pool:
        list(pool.map(_replace, files, files.values(), repeat(mode)))
    for folder in sorted({path.parent for path in files}):
        with storage_errors(folder):
            fsync_directory(folder)


def _replace(path: Path, content: bytes | Iterable[bytes | memoryview], mode: int) -> None:
    partial = path.with_name(f".{path.name}.partial")
    with storage_errors(path):
        try:
            handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
            with os.fdopen(handle, "wb") as stream:
                stream.writelines([content] if isinstance(content, bytes) else content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(partial, path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise


def fsync_file(path: Path) -> None:
    """Make the content of a file that another library wrote durable."""
    with storage_errors(path):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_file(path: Path) -> None:
    """Unlink durably; a file that is gone already is fine."""
    with storage_errors(path):
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            fsync_directory(path.parent)
