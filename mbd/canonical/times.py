"""One spelling of a moment: UTC, whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from mbd.errors import DataError


def timestamp(moment: datetime) -> str:
    """An aware time as UTC text with whole seconds, `YYYY-MM-DDThh:mm:ssZ`; sorts by time.

    Raises:
        DataError: The time has no zone.
    """
    if moment.tzinfo is None:
        raise DataError(f"time without a zone: {moment}", code="time.zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_timestamp(text: str) -> datetime:
    """Inverse of `timestamp`.

    Raises:
        DataError: The text is not such a time.
    """
    try:
        return utc(text)
    except ValueError as error:
        raise DataError(f"not a time in UTC: {text[:40]!r}", code="time.invalid") from error


@lru_cache(maxsize=64)  # each time of a certificate is asked for by several checks
def utc(text: str) -> datetime:
    """The same, and ValueError for another text."""
    moment = datetime.fromisoformat(text)
    if len(text) != 20 or moment.isoformat() != text[:19] + "+00:00" or text[19] != "Z":
        raise ValueError("want YYYY-MM-DDThh:mm:ssZ")
    return moment
