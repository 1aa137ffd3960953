"""ULIDs: 48 bits of UTC milliseconds and 80 random bits, as 26 sortable characters.

Source: github.com/ulid/spec (Crockford base 32, upper case).
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime, timedelta

from mbd.errors import UsageError

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID = re.compile(rf"[0-7][{_ALPHABET}]{{25}}", re.ASCII)
_AS_PYTHON = str.maketrans(_ALPHABET, "0123456789ABCDEFGHIJKLMNOPQRSTUV")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_ulid(now: datetime) -> str:
    """A fresh identifier for the moment `now`; its random part is the operating system's.

    Raises:
        UsageError: `now` has no time zone or is outside 1970 to 10889.
    """
    if now.tzinfo is None:
        raise UsageError("a time without a time zone", field="now")
    milliseconds = (now - _EPOCH) // timedelta(milliseconds=1)
    if milliseconds < 0:
        raise UsageError(f"{now.isoformat()} is before 1970", field="now")
    number = milliseconds << 80 | secrets.randbits(80)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -5, -5))


def is_ulid(text: str) -> bool:
    """Whether `text` is a ULID in its one spelling (upper case)."""
    return _ULID.fullmatch(text) is not None


def ulid_time(text: str) -> datetime:
    """The moment in a ULID, to the millisecond.

    Raises:
        UsageError: Not a ULID, or of a year that no calendar here holds.
    """
    if not is_ulid(text):
        raise UsageError(f"{text[:40]!r} is not a ULID")
    number = int(text[:10].translate(_AS_PYTHON), 32)
    try:
        return _EPOCH + timedelta(milliseconds=number)
    except OverflowError as error:
        raise UsageError(f"{text} is of no year until 9999") from error
