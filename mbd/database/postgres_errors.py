"""What PostgreSQL and its driver say, in our words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError

from mbd.errors import IntegrityError, MbdError, NotFoundError, StorageError, TemporaryError

_RESUME = "is the server running, and is this the way to it? Then run `mbd resume`"
_GIVE_PASSWORD = "give user and password in MBD_DATABASE_URL, PGPASSWORD or ~/.pgpass (mode 0600)"


@contextlib.contextmanager
def server_errors(name: str) -> Iterator[None]:
    """Turn what the server says about the database `name` into our error."""
    try:
        yield
    except DBAPIError as error:
        ours = _translate(name, error)
        if ours is None:
            raise
        raise ours from error


def _translate(name: str, error: DBAPIError) -> MbdError | None:
    cause = error.orig
    said = str(cause).strip().splitlines()
    first = said[0] if said else type(cause).__name__
    code = getattr(cause, "sqlstate", None)
    if code is None:
        return _without_code(name, first, cause)
    return _with_code(name, code, first)


def _without_code(name: str, said: str, cause: BaseException | None) -> MbdError | None:
    """The connection was never made, or is gone: libpq gives these no code, only words."""
    if type(cause).__name__ not in ("OperationalError", "InterfaceError", "ConnectionTimeout"):
        return None
    kind = next((kind for words, kind in _WORDS if words in said), _AWAY)
    return kind.error(f"{name}: {said}", code=kind.code, hint=kind.hint)


def _with_code(name: str, code: str, said: str) -> MbdError | None:
    """Our error for a SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""
    kind = _KINDS.get(code) or _KINDS.get(code[:2])
    if kind is None:
        return None
    return kind.error(f"{name}: {kind.instead or said}", code=kind.code, hint=kind.hint)


@dataclass(frozen=True)
class _Kind:
    error: type[MbdError]
    code: str
    hint: str | None = None
    instead: str | None = None
    """Said instead of the server's own words."""


_BUSY = _Kind(
    TemporaryError, "database.busy", "try again when it has finished", "another process is writing"
)
_CHANGED = _Kind(
    TemporaryError,
    "database.busy",
    "nothing was changed: try again",
    "others changed the same rows meanwhile",
)
_CANCELLED = _Kind(TemporaryError, "database.busy", "nothing was changed: try again")
_AWAY = _Kind(TemporaryError, "database.away", _RESUME)
_PASSWORD = _Kind(MbdError, "database.denied", _GIVE_PASSWORD)
_RIGHTS = _Kind(
    MbdError, "database.denied", "GRANT CREATE ON DATABASE, or let the owner of the tables run this"
)
_ELSEWHERE = _Kind(NotFoundError, "database.not_found", "is this the database of this workspace?")
_CORRUPT = _Kind(IntegrityError, "database.corrupt", "restore it from a backup")
_FULL = _Kind(StorageError, "storage.full", "free some space there, then run `mbd resume`")

_KINDS = {
    "40001": _CHANGED,  # serialization failure
    "40P01": _CHANGED,  # deadlock
    "55P03": _BUSY,  # lock not available
    "55006": _BUSY,  # object in use
    "57014": _CANCELLED,  # query cancelled, statement timeout
    "25P03": _CANCELLED,  # idle in transaction for too long
    "53300": _CANCELLED,  # too many connections
    "08": _AWAY,
    "57P01": _AWAY,  # shut down by an administrator
    "57P02": _AWAY,  # crashed
    "57P03": _AWAY,  # starting, or stopping
    "28": _PASSWORD,
    "42501": _RIGHTS,
    "3D": _ELSEWHERE,
    "3F": _ELSEWHERE,
    "42P01": _CORRUPT,  # a table is missing
    "XX": _CORRUPT,
    "53100": _FULL,
    "53200": _Kind(StorageError, "storage", "the server is out of memory"),
    "58": _Kind(StorageError, "storage", "is the server's disk failing?"),
    "25006": _Kind(StorageError, "storage", "the server takes no changes: is it a standby?"),
}
"""By SQLSTATE, or by its first two characters: its class."""

_WORDS = (
    ("no password supplied", _PASSWORD),
    ("password authentication failed", _PASSWORD),
    ("pg_hba.conf", _Kind(MbdError, "database.denied", "let this user in: pg_hba.conf")),
    ("permission denied", _Kind(MbdError, "database.denied", "GRANT CONNECT ON DATABASE")),
    (
        "does not exist",
        _Kind(NotFoundError, "database.not_found", "make role and database: createuser, createdb"),
    ),
)
"""What a server says that turns a newcomer away. Said in another language, it reads as away."""
