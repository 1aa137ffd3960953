"""A command at a terminal, with somebody who types."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

SECONDS = 120.0


def typed(
    cwd: Path, arguments: Sequence[str], answers: Sequence[tuple[str, str]]
) -> tuple[int, str]:
    """Run `mbd` at a terminal of its own.

    Args:
        cwd: Where.
        arguments: The command line.
        answers: What to wait for, and what to type then, in order.

    Returns:
        Exit code, and all that the terminal showed.
    """
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(cwd)
        os.execv(sys.executable, [sys.executable, "-m", "mbd", *arguments])
    shown, left, end = "", list(answers), time.monotonic() + SECONDS
    try:
        while True:
            ready, _, _ = select.select([terminal], [], [], 1.0)
            if time.monotonic() > end:
                os.kill(child, signal.SIGKILL)
                raise AssertionError(f"it waits for something: {shown}")
            if not ready:
                continue
            try:
                part = os.read(terminal, 4096)
            except OSError:  # the child closed its side
                break
            if not part:
                break
            shown += part.decode("utf-8", "replace")
            if left and left[0][0] in shown:
                os.write(terminal, left.pop(0)[1].encode() + b"\n")
    finally:
        os.close(terminal)
        _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), shown
