"""SHA-256 and base64, each with one spelling."""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Iterable
from os import PathLike
from typing import Any, Protocol, cast

from pydantic_core import CoreConfig, SchemaValidator, ValidationError
from pydantic_core.core_schema import bytes_schema

from mbd.canonical.json import dumps_in_order
from mbd.errors import DataError, NotFoundError, StorageError


class Digested(Protocol):
    """A file of a model: its path in the model's folder, and its SHA-256 (hex)."""

    @property
    def path(self) -> str: ...

    @property
    def sha256(self) -> str: ...


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


def files_root(files: Iterable[Digested]) -> str:
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
    rows = [{"path": file.path, "sha256": file.sha256} for file in ordered]
    return sha256_hex(dumps_in_order(rows))


def b64encode(data: bytes) -> str:
    """Standard base64 with padding (RFC 4648 section 4)."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def b64decode_strict(text: str, *, field: str | None = None) -> bytes:
    """Inverse of `b64encode`: every byte string has one spelling, any other is refused.

    Python's own `validate=True` lets unused bits in front of the padding be anything.

    Raises:
        DataError: Not the base64 that `b64encode` would write.
    """
    try:
        data = _decoded(text)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"not base64: {error}", code="base64", field=field) from error
    # What is left to choose are the unused bits of the last character, if the length is right.
    rest = len(data) % 3 or 3
    if len(text) != 4 * -(-len(data) // 3) or not text.endswith(b64encode(data[-rest:])):
        raise DataError("not canonical base64", code="base64", field=field)
    return data


def _decoded(text: str) -> bytes:
    """The bytes; ValueError if there are none. What Python's parser refuses is refused by it."""
    if "-" not in text and "_" not in text:  # which the fast one reads as + and /
        try:
            return cast(bytes, _FAST.validate_strings(cast(Any, text)))
        except ValidationError:
            pass
    return binascii.a2b_base64(text, strict_mode=True)


_FAST = SchemaValidator(bytes_schema(), CoreConfig(val_json_bytes="base64"))
