"""What epsilon and delta mean, in plain words and in numbers that a person can picture.

Everything that limits is rounded outward: a reader is never told less than what is possible.

Sources: Kairouz, Oh, Viswanath 2015, arXiv:1311.0776 (seeing an (epsilon, delta)-close release
is worth no more than a game that gives the answer away with probability delta, and otherwise
moves odds by a factor e^epsilon; a test with false alarms alpha is right with probability at most
e^epsilon alpha + delta).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

_WIDE = Decimal(19)
"""A factor that takes somebody from 50 % to 95 %: what allows more limits little."""
_LARGEST = Decimal(20)
"""Above it, e^epsilon is beyond what a reader can picture."""
_SMALLEST = Decimal("1e-15")
"""Below it, a probability is more digits than meaning."""
_UP = Context(prec=40, rounding=ROUND_CEILING)
_ALARMS = Decimal(1)  # per cent


@dataclass(frozen=True)
class Reading:
    """(epsilon, delta) as a person reads it; numbers as text, rounded outward."""

    factor: str
    """Odds change by at most this factor, up or down."""
    most: str
    """Per cent that somebody at 50 % can come to."""
    least: str
    """The same, downwards."""
    hits: str
    """A test that is wrong in 1 of 100 cases is right in at most so many of 100."""
    failure: str
    """Like '1 in 1,000,000'; 'none' if delta is 0."""
    wide: bool
    """Whether the limit is so wide that it means little."""


def read_loss(epsilon: str, delta: str) -> Reading:
    """The reading of a stated loss.

    Args:
        epsilon: A decimal string of the certificate, >= 0.
        delta: Another one, >= 0.
    """
    slack = Decimal(delta)
    if Decimal(epsilon) > _LARGEST:
        return Reading("more than 400,000,000", "100", "0", "100", _failure(slack), True)
    factor = _UP.exp(Decimal(epsilon))
    most = _up(100 * factor / (1 + factor), "0.1")
    hits = _up(factor * _ALARMS + 100 * slack, "0.01")
    return Reading(
        factor=f"{_up(factor, '0.01'):,}",
        most=str(most),
        least=str(100 - most),
        hits=str(min(hits, Decimal(100))),
        failure=_failure(slack),
        wide=factor > _WIDE,
    )


def _up(value: Decimal, step: str) -> Decimal:
    return value.quantize(Decimal(step), rounding=ROUND_CEILING)


def _failure(slack: Decimal) -> str:
    """A probability that is at least `slack`, as one in so many."""
    if slack == 0:
        return "none"
    if slack >= 1:
        return "1 in 1"
    if slack < _SMALLEST:
        return f"1 in {int(1 / _SMALLEST):,}"
    times = Context(prec=3, rounding=ROUND_FLOOR).divide(Decimal(1), slack)
    return f"1 in {int(times):,}"
