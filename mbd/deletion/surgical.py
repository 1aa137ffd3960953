"""The surgical update: saliency selects the heads, a proved residual bounds the rest.

*Structural saliency* selects every head that reads the revoked modality (`plan`); the others
keep their bits. Within a selected head, the *parameter saliency* of row j of the previous
release W, `||R_j||^2 / A_jj` with `R = B - A W`, could select coordinates to correct first.
Measured, it cannot: a release carries noise z of standard deviation sigma on every
coordinate, and correcting all coordinates but a set C leaves

    ||R||_F  =  ||(A / A_SS) z_C||_F  >=  lambda ||z_C||_F        (a Schur complement),

while tau = lambda sigma sqrt(rho / 2), about .11 lambda sigma at the default (1, 1e-6) with
one head. One uncorrected coordinate already exceeds it nine times in ten, so candidates
always grow to all of them, and growing costs more than one direct solve. A solve in the span
of the removed rows needs a factor of the state before: made from the integer state it costs
what a direct solve costs, kept between requests it must be made anew after each. Conjugate
gradients come near where lambda is large and K = 1, and fall behind with the root of the
condition. `examples/benchmarks/surgery.py` measures them all.

So the update solves directly from the new state alone, with a factor whose precision
`mbd.head.cost` chooses. Whatever ran, a proved residual decides what is accepted.
"""

from __future__ import annotations

from dataclasses import dataclass

from mbd.errors import ArithmeticRefused
from mbd.head.cost import cheaper_precision
from mbd.head.integers import Ints
from mbd.head.solve import HeadScale, residual_bound, solve, solve_within
from mbd.head.state import HeadState


@dataclass(frozen=True, eq=False)
class Rounded:
    """A head before its noise: never stored, never published."""

    weights: Ints
    """(d, K) multiples of the grid."""
    grid: float
    """g."""


def surgical_update(
    state: HeadState, scale: HeadScale, *, tolerance: float, grid: float
) -> Rounded:
    """A head whose gradient residual is proved to be at most `tolerance`.

    Args:
        state: The state after the subtraction; nothing else is read.
        scale: Units and lambda of the head.
        tolerance: tau, in gradient units.
        grid: g.

    Raises:
        ArithmeticRefused: Not even the canonical solution is within the tolerance. The
            caller learns that nothing was released, and not how far off it was.
    """
    if cheaper_precision(state, scale) == "single":
        weights = solve_within(state, scale, grid, tolerance, "single")
        if weights is not None:
            return Rounded(weights, grid)
    weights = solve_within(state, scale, grid, tolerance, "double")
    if weights is not None:
        return Rounded(weights, grid)
    weights = solve(state, scale, grid)
    if not residual_bound(state, scale, weights, grid) <= tolerance:
        raise ArithmeticRefused(
            "the tolerance was not reached on this grid: nothing was released",
            code="arithmetic.tolerance",
            field="tolerance",
            hint="ask for a larger epsilon, use --method exact, or retrain for more rows",
        )
    return Rounded(weights, grid)
