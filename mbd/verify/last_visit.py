"""What a verifier remembers of a log: the newest signed checkpoint that it has verified.

It lives in the verifier's own state directory, where nobody who hands over certificates can
reach it. Whoever remembers nothing can be shown a history made for him alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mbd.canonical.digest import sha256_hex
from mbd.errors import ConflictError, UsageError
from mbd.ledger.last_signed import Memory
from mbd.ledger.note import MAX_NOTE_BYTES
from mbd.verify.reading import read_regular
from mbd.verify.trusted import TrustedLog
from mbd.workspace.layout import state_home


@dataclass(frozen=True)
class Recalled:
    """What was found in a memory."""

    note: bytes | None = None
    """The signed checkpoint, not yet checked; None on the first visit."""
    problem: str | None = None
    """Why there may be something that cannot be read."""


def default_path(log: TrustedLog) -> Path:
    """The memory of the log with this key."""
    return state_home() / "verifiers" / sha256_hex(str(log.key).encode())


def recall(path: Path) -> Recalled:
    """What is remembered; a file that cannot be read is a problem, not an empty memory."""
    try:
        path.lstat()
        return Recalled(read_regular(path, MAX_NOTE_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return Recalled()
    except OSError as error:
        return Recalled(problem=f"{path}: {error.strerror or error}")
    except UsageError as error:
        return Recalled(problem=error.message)


def remember(path: Path, before: Recalled, note: str) -> None:
    """Replace what was recalled by a checkpoint that was proved consistent with it.

    Raises:
        ConflictError: Another verification remembered something else meanwhile.
        StorageError: The disk refused; the old memory is untouched.
    """
    memory = Memory(path)
    with memory.locked():
        if recall(path) != before:
            raise ConflictError(
                f"{path}: another verification changed it meanwhile", code="memory.changed"
            )
        memory.write(note)
