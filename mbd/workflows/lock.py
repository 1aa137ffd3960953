"""One writer at a time: an advisory lock on the workspace."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mbd.errors import TemporaryError
from mbd.workspace.files import storage_errors

WAIT_SECONDS = 600.0
_POLL_SECONDS = 0.05


@contextmanager
def exclusive(path: Path, *, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold the lock at `path`; the operating system frees it when the process dies.

    Raises:
        TemporaryError: Another process held it all the time.
    """
    with storage_errors(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(handle, path, wait_seconds)
        yield
    finally:
        os.close(handle)


def _acquire(handle: int, path: Path, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise TemporaryError(
                    f"another process is changing the workspace {path.parent}",
                    code="workspace.busy",
                    hint="try again when it has finished",
                ) from error
            time.sleep(_POLL_SECONDS)
