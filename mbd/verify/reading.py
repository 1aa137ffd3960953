"""Read files that came from elsewhere: regular ones, and no more of them than is wanted."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from mbd.errors import UsageError


def read_regular(path: Path, limit: int) -> bytes:
    """The content of a regular file, cut after `limit + 1` bytes, so that too much shows.

    Anything else (a pipe, a device, a folder) is refused without waiting for it.

    Raises:
        UsageError: Not a regular file, or it cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise UsageError(f"{path}: not a regular file")
            return stream.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{path}: {reason}") from error
