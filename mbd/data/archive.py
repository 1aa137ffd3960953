"""An `.npz` archive of plain arrays: each is checked as it is asked for.

A pickle inside the archive is refused, never run.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mbd.errors import DataError, NotFoundError
from mbd.workspace.files import storage_errors

Array = npt.NDArray[Any]

_FLAWS = (
    ValueError, EOFError, KeyError, MemoryError, NotImplementedError, RuntimeError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What NumPy and zipfile raise at bytes that are no arrays, encrypted, or claim to be huge."""


class Archive:
    """The arrays of an archive, each checked as it is asked for."""

    def __init__(self, source: Path, content: Any) -> None:
        self._source = source
        self._content = content
        self.rows = 0
        """N: the number of records, once the record ids are known."""

    @classmethod
    @contextmanager
    def open(cls, source: Path, field: str = "SRC") -> Iterator[Archive]:
        """The archive at `source`, which the command line names as `field`."""
        if not source.is_file():
            raise NotFoundError(f"{source}: no such file", field=field)
        with storage_errors(source), source.open("rb") as stream:
            with _unreadable(str(source), field):
                content = np.load(stream, allow_pickle=False)
            if not isinstance(content, np.lib.npyio.NpzFile):
                raise DataError(f"{source} is one array, not an .npz archive", field=field)
            with content:
                yield cls(source, content)

    @property
    def arrays(self) -> tuple[str, ...]:
        """The names of all arrays; none of them is read yet."""
        return tuple(self._content.files)

    def array(self, name: str, field: str) -> Array:
        """The array `name`, which the spec's key `field` asks for."""
        if name not in self._content.files:
            raise DataError(
                f"{self._source}: no array {name!r}; it has {', '.join(self._content.files)}",
                field=field,
            )
        with _unreadable(f"{self._source}: {name}", name):
            found: Array = self._content[name]
        return found

    def column(self, name: str, field: str, kinds: str) -> Array:
        """An array with one row per record, of dtype kinds such as 'iu'."""
        found = self.array(name, field)
        if found.ndim == 0 or len(found) != self.rows:
            raise DataError(
                f"array {name!r} has shape {found.shape}; want {self.rows} rows, one per record",
                field=field,
            )
        if found.dtype.kind not in kinds:
            raise DataError(f"array {name!r} has type {found.dtype}, unusable here", field=field)
        return found

    def vector(self, name: str, field: str, kinds: str) -> Array:
        """A `column` with one value per record."""
        found = self.column(name, field, kinds)
        if found.ndim != 1:
            raise DataError(
                f"array {name!r} has shape {found.shape}; want one value per record", field=field
            )
        return found

    def names(self, name: str, field: str) -> tuple[str, ...]:
        """A one-dimensional array as text: strings, UTF-8 bytes or whole numbers."""
        found = self.array(name, field)
        if found.ndim != 1 or found.dtype.kind not in "USiu":
            raise DataError(
                f"array {name!r} ({found.dtype}, {found.shape}): want a list of names", field=field
            )
        if found.dtype.kind != "S":
            return tuple(str(value) for value in found.tolist())
        try:
            return tuple(value.decode("utf-8") for value in found.tolist())
        except UnicodeDecodeError as error:
            raise DataError(f"array {name!r} is not UTF-8: {error}", field=field) from error


@contextmanager
def _unreadable(where: str, field: str) -> Iterator[None]:
    try:
        yield
    except _FLAWS as error:
        pickled = "pickle" in str(error).lower() or "object array" in str(error).lower()
        raise DataError(
            f"{where} is a pickle, which is never loaded: it could run code"
            if pickled
            else f"{where} cannot be read as arrays: {error}",
            code="data.pickle" if pickled else "data.unreadable",
            field=field,
            hint="save plain arrays with numpy.savez" if pickled else None,
        ) from error
