"""Settings files: read without trusting whoever wrote them.

Commands look for `mbd.toml` here and in every folder above, also where somebody else's files
were unpacked; so it is read like a stranger's.
"""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from typing import Any

from mbd.errors import MbdError

MAX_BYTES = 1 << 17
"""Far more than any settings file has."""
_MAX_DOTS = 100
"""In a line: a parser needs time with the square of a dotted key."""


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        FileNotFoundError: There is none.
        MbdError: Not a regular file, too large, or not TOML (`settings.invalid`).
    """
    content = _read(path)
    if len(content) > MAX_BYTES:
        raise _invalid(path, f"larger than {MAX_BYTES} bytes")
    if any(line.count(b".") > _MAX_DOTS for line in content.split(b"\n")):
        raise _invalid(path, f"a line with more than {_MAX_DOTS} dots")
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, or beyond its parser
        raise _invalid(path, f"not TOML: {error}") from error


def _read(path: Path) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise _invalid(path, "not a regular file")
            return stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _invalid(path, error.strerror or str(error)) from error


def _invalid(path: Path, detail: str) -> MbdError:
    return MbdError(f"{path}: {detail}", code="settings.invalid")
