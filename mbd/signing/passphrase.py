"""Where a passphrase or PIN comes from: a variable, a file, or somebody at a terminal.

Never a command line: those end up in histories and in the list of processes.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mbd.errors import MbdError
from mbd.workspace.files import storage_errors

Ask = Callable[[str], bytes]
"""From the name of what is locked to what opens it."""

MAX_BYTES = 1024


class LockedError(MbdError):
    """What would open a key is missing (`key.locked`) or wrong (`key.passphrase`)."""

    code = "key.locked"
    exit_code = 5


@dataclass(frozen=True)
class SecretSource:
    """Looks for one kind of secret."""

    what: str
    """Like 'passphrase'."""
    variable: str
    """Environment variable with the secret; with `_FILE` appended, with the path of a file."""

    @property
    def sources(self) -> str:
        """Where it is looked for, in words."""
        return f"{self.variable}, {self.variable}_FILE, or a prompt"

    def ask(self, locked: str) -> bytes:
        """The secret that opens `locked`.

        Raises:
            LockedError: There is none, and nobody to ask (`key.locked`).
            StorageError: The file with it cannot be read.
        """
        return self._given() or self._prompted(
            f"{self.what[0].upper()}{self.what[1:]} for {locked}: "
        )

    def choose(self, locked: str) -> bytes:
        """A new secret; whoever types it does so twice.

        Raises:
            LockedError: There is none, nobody to ask, or the two differ.
        """
        given = self._given()
        if given is not None:
            return given
        first = self._prompted(f"A new {self.what} for {locked}: ")
        if self._prompted("Once more: ") != first:
            raise LockedError(f"the two {self.what}s differ", code="key.passphrase")
        return first

    def _given(self) -> bytes | None:
        """From the environment; None if that says nothing."""
        if self.variable in os.environ:
            return self._checked(os.environb[self.variable.encode()], self.variable)
        name = os.environ.get(f"{self.variable}_FILE")
        if name is None:
            return None
        path = Path(name)
        with storage_errors(path), path.open("rb") as stream:
            return self._checked(stream.read(MAX_BYTES + 2).removesuffix(b"\n"), name)

    def _prompted(self, prompt: str) -> bytes:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise LockedError(
                f"a {self.what} is needed, and nobody is here to ask",
                code="key.locked",
                hint=f"set {self.variable}, or {self.variable}_FILE to the path of a file with it",
            )
        return self._checked(getpass.getpass(prompt).encode(), "the prompt")

    def _checked(self, secret: bytes, source: str) -> bytes:
        if not 0 < len(secret) <= MAX_BYTES:
            raise LockedError(
                f"{source}: want a {self.what} of 1 to {MAX_BYTES} bytes", code="key.passphrase"
            )
        return secret


PASSPHRASE = SecretSource("passphrase", "MBD_KEY_PASSPHRASE")
"""Opens encrypted key files."""
PIN = SecretSource("PIN", "MBD_PKCS11_PIN")
"""Opens tokens."""
