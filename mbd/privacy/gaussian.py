"""The exact privacy curve of continuous Gaussian noise.

    delta(eps; mu) = Phi(mu/2 - eps/mu) - e^eps Phi(-mu/2 - eps/mu),   mu = sensitivity / sigma

Source: Balle & Wang 2018, theorem 8, arXiv:1805.06530. Discrete releases state epsilon
through `zcdp` only.

With x = eps/mu -+ mu/2, phi the normal density and R(x) = Phi(-x)/phi(x) the Mills ratio,
e^eps phi(x2) = phi(x1), so delta = phi(x1) (R(x1) - R(x2)): nothing overflows or underflows.
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

from mbd.errors import ArithmeticRefused
from mbd.privacy.rounding import MARGIN, high_precision, last_float, positive, probability, up

_TWO_PI = 2 * Decimal(
    "3.1415926535897932384626433832795028841971693993751058209749445923078164062862089986280348"
)
_FAR = 50  # Phi(-50) < 1e-545: below every positive float
_SERIES_BELOW = 3
_FRACTION_TERMS = 600  # truncation error below 1e-80 for x >= 3
_LARGEST = 1e30  # of mu and epsilon: beyond, the margin would not cover the rounding of x


def delta(epsilon: float, mu: float) -> float:
    """delta of (epsilon, delta)-DP for a mechanism with ratio `mu`, rounded up; in (0, 1].

    Args:
        epsilon: >= 0.
        mu: sensitivity / sigma, > 0.

    Raises:
        ArithmeticRefused: An argument is NaN, infinite, out of range or above 1e30.
    """
    chosen = 0.0 if epsilon == 0 else _bounded(epsilon, "epsilon")
    return up(_delta_bound(Decimal(chosen), Decimal(_bounded(mu, "mu"))))


def epsilon(delta: float, mu: float) -> float:
    """The smallest float epsilon >= 0 at which the curve of `mu` is at most `delta`.

    Raises:
        ArithmeticRefused: delta is not in (0, 1), or mu not finite and > 0 (at most 1e14).
    """
    ratio, target = Decimal(_bounded(mu, "mu")), Decimal(probability(delta, "delta"))

    def holds(candidate: float) -> bool:
        return _delta_bound(Decimal(candidate), ratio) <= target

    if holds(0.0):
        return 0.0
    high = 1.0
    while not holds(high):
        high *= 2
        _bounded(high, "mu")
    return last_float(holds, high, 0.0)


def mu_for(epsilon: float, delta: float) -> float:
    """The largest mu that keeps (epsilon, delta)-DP, rounded down: a budget.

    The noise is sigma = sensitivity / mu.

    Raises:
        ArithmeticRefused: epsilon is not finite and > 0, delta not in (0, 1), or no float is
            small enough.
    """
    exact = Decimal(_bounded(epsilon, "epsilon"))
    target = Decimal(probability(delta, "delta"))

    def holds(mu: float) -> bool:
        return mu == 0 or _delta_bound(exact, Decimal(mu)) <= target

    high = 1.0
    while holds(high):
        high *= 2
    low = high
    while not holds(low):
        low /= 2
    return positive(last_float(holds, low, high), "mu")


def _delta_bound(epsilon: Decimal, mu: Decimal) -> Decimal:
    """delta plus a margin above every rounding error; at most 1."""
    with localcontext(high_precision()):
        near, far = epsilon / mu - mu / 2, epsilon / mu + mu / 2
        if near < -_FAR:
            return Decimal(1)
        if near > _FAR:
            return Decimal(math.ulp(0.0))
        above, below = _mills(near), _mills(far)
        bound = _density(near) * (above - below + MARGIN * (above + below))
        return min(bound, Decimal(1))


def _density(x: Decimal) -> Decimal:
    """phi(x)."""
    return (-x * x / 2).exp() / _TWO_PI.sqrt()


def _mills(x: Decimal) -> Decimal:
    """R(x) = Phi(-x) / phi(x) for x >= -50; always without cancellation worth naming."""
    if x < 0:
        return 1 / _density(x) - _mills(-x)
    return _mills_series(x) if x < _SERIES_BELOW else _mills_fraction(x)


def _mills_series(x: Decimal) -> Decimal:
    """1 / (2 phi(x)) minus the sum of x^(2n+1) / (2n+1)!!, for 0 <= x < 3."""
    total = term = x
    n = 1
    while term > total * MARGIN * MARGIN:
        n += 2
        term *= x * x / n
        total += term
    return 1 / (2 * _density(x)) - total


def _mills_fraction(x: Decimal) -> Decimal:
    """Laplace's continued fraction 1/(x + 1/(x + 2/(x + 3/(x + ...)))), for x >= 3."""
    tail = x
    for n in range(_FRACTION_TERMS, 0, -1):
        tail = x + n / tail
    return 1 / tail


def _bounded(value: float, field: str) -> float:
    if not positive(value, field) <= _LARGEST:
        raise ArithmeticRefused(f"{field}: {value} is beyond {_LARGEST:g}", field=field)
    return float(value)
