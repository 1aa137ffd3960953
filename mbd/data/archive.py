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

from mbd.data.arrays import Arrays
from mbd.data.channels import Array
from mbd.errors import DataError, NotFoundError
from mbd.workspace.files import storage_errors

_FLAWS = (
    ValueError, EOFError, KeyError, MemoryError, NotImplementedError, RuntimeError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What NumPy and zipfile raise at bytes that are no arrays, encrypted, or claim to be huge."""


class Archive(Arrays):
    """The arrays of an archive, each checked as it is asked for."""

    def __init__(self, source: Path, content: Any) -> None:
        super().__init__()
        self._source = source
        self._content = content

    @classmethod
    @contextmanager
    def open(cls, source: Path, field: str = "SRC") -> Iterator[Archive]:
        """The archive at `source`, which the command line names as `field`."""
        if not source.is_file():
            raise NotFoundError(f"{source}: no such file", field=field)
        with storage_errors(source), source.open("rb") as stream:
            with unreadable(str(source), field):
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
        with unreadable(f"{self._source}: {name}", name):
            found: Array = self._content[name]
        return found


@contextmanager
def unreadable(where: str, field: str) -> Iterator[None]:
    """Turn what NumPy says about the bytes of `where` into our error, a pickle by its name."""
    try:
        yield
    except _FLAWS as error:
        words = ("pickle", "object array", "python objects")
        pickled = any(word in str(error).lower() for word in words)
        raise DataError(
            f"{where} is a pickle, which is never loaded: it could run code"
            if pickled
            else f"{where} cannot be read as arrays: {error}",
            code="data.pickle" if pickled else "data.unreadable",
            field=field,
            hint="save plain arrays with numpy.savez" if pickled else None,
        ) from error
