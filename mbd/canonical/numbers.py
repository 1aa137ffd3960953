"""Floats as text: one spelling per number, the same in every language.

A certificate writes numbers that are not small integers as strings. Their form is the one
of RFC 8785 section 3.2.2.3 (ECMAScript): the fewest digits that read back as the same
binary64 value, so reading loses nothing and two certificates cannot differ in spelling.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

import rfc8785

from mbd.errors import ArithmeticRefused, DataError

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[+-][1-9][0-9]*)?", re.ASCII)
_MAX_LENGTH = 25  # sign, 17 digits, point, exponent


def to_decimal(value: float) -> str:
    """Shortest decimal that reads back as `value`, e.g. '0.5', '1', '0.000001', '1e-7'.

    Raises:
        ArithmeticRefused: `value` is not finite.
    """
    if not math.isfinite(value):
        raise ArithmeticRefused(f"{value} has no decimal form")
    return rfc8785.dumps(float(value)).decode("ascii")


def from_decimal(text: str, *, field: str | None = None) -> float:
    """Inverse of `to_decimal`; any other spelling is refused.

    Raises:
        DataError: Not a decimal number (NaN, infinity, hexadecimal, spaces, a leading +), too
            large, or not the canonical spelling of the number it reads as.
    """
    if len(text) > _MAX_LENGTH or not _NUMBER.fullmatch(text):
        raise DataError(f"{text[:40]!r} is not a decimal number", code="number", field=field)
    value = _canonical_value(text)
    if value is None:
        raise DataError(f"{text!r} is not a canonical number", code="number", field=field)
    return value


@lru_cache(maxsize=1024)  # short texts only; the certificates of one model share their constants
def _canonical_value(text: str) -> float | None:
    """The number that a decimal reads as, if that is the way to spell it."""
    value = float(text)
    return value if math.isfinite(value) and to_decimal(value) == text else None
