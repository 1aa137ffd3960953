"""The surgical update: saliency selects the heads, a proved residual bounds the rest.

*Structural saliency* selects every head that reads the revoked modality (`plan`); the others
keep their bits. Within a selected head, the *parameter saliency* of row j of the previous
release W, `||R_j||^2 / A_jj` with `R = B - A W`, could select coordinates to correct first.
Measured, it cannot: a release carries noise z of standard deviation sigma on every
coordinate, and correcting all coordinates but a set C leaves

    ||R||_F  =  ||(A / A_SS) z_C||_F  >=  lambda ||z_C||_F        (a Schur complement),

while tau = lambda sigma sqrt(rho / 2), about .11 lambda sigma at the default (1, 1e-6) with
one head. One uncorrected coordinate already exceeds it nine times in ten, so candidates
always grow to all of them, and growing costs more than one direct solve. So the update is
the direct, canonical solve from the new state alone. The tests hold both facts.
"""

from __future__ import annotations

from dataclasses import dataclass

from mbd.errors import ArithmeticRefused
from mbd.head.integers import Ints
from mbd.head.solve import HeadScale, residual_bound, solve
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
        ArithmeticRefused: The bound is above the tolerance. There is no second method: the
            caller learns that nothing was released, and not how far off it was.
    """
    weights = solve(state, scale, grid)
    if not residual_bound(state, scale, weights, grid) <= tolerance:
        raise ArithmeticRefused(
            "the tolerance was not reached on this grid: nothing was released",
            code="arithmetic.tolerance",
            field="tolerance",
            hint="ask for a larger epsilon, use --method exact, or retrain for more rows",
        )
    return Rounded(weights, grid)
