"""One spelling of a moment: UTC, whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime

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
        moment = datetime.fromisoformat(text)
        exact = timestamp(moment) == text
    except (ValueError, OverflowError) as error:  # no time, or in UTC before year 1 or after 9999
        raise DataError(f"not a time: {text[:40]!r}", code="time.invalid") from error
    if not exact:
        raise DataError(f"not a time in UTC: {text[:40]!r}", code="time.invalid")
    return moment
