"""Signers for tests: Ed25519 keys made from a number, so that runs repeat."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mbd.ledger.note import VerifierKey


@dataclass(frozen=True)
class SeededSigner:
    name: str
    seed: bytes

    @property
    def _key(self):
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @property
    def public_key(self):
        return self._key.public_key().public_bytes_raw()

    @property
    def verifier(self):
        return VerifierKey(self.name, self.public_key)

    def sign(self, data):
        return self._key.sign(data)


def signer(number=1, name="log.example/tests"):
    return SeededSigner(name, bytes([number]) * 32)
