"""The files of a model, as somebody else hands them over: how large each can be, and its digest."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

from mbd.canonical.digest import sha256_file
from mbd.errors import NotFoundError
from mbd.verify.model_policy import MAX_POLICY_BYTES

_MAX_HEAD_BYTES = 1 << 30
_MAX_BYTES = 1 << 33  # a core's weights


def most_bytes(path: str) -> int:
    """Bytes that the file of a model with this path in its folder can have."""
    place = PurePosixPath(path)
    if place.parent.name == "heads":
        return _MAX_HEAD_BYTES
    return MAX_POLICY_BYTES if place.suffix == ".json" else _MAX_BYTES


def file_digest(folder: Path, path: str) -> str | None:
    """SHA-256 of a file (hex); None for what is no regular file, or larger than such a one can be.

    A sparse file takes no room on the disk that it comes from, and hours to be read.

    Raises:
        OSError, StorageError: It is there and cannot be read.
    """
    place = folder / path
    try:
        status = os.lstat(place)
        if not stat.S_ISREG(status.st_mode) or status.st_size > most_bytes(path):
            return None
        return sha256_file(place)
    except (FileNotFoundError, NotADirectoryError, NotFoundError):
        return None
