"""Outward rounding: a claim is never smaller than the truth, a budget never larger.

Rational formulas are evaluated exactly and rounded once. Formulas with logarithms or the
normal law are evaluated with `PRECISION` digits of decimal arithmetic, which is the same on
every machine, and carry a margin far above their error and far below one binary64 step.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from decimal import Context, Decimal
from fractions import Fraction

from mbd.errors import ArithmeticRefused

PRECISION = 80
"""Significant decimal digits of the high-precision formulas."""

MARGIN = Decimal("1e-40")
"""Relative margin on the largest term of such a formula; binary64 steps are 1e-16."""

Exact = Fraction | Decimal


def high_precision() -> Context:
    """A decimal context: `PRECISION` digits, exponents without practical limits.

    Its `ln`, `exp` and `sqrt` are correctly rounded by the definition of the module.
    """
    return Context(prec=PRECISION, Emin=-(10**17), Emax=10**17)


def up(value: Exact) -> float:
    """The smallest float that is not below `value`.

    Raises:
        ArithmeticRefused: `value` is beyond the largest float.
    """
    nearest = _nearest(value)  # comparing a float with a Fraction or a Decimal is exact
    return nearest if nearest >= value else _next(nearest, math.inf)


def down(value: Exact) -> float:
    """The largest float that is not above `value`.

    Raises:
        ArithmeticRefused: `value` is beyond the largest float.
    """
    nearest = _nearest(value)
    return nearest if nearest <= value else _next(nearest, -math.inf)


def positive(value: float, field: str) -> float:
    """Return `value` as a float if it is one exactly, finite and > 0.

    Raises:
        ArithmeticRefused: It is NaN, infinite, not positive, a bool, text, or an integer that
            a float would round; `field` is named.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ArithmeticRefused(f"{field}: want a number, got {value!r}", field=field)
    if not 0 < value <= sys.float_info.max:
        raise ArithmeticRefused(f"{field}: want a finite number > 0, got {value}", field=field)
    if float(value) != value:
        raise ArithmeticRefused(f"{field}: {value} is not a binary64 number", field=field)
    return float(value)


def probability(value: float, field: str) -> float:
    """Return `value` if it is strictly between 0 and 1."""
    if not positive(value, field) < 1:
        raise ArithmeticRefused(f"{field}: want 0 < {field} < 1, got {value}", field=field)
    return float(value)


def last_float(holds: Callable[[float], bool], good: float, bad: float) -> float:
    """The last float from `good` towards `bad` for which a monotone `holds` is true.

    Args:
        holds: True at `good`, false at `bad`, changing once in between.
        good: Start; any answer of this function satisfies `holds`.
        bad: End, above or below `good`.
    """
    while (middle := good + (bad - good) / 2) not in (good, bad):
        if holds(middle):
            good = middle
        else:
            bad = middle
    return good


def _nearest(value: Exact | float) -> float:
    """The closest float, or a refusal where that is no finite one."""
    try:
        nearest = float(value)
    except OverflowError:
        nearest = math.inf
    if not math.isfinite(nearest):
        raise ArithmeticRefused("a number is beyond the range of binary64")
    return nearest


def _next(value: float, towards: float) -> float:
    return _nearest(math.nextafter(value, towards))
