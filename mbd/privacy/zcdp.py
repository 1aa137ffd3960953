"""Zero-concentrated differential privacy: what the release of a head costs.

Sources: Bun & Steinke 2016, arXiv:1605.02065 (the Gaussian mechanism, composition);
Canonne, Kamath & Steinke 2020, arXiv:2004.00010 (theorem 14: the discrete Gaussian has the
same rho; corollary 13 with proposition 12: the conversion).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache

from mbd.errors import ArithmeticRefused
from mbd.privacy.rounding import (
    MARGIN,
    down,
    high_precision,
    last_float,
    positive,
    probability,
    up,
)

_SMALLEST_LOG = Decimal("1e-20")  # of ln(a), so that a - 1 keeps 60 digits
_NEWTON_STEPS = 200


def rho_of(sensitivity: float, sigma: float) -> float:
    """rho = sensitivity^2 / (2 sigma^2) of Gaussian noise, continuous or discrete; rounded up.

    Args:
        sensitivity: L2 bound, in the unit of `sigma`.
        sigma: Parameter of the noise on every coordinate.

    Raises:
        ArithmeticRefused: An argument is not finite and > 0.
    """
    ratio = Fraction(positive(sensitivity, "sensitivity")) / Fraction(positive(sigma, "sigma"))
    return up(ratio**2 / 2)


def sensitivity_for(rho: float, sigma: float) -> float:
    """The largest sensitivity that `sigma` covers within `rho`: sigma sqrt(2 rho), rounded down.

    Raises:
        ArithmeticRefused: An argument is not finite and > 0, or the answer is below every float.
    """
    square = 2 * Fraction(positive(rho, "rho")) * Fraction(positive(sigma, "sigma")) ** 2
    with localcontext(high_precision()):
        root = (Decimal(square.numerator) / Decimal(square.denominator)).sqrt()
        candidate = down(root * (1 + MARGIN))
    while Fraction(candidate) ** 2 > square:
        candidate = math.nextafter(candidate, 0)
    return positive(candidate, "sensitivity")


def compose(rhos: Sequence[float]) -> float:
    """rho of several releases together: their sum, rounded up.

    Raises:
        ArithmeticRefused: There is none, or one is not finite and > 0.
    """
    if not rhos:
        raise ArithmeticRefused("rho: no release to account for", field="rho")
    return up(sum((Fraction(positive(rho, "rho")) for rho in rhos), Fraction(0)))


def share(rho: float, parts: int) -> float:
    """An equal part of a budget, rounded down: `parts` of them compose to at most `rho`.

    Raises:
        ArithmeticRefused: `rho` is not finite and > 0, or `parts` < 1.
    """
    if parts < 1:
        raise ArithmeticRefused(f"parts: want at least 1, got {parts}", field="parts")
    return positive(down(Fraction(positive(rho, "rho")) / parts), "rho")


@lru_cache(maxsize=64, typed=True)  # the certificates of a batch ask for the same one
def epsilon_of(rho: float, delta: float) -> float:
    """The epsilon that rho-zCDP grants at `delta`, rounded up.

    min over a > 1 of  rho a + ln(1/delta)/(a-1) + ln(1-1/a) - ln(a)/(a-1).

    Every a gives a valid bound, so how well the minimum is met matters for tightness only.

    Raises:
        ArithmeticRefused: rho is not finite and > 0, or delta not in (0, 1).
    """
    exact_rho = Decimal(positive(rho, "rho"))
    bound = _epsilon_bound(exact_rho, Decimal(probability(delta, "delta")))
    return up(max(bound, Decimal(0)))


@lru_cache(maxsize=64, typed=True)  # every head of a model asks for the same one
def rho_for(epsilon: float, delta: float) -> float:
    """The largest rho whose epsilon at `delta` is at most `epsilon`, rounded down.

    Raises:
        ArithmeticRefused: epsilon is not finite and > 0, delta not in (0, 1), or no float is
            small enough.
    """
    target = Decimal(positive(epsilon, "epsilon"))
    exact_delta = Decimal(probability(delta, "delta"))

    def holds(rho: float) -> bool:
        return rho == 0 or _epsilon_bound(Decimal(rho), exact_delta) <= target

    high = 1.0
    while holds(high):
        high *= 2
        if math.isinf(high):
            raise ArithmeticRefused(f"epsilon: {epsilon} is too large", field="epsilon")
    low = high
    while not holds(low):
        low /= 2
    return positive(last_float(holds, low, high), "rho")


def _epsilon_bound(rho: Decimal, delta: Decimal) -> Decimal:
    """The conversion at a nearly best order, plus a margin above every rounding error.

    With x = a - 1, an error of 1e-79 in ln(a) is divided by x, as ln(1/delta) >= 1e-16 is:
    the relative error of each term stays below 1e-60.
    """
    with localcontext(high_precision()):
        log_inverse = -delta.ln()
        excess = _best_excess(rho, log_inverse)
        order = 1 + excess
        gain, cost = (excess / order).ln(), rho * order
        rest, entropy = log_inverse / excess, order.ln() / excess
        margin = MARGIN * (cost + rest + abs(gain) + entropy)
        return cost + rest + gain - entropy + margin


def _best_excess(rho: Decimal, log_inverse: Decimal) -> Decimal:
    """a - 1 at the minimum, where rho (a-1)^2 + ln(a) = ln(1/delta).

    In y = ln(a) the left side is convex and increasing, so Newton's method from a point to
    the right of the root descends to it. Approximate; always > 0.
    """
    start = min(log_inverse, (1 + (log_inverse / rho).sqrt()).ln())
    y = max(start, _SMALLEST_LOG)
    for _ in range(_NEWTON_STEPS):
        order = y.exp()
        value = rho * (order - 1) ** 2 + y - log_inverse
        step = value / (2 * rho * (order - 1) * order + 1)
        y = max(y - step, _SMALLEST_LOG)
        if abs(step) <= MARGIN * y:
            break
    return y.exp() - 1
