"""Encrypted PKCS#8, as any tool reads it, but with enough rounds for a passphrase.

The libraries' own writers stop at some thousand rounds of PBKDF2, which a graphics card makes
up for in no time. So the few bytes of DER around the ciphertext are written here; reading is the
libraries' business.

Sources: RFC 5958, section 3 (EncryptedPrivateKeyInfo); RFC 8018, sections 5.2 and 6.2 and
appendix A (PBES2, PBKDF2); RFC 7468, section 11 (PEM).
"""

from __future__ import annotations

import base64
import os
import textwrap

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.padding import PKCS7

ROUNDS = 600_000
"""Of PBKDF2 with HMAC-SHA-256: a quarter of a second here, and for each guess."""

_SEQUENCE, _INTEGER, _OCTETS = 0x30, 0x02, 0x04
_NULL = bytes.fromhex("0500")
_PBES2 = bytes.fromhex("06092a864886f70d01050d")  # 1.2.840.113549.1.5.13
_PBKDF2 = bytes.fromhex("06092a864886f70d01050c")  # 1.2.840.113549.1.5.12
_HMAC_SHA256 = bytes.fromhex("06082a864886f70d0209")  # 1.2.840.113549.2.9
_AES256_CBC = bytes.fromhex("060960864801650304012a")  # 2.16.840.1.101.3.4.1.42


def encrypted_pem(private_key_info: bytes, passphrase: bytes) -> bytes:
    """PEM of an EncryptedPrivateKeyInfo.

    Args:
        private_key_info: DER PKCS#8, in the clear.
        passphrase: Not empty.
    """
    salt, vector = os.urandom(16), os.urandom(16)
    key = PBKDF2HMAC(algorithm=SHA256(), length=32, salt=salt, iterations=ROUNDS).derive(passphrase)
    pad = PKCS7(128).padder()
    padded = pad.update(private_key_info) + pad.finalize()
    cipher = Cipher(AES256(key), CBC(vector)).encryptor()
    derivation = _sequence(
        _PBKDF2,
        _sequence(_der(_OCTETS, salt), _integer(ROUNDS), _sequence(_HMAC_SHA256, _NULL)),
    )
    scheme = _sequence(derivation, _sequence(_AES256_CBC, _der(_OCTETS, vector)))
    ciphertext = cipher.update(padded) + cipher.finalize()
    content = _sequence(_sequence(_PBES2, scheme), _der(_OCTETS, ciphertext))
    lines = textwrap.wrap(base64.b64encode(content).decode(), 64)
    label = "ENCRYPTED PRIVATE KEY"
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()


def _sequence(*parts: bytes) -> bytes:
    return _der(_SEQUENCE, b"".join(parts))


def _integer(value: int) -> bytes:
    return _der(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _der(tag: int, content: bytes) -> bytes:
    """Tag, length in its shortest form, content: X.690, section 8.1.3."""
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 128 | len(length)]) + length + content
