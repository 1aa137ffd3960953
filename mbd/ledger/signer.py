"""From a key file to the named key that signs checkpoints."""

from __future__ import annotations

from dataclasses import dataclass

from mbd.ledger.note import VerifierKey
from mbd.signing.keys import Signer


@dataclass(frozen=True)
class LogSigner:
    """The log's key under the log's name; a `NoteSigner`."""

    name: str
    key: Signer

    @property
    def public_key(self) -> bytes:
        """Raw public key, 32 bytes."""
        return self.key.public.raw

    def sign(self, data: bytes) -> bytes:
        """Ed25519 signature of `data`, 64 bytes."""
        return self.key.sign(data)


def log_signer(origin: str, key: Signer) -> LogSigner:
    """The signer of the log called `origin`.

    Raises:
        DataError: The key is not Ed25519, or the name cannot name a key.
    """
    signer = LogSigner(origin, key)
    VerifierKey(origin, signer.public_key)
    return signer
