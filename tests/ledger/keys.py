"""Signers for tests: Ed25519 keys made from a number, so that runs repeat."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mbd.canonical.digest import b64encode
from mbd.ledger.note import VerifierKey
from mbd.signing.keys import generate_key


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


def trust_text(log_key):
    """A trust file that believes the log with this verifier key, and some issuer."""
    issuer = generate_key().public
    return (
        f'[[issuer]]\nname = "i"\nkeyId = "{issuer.key_id}"\n'
        f'publicKey = "{b64encode(issuer.der)}"\n\n'
        f'[log]\norigin = "{log_key.name}"\nvkey = "{log_key}"\n'
    )
