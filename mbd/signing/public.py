"""Public keys: Ed25519, or ECDSA over P-256 with SHA-256 and DER signatures.

A public key is named by its key id: the SHA-256 of its DER SubjectPublicKeyInfo, as hex.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, get_args

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from mbd.canonical.digest import sha256_hex
from mbd.errors import DataError, IntegrityError

Algorithm = Literal["ed25519", "ecdsa-p256"]
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)

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
    def fingerprint(self) -> str:
        """The key id as people read it to each other: 16 groups of 4 hex digits."""
        return " ".join(self.key_id[i : i + 4] for i in range(0, 64, 4))

    @property
    def pem(self) -> str:
        """The key as PEM (RFC 7468, section 13)."""
        key = load_der_public_key(self.der)
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

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
        key = _loaded(self.der)
        try:
            if isinstance(key, Ed25519PublicKey):
                key.verify(signature, data)
            elif isinstance(key, EllipticCurvePublicKey):
                key.verify(signature, data, ECDSA(SHA256()))
        except InvalidSignature as error:
            raise SignatureError(f"the signature by key {self.key_id} does not hold") from error


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


def pem_key(pem: bytes) -> PublicKey:
    """A public key from PEM; refuses what `public_key` refuses."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise DataError(f"not a public key: {error}", code="key.invalid") from error
    return public_key(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


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


@lru_cache(maxsize=64)
def _loaded(der: bytes) -> PublicKeyTypes:
    """The key of the library; a verifier asks the same few keys again and again."""
    return load_der_public_key(der)


def _check_point(raw: bytes) -> None:
    """Refuse low-order points and y coordinates that are not reduced (RFC 8032, 5.1.3)."""
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    if y >= _P or y in _LOW_ORDER_Y:
        raise DataError("an Ed25519 key of low order or not reduced", code="key.low_order")
