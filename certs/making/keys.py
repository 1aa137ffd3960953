"""Keys that belong to nobody: their private halves are the SHA-256 of a sentence.

They sign the same bytes the same way every time, ECDSA too (RFC 6979), so that the examples
can be made again byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mbd.ledger.note import VerifierKey
from mbd.signing.public import PublicKey, public_key


@dataclass(frozen=True)
class ExampleKey:
    """A private key; a `Signer`."""

    private: Ed25519PrivateKey | EllipticCurvePrivateKey

    @cached_property
    def public(self) -> PublicKey:
        key = self.private.public_key()
        return public_key(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    def sign(self, data: bytes) -> bytes:
        if isinstance(self.private, Ed25519PrivateKey):
            return self.private.sign(data)
        return self.private.sign(data, ECDSA(SHA256(), deterministic_signing=True))


@dataclass(frozen=True)
class LogKey:
    """A named key that signs checkpoints; a `NoteSigner`."""

    name: str
    key: ExampleKey

    @property
    def public_key(self) -> bytes:
        return self.key.public.raw

    @property
    def vkey(self) -> VerifierKey:
        return VerifierKey(self.name, self.public_key)

    def sign(self, data: bytes) -> bytes:
        return self.key.sign(data)


def _seed(sentence: str) -> bytes:
    return sha256(sentence.encode()).digest()


def ed25519(sentence: str) -> ExampleKey:
    return ExampleKey(Ed25519PrivateKey.from_private_bytes(_seed(sentence)))


def p256(sentence: str) -> ExampleKey:
    return ExampleKey(derive_private_key(int.from_bytes(_seed(sentence), "big"), SECP256R1()))


ORIGIN = "ledger.example/2026"
NAME = "Example Clinic"

ISSUER = ed25519("mbd example issuer")
SECOND = p256("mbd example issuer, second key")
"""Of the same issuer, ECDSA P-256."""
OTHER_ISSUER = ed25519("mbd example issuer, another clinic")
STRANGER = ed25519("mbd example stranger")
"""In no trust file."""
LOG = LogKey(ORIGIN, ed25519("mbd example log"))
FALSE_LOG = LogKey(ORIGIN, ed25519("mbd example log, not the real one"))
OTHER_LOG = LogKey("other.example/2026", ed25519("mbd example log, elsewhere"))

WITNESSES = tuple(
    LogKey(f"witness.example/{name}", ed25519(f"mbd example witness {name}"))
    for name in ("east", "north", "south")
)
"""They sign checkpoints of the log with a time of theirs."""
