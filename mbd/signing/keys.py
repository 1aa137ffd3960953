"""Private keys: in memory, or in a PKCS#8 PEM file that only its owner can read.

An encrypted file begins with its public half in the clear, so that whoever only reads (a log's
name, a key id) is not asked for a passphrase; it is decrypted when something is to be signed.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from mbd.errors import ConflictError, DataError, IntegrityError, NotFoundError
from mbd.signing.passphrase import PASSPHRASE, Ask, LockedError
from mbd.signing.pkcs8 import encrypted_pem
from mbd.signing.public import Algorithm, PublicKey, pem_key, public_key
from mbd.workspace.files import storage_errors, write_atomically

_BLOCK = re.compile(rb"-----BEGIN ([A-Z ]+)-----\n.*?\n-----END \1-----\n?", re.DOTALL)
_PUBLIC, _ENCRYPTED = b"PUBLIC KEY", b"ENCRYPTED PRIVATE KEY"
_PROBE = b"mbd: can this key be used?"
"""No note, which ends with a newline, and no DSSE encoding, which begins with its version."""


class Signer(Protocol):
    """Whatever can sign: a key file, a token, a service. One method, and the public key."""

    @property
    def public(self) -> PublicKey:
        """The key that verifies what `sign` makes; asks for no passphrase."""

    def sign(self, data: bytes) -> bytes:
        """64 bytes for Ed25519; for ECDSA over SHA-256 a DER sequence, not raw r and s.

        Raises:
            LockedError: The key is locked, and nothing or the wrong thing was said to open it.
        """


@dataclass(frozen=True)
class SigningKey:
    """A private key in memory; a `Signer`."""

    private: Ed25519PrivateKey | EllipticCurvePrivateKey

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id})"

    @cached_property
    def public(self) -> PublicKey:
        """The key that verifies what this one signs."""
        return public_key(
            self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )

    @property
    def key_id(self) -> str:
        """The key id of the public half."""
        return self.public.key_id

    def sign(self, data: bytes) -> bytes:
        """64 bytes for Ed25519, a DER sequence for ECDSA."""
        if isinstance(self.private, Ed25519PrivateKey):
            return self.private.sign(data)
        return self.private.sign(data, ECDSA(SHA256()))

    def save(self, path: Path, passphrase: bytes | None = None) -> None:
        """Write PKCS#8 PEM that only the owner can read; never over another key.

        Args:
            path: The file.
            passphrase: Encrypt under it (PBES2), if there is one.

        Raises:
            ConflictError: There is a file already.
            StorageError: The disk refused.
        """
        if path.exists():
            raise ConflictError(f"{path} exists: a key is never overwritten", code="key.exists")
        write_atomically(path, self.pem(passphrase), mode=0o600)

    def pem(self, passphrase: bytes | None = None) -> bytes:
        """What `save` writes."""
        if passphrase is None:
            return self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        plain = self.private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return self.public.pem.encode() + encrypted_pem(plain, passphrase)


@dataclass(frozen=True)
class LockedKey:
    """A private key in an encrypted file, decrypted at its first signature; a `Signer`."""

    path: Path
    public: PublicKey
    """As the file says; believed only after it was decrypted."""
    _pem: bytes = field(repr=False)
    _ask: Ask = field(repr=False)

    @cached_property
    def _opened(self) -> SigningKey:
        key = _decrypt(self.path, self._pem, self._ask)
        if key.public != self.public:
            raise IntegrityError(
                f"{self.path}: its public half belongs to another key", code="key.mismatch"
            )
        return key

    def sign(self, data: bytes) -> bytes:
        """As `SigningKey.sign`; asks for the passphrase the first time.

        Raises:
            LockedError: There is no passphrase (`key.locked`), or it is wrong
                (`key.passphrase`).
        """
        return self._opened.sign(data)


def generate_key(algorithm: Algorithm = "ed25519") -> SigningKey:
    """A fresh key from the operating system's entropy."""
    if algorithm == "ed25519":
        return SigningKey(Ed25519PrivateKey.generate())
    return SigningKey(generate_private_key(SECP256R1()))


def check_signer(signer: Signer) -> None:
    """Return if a signer can sign now, and what it signs verifies with its public key.

    Raises:
        LockedError: The key is locked.
        SignatureError: The two halves do not belong together.
    """
    signer.public.verify(_PROBE, signer.sign(_PROBE))


def load_key(path: Path, ask: Ask = PASSPHRASE.ask) -> SigningKey | LockedKey:
    """Read a key that `SigningKey.save` wrote, or another PKCS#8 PEM of an allowed kind.

    Args:
        path: The file.
        ask: Where the passphrase of an encrypted file comes from; not asked before the first
            signature, unless the file lacks its public half.

    Raises:
        NotFoundError: There is no such file.
        IntegrityError: Group or others may read it (`key.permissions`), or it is not an
            Ed25519 or P-256 key (`key.invalid`).
    """
    if not path.is_file():
        raise NotFoundError(f"{path}: no such key file", code="key.not_found")
    with storage_errors(path):
        mode = stat.S_IMODE(path.stat().st_mode)
        content = path.read_bytes()
    if mode & 0o077:
        raise IntegrityError(
            f"{path} has mode {mode:04o}: a signing key is for its owner only",
            code="key.permissions",
            hint=f"run `chmod 600 {path}`, and replace the key if others may have read it",
        )
    blocks = {found[1]: found[0] for found in _BLOCK.finditer(content)}
    if _ENCRYPTED not in blocks:
        return _parse(path, blocks.get(b"PRIVATE KEY", content), None)
    locked = blocks[_ENCRYPTED]
    if _PUBLIC not in blocks:
        return _decrypt(path, locked, ask)
    try:
        return LockedKey(path, pem_key(blocks[_PUBLIC]), locked, ask)
    except DataError as error:
        raise IntegrityError(f"{path}: {error.message}", code="key.invalid") from error


def _decrypt(path: Path, pem: bytes, ask: Ask) -> SigningKey:
    try:
        return _parse(path, pem, ask(str(path)))
    except IntegrityError as error:
        if error.code != "key.decrypt":
            raise
        raise LockedError(
            f"{path}: the passphrase does not open it",
            code="key.passphrase",
            hint=f"it was taken from {PASSPHRASE.sources}",
        ) from error


def _parse(path: Path, pem: bytes, passphrase: bytes | None) -> SigningKey:
    try:
        private = load_pem_private_key(pem, password=passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        code = "key.invalid" if passphrase is None else "key.decrypt"
        raise IntegrityError(f"{path}: not a key file: {error}", code=code) from error
    if isinstance(private, Ed25519PrivateKey) or (
        isinstance(private, EllipticCurvePrivateKey) and isinstance(private.curve, SECP256R1)
    ):
        return SigningKey(private)
    raise IntegrityError(f"{path}: want an Ed25519 or P-256 key", code="key.invalid")
