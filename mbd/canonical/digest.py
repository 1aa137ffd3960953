"""SHA-256 and base64, each with one spelling."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from os import PathLike

from mbd.canonical.json import dumps
from mbd.errors import DataError, NotFoundError, StorageError
from mbd.values import FileDigest


def sha256_hex(data: bytes) -> str:
    """SHA-256 as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: str | PathLike[str]) -> str:
    """SHA-256 of a file's content, read in pieces, as 64 lower-case hex digits.

    Raises:
        NotFoundError: There is no such file.
        StorageError: It cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: no such file", field=str(path)) from error
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}", field=str(path)) from error


def files_root(files: Iterable[FileDigest]) -> str:
    """One digest of a model: SHA-256 of its manifest, sorted by path (hex).

    The manifest is the RFC 8785 form of `[{path, sha256}, ...]`; sizes stay out of it, so
    that a certificate says nothing about them.

    Raises:
        DataError: No file, or one path twice.
    """
    ordered = sorted(files, key=lambda file: file.path)
    paths = [file.path for file in ordered]
    if not paths or len(set(paths)) != len(paths):
        raise DataError("a model has at least one file, and each path once", field="files")
    return sha256_hex(dumps([{"path": file.path, "sha256": file.sha256} for file in ordered]))


def b64encode(data: bytes) -> str:
    """Standard base64 with padding (RFC 4648 section 4)."""
    return base64.b64encode(data).decode("ascii")


def b64decode_strict(text: str, *, field: str | None = None) -> bytes:
    """Inverse of `b64encode`: every byte string has one spelling, any other is refused.

    Python's own `validate=True` lets unused bits in front of the padding be anything.

    Raises:
        DataError: Not the base64 that `b64encode` would write.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"not base64: {error}", code="base64", field=field) from error
    # What is left to choose are the unused bits of the last character, if the length is right.
    rest = len(data) % 3 or 3
    if len(text) != 4 * -(-len(data) // 3) or not text.endswith(b64encode(data[-rest:])):
        raise DataError("not canonical base64", code="base64", field=field)
    return data
