"""What goes wrong, and when: a fault as one line of text, and the shim that brings it about."""

from __future__ import annotations

import ctypes
import errno
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")

KINDS = {
    name: 1 << bit
    for bit, name in enumerate(
        ("write", "fsync", "rename", "unlink", "create", "mkdir", "truncate", "open", "read")
    )
}
"""Calls that are counted, as shim.c numbers them."""

GROUPS = {
    **KINDS,
    "change": sum(KINDS[name] for name in KINDS if name not in ("open", "read")),
    "grow": sum(KINDS[name] for name in ("write", "create", "mkdir", "truncate")),
}

ACTIONS = {
    "kill": (1, 0),
    "tear": (2, 0),
    "stop": (3, 0),
    "enospc": (4, errno.ENOSPC),
    "eio": (4, errno.EIO),
}
"""What happens, as shim.c numbers it, and the error of a call that fails."""

ENDING = ("kill", "tear")
"""After these the process is no more."""

_SYNTAX = re.compile(
    r"(?P<action>[a-z]+)@(?P<call>[a-z]+):(?P<number>\d+)(?P<on>\+?)(:(?P<part>.+))?"
)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault. As text: `kill@fsync:17`, `enospc@grow:30+`, `eio@fsync:2:ledger.db`.

    The 17th flush kills the process; from the 30th call on that needs room there is none; the
    second flush of a file whose path holds `ledger.db` fails.
    """

    action: str
    call: str
    """A kind of call, or a group of kinds."""
    number: int
    """Which call strikes, from 1; 0 for none: calls are only counted."""
    lasting: bool = False
    """Every call from there on."""
    part: str = ""
    """Only calls whose path holds this count."""

    def __post_init__(self) -> None:
        if self.action not in ACTIONS or self.call not in GROUPS or self.number < 0:
            raise ValueError(f"no such fault: {self}")

    @classmethod
    def parse(cls, text: str) -> Fault:
        """The fault that `str` made this text of.

        Raises:
            ValueError: It is no fault.
        """
        found = _SYNTAX.fullmatch(text)
        if found is None:
            raise ValueError(f"want ACTION@CALL:NUMBER[+][:PART], got {text!r}")
        return cls(
            action=found["action"],
            call=found["call"],
            number=int(found["number"]),
            lasting=bool(found["on"]),
            part=found["part"] or "",
        )

    def __str__(self) -> str:
        on, part = "+" if self.lasting else "", f":{self.part}" if self.part else ""
        return f"{self.action}@{self.call}:{self.number}{on}{part}"

    def arm(self, root: Path, trace: int = -1) -> None:
        """Let this process have the fault, in files below `root`. The shim must be loaded.

        Args:
            root: The folder.
            trace: A descriptor that gets one line per counted call; -1 for none.
        """
        action, failure = ACTIONS[self.action]
        ctypes.CDLL(None).fault_arm(
            str(root).encode(),
            GROUPS[self.call],
            self.part.encode(),
            action,
            failure,
            ctypes.c_long(self.number),
            int(self.lasting),
            trace,
        )


COUNT = Fault(action="stop", call="change", number=0)
"""Strikes never; with a trace, every change is written down."""


def compiler() -> str | None:
    """The C compiler of this machine, if it has one."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def build_shim(folder: Path) -> Path:
    """Compile the shim into `folder`.

    Raises:
        RuntimeError: There is no compiler, or it refuses.
    """
    found = compiler()
    if found is None:
        raise RuntimeError("no C compiler here: the shim that brings faults about cannot be built")
    shim = folder / "shim.so"
    command = [found, "-O2", "-shared", "-fPIC", "-o", str(shim), str(SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{SOURCE.name} does not compile:\n{done.stderr}")
    return shim
