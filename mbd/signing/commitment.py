"""Commitments: values that a certificate fixes without showing them.

Every input is length-prefixed and starts with the purpose, so no two uses of a key or salt
can be mistaken for each other. HMAC-SHA256 hides under a 256-bit key and binds because two
openings of one commitment would be a collision of SHA-256.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mbd.errors import DataError

SALT_BYTES = 32

_SUBJECT_KEY = "urn:mbd:subject-key:v1"
_SUBJECT = "urn:mbd:subject-commitment:v1"
_DIGEST = "urn:mbd:digest-commitment:v1"


def new_salt() -> bytes:
    """32 bytes from the operating system's entropy."""
    return secrets.token_bytes(SALT_BYTES)


def commit(salt: bytes, kind: str, digest: str) -> str:
    """Commit to a digest as the `kind` it is (e.g. 'stateAfter'): 64 hex digits."""
    return _hmac(salt, _DIGEST, kind, digest)


def subject_key(secret: bytes, certificate_id: str) -> bytes:
    """The key under which one certificate commits to a subject (RFC 5869), 32 bytes.

    Only this key is handed to the subject: it opens one certificate, and neither the
    per-subject secret nor the keys of other certificates follow from it.
    """
    _check_key(secret)
    info = _framed(_SUBJECT_KEY, certificate_id)
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret)


def subject_commitment(key: bytes, certificate_id: str, subject: str) -> str:
    """Commit to a subject under its `subject_key` for this certificate: 64 hex digits."""
    return _hmac(key, _SUBJECT, certificate_id, subject)


def _hmac(key: bytes, *parts: str) -> str:
    _check_key(key)
    return hmac.new(key, _framed(*parts), hashlib.sha256).hexdigest()


def _check_key(key: bytes) -> None:
    if len(key) != SALT_BYTES:
        raise DataError(f"want {SALT_BYTES} bytes of key or salt, got {len(key)}", code="salt")


def _framed(*parts: str) -> bytes:
    """Each part behind the length of its UTF-8 form, 8 bytes big-endian."""
    encoded = (part.encode() for part in parts)
    return b"".join(len(part).to_bytes(8, "big") + part for part in encoded)
