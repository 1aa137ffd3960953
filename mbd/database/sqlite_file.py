"""The ledger as a file of the workspace: the default."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, Engine

from mbd.database.connection import (
    create_database,
    sqlite_engine,
    transaction,
    truncating_checkpoint,
)
from mbd.errors import IntegrityError, NotFoundError
from mbd.workspace.files import storage_errors


@dataclass(frozen=True)
class SqliteFile:
    """One file in WAL mode. Holds no open connection."""

    path: Path
    engine: Engine = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "engine", sqlite_engine(self.path))

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return str(self.path)

    @classmethod
    def create(cls, path: Path, fill: Callable[[Connection], None]) -> SqliteFile:
        """Make the file; it appears with everything that `fill` makes, or not at all."""
        create_database(path, fill)
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> SqliteFile:
        """The file that is there.

        Raises:
            NotFoundError: There is none.
            IntegrityError: It is truncated, or no database.
        """
        if not path.is_file():
            raise NotFoundError(
                f"{path}: no such database",
                code="database.not_found",
                hint="restore it from a backup",
            )
        _check_length(path)
        return cls(path)

    def transaction(self, *, write: bool) -> AbstractContextManager[Connection]:
        """One transaction; one that writes holds the only write lock from its beginning."""
        return transaction(self.engine, self.path, write=write)

    def purge(self, *, bodies: bool = False) -> None:
        """Empty the write-ahead log. Deleted values are overwritten in the file already.

        Raises:
            TemporaryError: A reader is still using the log.
        """
        truncating_checkpoint(self.engine, self.path)


def _check_length(path: Path) -> None:
    """Refuse a file that ends inside a page: SQLite would only notice when it reads that page.

    With a write-ahead log beside it SQLite repairs the end. The header's bytes 16 and 17 hold
    the page size (https://sqlite.org/fileformat.html, section 1.3.2; 1 means 65,536).
    """
    log = path.with_name(f"{path.name}-wal")
    with contextlib.suppress(FileNotFoundError):  # whoever closes it last removes it
        if log.stat().st_size:
            return
    with storage_errors(path), path.open("rb") as stream:
        header = stream.read(18)
        size_bytes = stream.seek(0, os.SEEK_END)
    page = int.from_bytes(header[16:18], "big")
    page_bytes = 65536 if page == 1 else page
    if not page_bytes or size_bytes % page_bytes:
        raise IntegrityError(
            f"{path}: truncated, or not a database",
            code="database.corrupt",
            hint="restore it from a backup",
        )
