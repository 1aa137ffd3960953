"""Signing keys: Ed25519 by default, ECDSA over P-256 (SHA-256, DER signatures) allowed.

A key on disk is PKCS#8 PEM that only its owner can read. A public key is named by its key
id: the SHA-256 of its DER SubjectPublicKeyInfo, as hex.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

from mbd.canonical.digest import sha256_hex
from mbd.errors import ConflictError, DataError, IntegrityError, NotFoundError
from mbd.workspace.files import storage_errors, write_atomically

Algorithm = Literal["ed25519", "ecdsa-p256"]

_P = 2**255 - 19
_Y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_LOW_ORDER_Y = frozenset({0, 1, _P - 1, _Y8, _P - _Y8})
"""The y coordinates of the eight points of edwards25519 whose order divides 8."""


class SignatureError(IntegrityError):
    """A signature that does not hold."""

    code = "sig.invalid"


@dataclass(frozen=True)
class PublicKey:
    """A public key that may verify signatures; made by `public_key` or `ed25519_key`."""

    der: bytes
    """SubjectPublicKeyInfo, the one encoding of this key."""
    algorithm: Algorithm

    @cached_property
    def key_id(self) -> str:
        """SHA-256 of the DER, 64 hex digits."""
        return sha256_hex(self.der)

    @property
    def raw(self) -> bytes:
        """The 32 bytes of an Ed25519 key, as C2SP notes carry them."""
        if self.algorithm != "ed25519":
            raise DataError(f"an {self.algorithm} key has no raw form", code="key.invalid")
        return self.der[-32:]

    def verify(self, data: bytes, signature: bytes) -> None:
        """Return if `signature` over `data` was made by the holder of this key.

        Raises:
            SignatureError: It was not.
        """
        key = load_der_public_key(self.der)
        try:
            if isinstance(key, Ed25519PublicKey):
                key.verify(signature, data)
            elif isinstance(key, EllipticCurvePublicKey):
                key.verify(signature, data, ECDSA(SHA256()))
        except InvalidSignature as error:
            raise SignatureError(f"the signature by key {self.key_id} does not hold") from error


class Signer(Protocol):
    """Whatever can sign: a key file here, perhaps a hardware module elsewhere."""

    @property
    def public(self) -> PublicKey: ...

    @property
    def key_id(self) -> str: ...

    def sign(self, data: bytes) -> bytes: ...


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

    def save(self, path: Path) -> None:
        """Write PKCS#8 PEM that only the owner can read; never over another key.

        Raises:
            ConflictError: There is a file already.
            StorageError: The disk refused.
        """
        if path.exists():
            raise ConflictError(f"{path} exists: a key is never overwritten", code="key.exists")
        pem = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_atomically(path, pem, mode=0o600)


def generate_key() -> SigningKey:
    """A fresh Ed25519 key from the operating system's entropy."""
    return SigningKey(Ed25519PrivateKey.generate())


def load_key(path: Path) -> SigningKey:
    """Read a key that `SigningKey.save` wrote, or another PKCS#8 PEM of an allowed kind.

    Raises:
        NotFoundError: There is no such file.
        IntegrityError: Group or others may read it (`key.permissions`), or it is not an
            unencrypted Ed25519 or P-256 key (`key.invalid`).
    """
    if not path.is_file():
        raise NotFoundError(f"{path}: no such key file", code="key.not_found")
    with storage_errors(path):
        mode = stat.S_IMODE(path.stat().st_mode)
        pem = path.read_bytes()
    if mode & 0o077:
        raise IntegrityError(
            f"{path} has mode {mode:04o}: a signing key is for its owner only",
            code="key.permissions",
            hint=f"run `chmod 600 {path}`, and replace the key if others may have read it",
        )
    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IntegrityError(f"{path}: not a key file: {error}", code="key.invalid") from error
    if isinstance(private, Ed25519PrivateKey) or (
        isinstance(private, EllipticCurvePrivateKey) and isinstance(private.curve, SECP256R1)
    ):
        return SigningKey(private)
    raise IntegrityError(f"{path}: want an Ed25519 or P-256 key", code="key.invalid")


def public_key(der: bytes) -> PublicKey:
    """A public key from its DER SubjectPublicKeyInfo.

    Raises:
        DataError: Another algorithm or curve, a second encoding of the same key, or an
            Ed25519 point of low order: such a key accepts signatures nobody made.
    """
    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise DataError(f"not a public key: {error}", code="key.invalid") from error
    if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != der:
        raise DataError("a public key in a non-canonical encoding", code="key.invalid")
    if isinstance(key, Ed25519PublicKey):
        _check_point(key.public_bytes(Encoding.Raw, PublicFormat.Raw))
        return PublicKey(der, "ed25519")
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return PublicKey(der, "ecdsa-p256")
    raise DataError("want an Ed25519 or P-256 public key", code="key.invalid")


def ed25519_key(raw: bytes) -> PublicKey:
    """A public key from the 32 bytes of RFC 8032; refuses what `public_key` refuses."""
    try:
        key = Ed25519PublicKey.from_public_bytes(raw)
    except ValueError as error:
        raise DataError(f"not an Ed25519 key: {error}", code="key.invalid") from error
    return public_key(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def verify_signature(public: PublicKey, data: bytes, signature: bytes) -> None:
    """Return if `signature` over `data` is by `public`; `SignatureError` if not."""
    public.verify(data, signature)


def _check_point(raw: bytes) -> None:
    """Refuse low-order points and y coordinates that are not reduced (RFC 8032, 5.1.3)."""
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    if y >= _P or y in _LOW_ORDER_Y:
        raise DataError("an Ed25519 key of low order or not reduced", code="key.low_order")
