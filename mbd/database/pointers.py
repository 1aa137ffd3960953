"""What is current: named pointers, and a generation that grows when one moves.

A running server compares the generation with the one it loaded. `growth` is set only while
data is being added, and `destroy` while secrets are: whoever finds one finishes that.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from mbd.database.tables import pointer
from mbd.database.upsert import insert_or_replace
from mbd.errors import DataError

NAMES = ("model", "state", "restore", "growth", "destroy")
_GENERATION = "generation"


def get(connection: Connection, name: str) -> str | None:
    """The value of a pointer; None before it was first set."""
    _check(name)
    return _read(connection, name)


def set(connection: Connection, name: str, value: str) -> None:
    """Move a pointer; the generation grows by one."""
    _check(name)
    _write(connection, name, value)
    _write(connection, _GENERATION, str(generation(connection) + 1))


def clear(connection: Connection, name: str) -> None:
    """Make a pointer one that was never set; again is fine."""
    _check(name)
    connection.execute(delete(pointer).where(pointer.c.name == name))


def generation(connection: Connection) -> int:
    """How many times pointers were moved."""
    return int(_read(connection, _GENERATION) or "0")


def _check(name: str) -> None:
    if name not in NAMES:
        raise DataError(f"no pointer {name!r}; there are {', '.join(NAMES)}", code="pointer.name")


def _read(connection: Connection, name: str) -> str | None:
    return connection.execute(select(pointer.c.value).where(pointer.c.name == name)).scalar()


def _write(connection: Connection, name: str, value: str) -> None:
    insert_or_replace(connection, pointer, {"name": name, "value": value}, "value")
