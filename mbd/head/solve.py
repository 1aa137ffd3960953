"""From a state to the head: the optimum rounded to a grid, and how far any head is from it.

With `A = a G + lambda I` and `B = b H` (a, b, lambda dyadic) the optimum is `W* = A^-1 B`,
and for every W: `||W - W*||_F <= ||A W - B||_F / lambda`, since G is positive semidefinite.
Residuals are integers: their norm is exact up to one rounding upwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import frexp, inf, isqrt

import numpy as np
import numpy.typing as npt
import scipy.linalg

from mbd.errors import ArithmeticRefused, UsageError
from mbd.head import accelerator
from mbd.head.integers import Integers, Ints, as_integers, largest, long_product
from mbd.head.state import HeadState
from mbd.head.threads import threads_for
from mbd.privacy.rounding import up

_EXTRA_BITS = 40
_MAX_STEPS = 40
_ROOT_BITS = 64  # of a square root, below the unit of the residual


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


def residual(
    state: HeadState, scale: HeadScale, weights: Integers, grid: Fraction
) -> tuple[Integers, Fraction]:
    """`B - A W` for `W = weights * grid`, exactly: integers (d, K) and their common unit."""
    factors = (
        Fraction(scale.b),
        Fraction(scale.a) * grid,
        Fraction(scale.strong_convexity) * grid,
    )
    unit = Fraction(1, max(factor.denominator for factor in factors))
    of_cross, of_gram, of_weights = (int(factor / unit) for factor in factors)
    product = long_product(state.gram, weights)
    whole = weights.astype(object)
    return of_cross * state.cross.astype(object) - of_gram * product - of_weights * whole, unit


def residual_bound(state: HeadState, scale: HeadScale, weights: Integers, grid: float) -> float:
    """Upper bound on `||A W - B||_F` for `W = weights * grid`; tight to a float's last digit.

    Args:
        state: The state of the head.
        scale: Its units and lambda.
        weights: (d, K) integers.
        grid: g, a power of two.
    """
    with threads_for(state.width):
        left, unit = residual(state, scale, weights, Fraction(check_grid(grid)))
    squares = sum(int(value) ** 2 for value in left.flat) << 2 * _ROOT_BITS
    norm = isqrt(squares - 1) + 1 if squares else 0
    return up(norm * unit / 2**_ROOT_BITS)


def solve(state: HeadState, scale: HeadScale, grid: float) -> Ints:
    """The optimum rounded to the grid, from the state alone: (d, K) multiples of g.

    A float64 Cholesky factor and iterative refinement with exact residuals, on a grid 2^40
    finer than g and until no coordinate moves: another machine gets the same integers, but
    where the optimum is within 2^-40 g of a tie of the rounding. Source: Higham 2002, ch. 12
    (refinement); carrying the solution as integers is ours.

    Raises:
        ArithmeticRefused: Not positive definite in float64, no convergence, or off the grid.
    """
    fine = Fraction(check_grid(grid)) / 2**_EXTRA_BITS
    with threads_for(state.width):
        return _round(_refined(state, scale, fine))


def _refined(state: HeadState, scale: HeadScale, fine: Fraction) -> Integers:
    """The optimum as a multiple of `fine`, as near as refinement gets."""
    solver = accelerator.factor(
        state.gram, scale.a, scale.strong_convexity, lambda: _factor(state, scale)
    )
    weights = np.zeros((state.width, state.outputs), object)
    for _ in range(_MAX_STEPS):
        left, unit = residual(state, scale, weights, fine)
        step = np.rint(solver(_floats(left, unit / fine)))
        if not step.any():
            return weights
        if not np.isfinite(step).all():
            break
        weights = weights + as_integers(step)
    raise ArithmeticRefused(
        "the head's optimum was not reached: too ill-conditioned for float64",
        hint="use a larger lambda (heads.strong_convexity)",
    )


def _factor(state: HeadState, scale: HeadScale) -> accelerator.Solver:
    matrix = state.gram.astype(np.float64) * scale.a
    matrix[np.diag_indices(state.width)] += scale.strong_convexity
    try:
        factor: npt.NDArray[np.float64] = scipy.linalg.cholesky(
            matrix, lower=True, overwrite_a=True, check_finite=False
        )
    except np.linalg.LinAlgError as error:
        raise ArithmeticRefused(
            "the head's matrix is not positive definite in float64",
            hint="use a larger lambda (heads.strong_convexity)",
        ) from error
    return lambda right: np.asarray(scipy.linalg.cho_solve((factor, True), right))


def _floats(values: Integers, unit: Fraction) -> npt.NDArray[np.float64]:
    """Integers times a dyadic unit, to float64 precision; the unit may be tiny."""
    return values.astype(np.float64) * float(unit)


def _round(fine: Integers) -> Ints:
    rounded = (fine + 2 ** (_EXTRA_BITS - 1)) >> _EXTRA_BITS
    if largest(rounded) >= 2**62:
        raise ArithmeticRefused(
            "a weight does not fit the grid", hint="use a larger lambda (heads.strong_convexity)"
        )
    whole: Ints = rounded.astype(np.int64)
    return whole
