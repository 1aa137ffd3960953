"""What a log's signer remembers outside the database: the last checkpoint it signed.

A database that was restored from a backup knows nothing of what was signed since; signing its
next checkpoint would fork the log. So the memory lives in the state directory of the user,
where no restored workspace overwrites it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mbd.canonical.digest import sha256_hex
from mbd.ledger.note import NoteSigner, VerifierKey
from mbd.workspace.files import storage_errors, write_atomically
from mbd.workspace.layout import state_home


def default_path(signer: NoteSigner) -> Path:
    """The memory's file for this log name and key."""
    return path_of(VerifierKey(signer.name, signer.public_key))


def path_of(key: VerifierKey) -> Path:
    """The same for whoever knows the public key only."""
    name = sha256_hex(key.name.encode() + b"\n" + key.public_key)
    return state_home() / "logs" / name


@dataclass(frozen=True)
class Memory:
    """The last signed note of one log, in a file of its own."""

    path: Path

    def read(self) -> str | None:
        """The last note that was signed; None if this machine never signed one."""
        with storage_errors(self.path):
            try:
                return self.path.read_text("utf-8", errors="replace")
            except FileNotFoundError:
                return None

    def write(self, note: str) -> None:
        """Remember a note, durably, before anybody can see it."""
        write_atomically(self.path, note.encode(), mode=0o600)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other signer of this log waiting, also one on a copy of the database."""
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = self.path.with_name(f"{self.path.name}.lock")
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
