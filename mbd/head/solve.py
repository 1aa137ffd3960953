"""From a state to the head: the optimum rounded to a grid, and how far any head is from it.

With `A = a G + lambda I` and `B = b H` (a, b, lambda dyadic) the optimum is `W* = A^-1 B`,
and for every W: `||W - W*||_F <= ||A W - B||_F / lambda`, since G is positive semidefinite.
Residuals are integers, computed exactly; their norm is rounded upwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import frexp, fsum, inf, sqrt

import numpy as np

from mbd.errors import ArithmeticRefused, UsageError
from mbd.head.factor import Floats, Precision, factor
from mbd.head.integers import Integers, Ints
from mbd.head.long_integers import (
    RELATIVE_ERROR,
    Places,
    added,
    balanced,
    long_product,
    places_of,
    places_of_floats,
    rounded_off,
    shifted,
    times,
    to_floats,
)
from mbd.head.state import HeadState
from mbd.head.threads import threads_for
from mbd.privacy.rounding import up

_EXTRA_BITS = 40
_MAX_STEPS = 40
_NORM_ERROR = Fraction(1, 2**48)  # of a norm: its entries', and the sum and root of its squares
_LARGEST = 2.0**62  # a weight, in units of the grid


@dataclass(frozen=True, kw_only=True)
class HeadScale:
    """Units of a head: integer features and targets as numbers, and its regulariser."""

    feature_bits: int
    """A feature q stands for q 2^-feature_bits."""
    target_bits: int
    """A target t stands for t 2^-target_bits, in label units."""
    strong_convexity: float
    """lambda > 0."""

    def __post_init__(self) -> None:
        if not 0 < self.strong_convexity < inf:
            raise UsageError(
                f"lambda: want a finite number > 0, got {self.strong_convexity}",
                field="heads.strong_convexity",
            )
        if not (0 <= self.feature_bits <= 30 and 0 <= self.target_bits <= 30):
            raise UsageError("feature_bits and target_bits: want 0..30", field="heads")

    @property
    def a(self) -> float:
        """Factor of G."""
        return 2.0 ** (-2 * self.feature_bits)

    @property
    def b(self) -> float:
        """Factor of H."""
        return 2.0 ** -(self.feature_bits + self.target_bits)


def check_grid(grid: float) -> float:
    """Return `grid` if it is a power of two."""
    if not 0 < grid < inf or frexp(grid)[0] != 0.5:
        raise ArithmeticRefused(f"grid: want a power of two, got {grid}")
    return grid


@dataclass(frozen=True, eq=False)
class Residual:
    """`B - A W`, exactly: integers (d, K) in units of 2^exponent."""

    places: Places
    exponent: int

    def in_units_of(self, exponent: int) -> Floats:
        """As floats, in units of 2^exponent."""
        return to_floats(self.places) * 2.0 ** (self.exponent - exponent)

    def bound(self) -> float:
        """Upper bound on the Frobenius norm; tight to about 2^-48 of itself."""
        values = to_floats(self.places).ravel()
        norm = Fraction(sqrt(fsum((values * values).tolist()))) * (1 + _NORM_ERROR)
        return up(norm * Fraction(2) ** self.exponent)


assert RELATIVE_ERROR <= _NORM_ERROR / 2, "entries may be off by that much"


def residual(state: HeadState, scale: HeadScale, weights: Places, exponent: int) -> Residual:
    """`B - A W` for W of (places, d, K) balanced digits in units of 2^exponent."""
    lambda_factor, lambda_exponent = _dyadic(scale.strong_convexity)
    of_cross = _dyadic(scale.b)[1]
    of_gram = _dyadic(scale.a)[1] + exponent
    of_weights = lambda_exponent + exponent
    unit = min(of_cross, of_gram, of_weights)
    product = long_product(state.gram, weights)
    penalty = balanced(times(weights, lambda_factor))
    total = added(
        shifted(places_of(state.cross), of_cross - unit),
        -shifted(product, of_gram - unit),
        -shifted(penalty, of_weights - unit),
    )
    return Residual(balanced(total), unit)


def residual_bound(state: HeadState, scale: HeadScale, weights: Integers, grid: float) -> float:
    """Upper bound on `||A W - B||_F` for `W = weights * grid`; tight to about 2^-48 of itself.

    Args:
        state: The state of the head.
        scale: Its units and lambda.
        weights: (d, K) integers.
        grid: g, a power of two.
    """
    with threads_for(state.width):
        return residual(state, scale, places_of(weights), _exponent(grid)).bound()


def solve(state: HeadState, scale: HeadScale, grid: float) -> Ints:
    """The optimum rounded to the grid, from the state alone: (d, K) multiples of g.

    A float64 Cholesky factor and iterative refinement with exact residuals, on a grid 2^40
    finer than g and until no coordinate moves: another machine gets the same integers, but
    where the optimum is within 2^-40 g of a tie of the rounding. Source: Higham 2002, ch. 12
    (refinement); carrying the solution as integers is ours.

    Raises:
        ArithmeticRefused: Not positive definite in float64, no convergence, or off the grid.
    """
    fine = _exponent(grid) - _EXTRA_BITS
    with threads_for(state.width):
        weights = _refined(state, scale, fine)
        try:
            return rounded_off(weights, _EXTRA_BITS)
        except ArithmeticRefused as error:
            raise _off_the_grid() from error


def solve_within(
    state: HeadState, scale: HeadScale, grid: float, tolerance: float, precision: Precision
) -> Ints | None:
    """A head on the grid whose residual is proved to be at most `tolerance`, or None.

    The same refinement as in `solve`, but on the grid itself and no further than it must go:
    most often one step in double precision, two or three in single.

    Args:
        state, scale: As in `solve`; nothing else is read.
        grid: g, a power of two.
        tolerance: tau, in gradient units.
        precision: Of the factor.

    Returns:
        (d, K) multiples of g; None if there is no such factor, or if its steps do not reach
        the tolerance.
    """
    exponent = _exponent(grid)
    with threads_for(state.width):
        try:
            solver = factor(state.gram, scale.a, scale.strong_convexity, precision)
        except ArithmeticRefused:
            return None
        weights = np.zeros((state.width, state.outputs), np.int64)
        left, bound = residual(state, scale, places_of(weights), exponent), inf
        for _ in range(_MAX_STEPS):
            step = np.rint(solver(left.in_units_of(exponent)))
            if not np.abs(weights + step).max() < _LARGEST:  # or is not a number
                return None
            weights = weights + step.astype(np.int64)
            left = residual(state, scale, places_of(weights), exponent)
            last, bound = bound, left.bound()
            if bound <= tolerance:
                return weights
            if not bound < last / 2:
                return None
    return None


def _refined(state: HeadState, scale: HeadScale, fine: int) -> Places:
    """The optimum in units of 2^fine, as near as refinement gets."""
    solver = factor(state.gram, scale.a, scale.strong_convexity, "double")
    weights = np.zeros((1, state.width, state.outputs), np.int64)
    for _ in range(_MAX_STEPS):
        step = np.rint(solver(residual(state, scale, weights, fine).in_units_of(fine)))
        if not step.any():
            return weights
        if not np.isfinite(step).all():
            break
        weights = balanced(added(weights, places_of_floats(step)))
    raise ArithmeticRefused(
        "the head's optimum was not reached: too ill-conditioned for float64",
        hint="use a larger lambda (heads.strong_convexity)",
    )


def _exponent(grid: float) -> int:
    """k of a grid of 2^k."""
    return frexp(check_grid(grid))[1] - 1


def _dyadic(value: float) -> tuple[int, int]:
    """An odd m and a k with value = m 2^k."""
    numerator, denominator = value.as_integer_ratio()
    twos = (numerator & -numerator).bit_length() - 1
    return numerator >> twos, twos - (denominator.bit_length() - 1)


def _off_the_grid() -> ArithmeticRefused:
    return ArithmeticRefused(
        "a weight does not fit the grid", hint="use a larger lambda (heads.strong_convexity)"
    )
