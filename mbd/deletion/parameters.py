"""The numbers of a release: fixed by the policy at training, completed by a request.

Training fixes lambda, sigma and the grid g of every head, from declared numbers and
foundation rows only. A request brings (epsilon, delta); they and the number of selected
heads give the tolerance tau, by a rule that is logged with the policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from math import floor, log2, sqrt

from mbd.errors import ArithmeticRefused
from mbd.head.solve import HeadScale, check_grid
from mbd.privacy.accountant import (
    account,
    noise_steps,
    sensitivity_of,
    sigma_on_grid,
    tolerance_for,
)
from mbd.privacy.discrete_gaussian import MAX_STEPS
from mbd.privacy.zcdp import rho_for, sensitivity_for, share
from mbd.values import HeadParameters

ROOM = 10
"""How far below tau the planned rounding error of a head stays."""

TOLERANCE_DIGITS = 3
"""tau is rounded down to so many significant digits."""


@dataclass(frozen=True, kw_only=True)
class HeadPolicy:
    """What training fixed for one head; part of the logged policy."""

    head: str
    dimension: int
    """d."""
    outputs: int
    """K."""
    scale: HeadScale
    sigma: float
    """Standard deviation of the noise on every coordinate; a multiple of the grid."""
    grid: float
    """g, a power of two."""

    def __post_init__(self) -> None:
        check_grid(self.grid)
        noise_steps(self.sigma, self.grid)


def plan_head(
    *,
    head: str,
    dimension: int,
    outputs: int,
    norm_squared: int,
    scale: HeadScale,
    noise: float,
    range_width: float,
    planned_rows: int,
    selected: int,
    epsilon: float,
    delta: float,
) -> HeadPolicy:
    """Sigma from the prediction noise that is accepted, g from the tolerance it must serve.

    Args:
        head: Name of the head.
        dimension: d.
        outputs: K.
        norm_squared: Largest squared length of an integer row (`FeatureMap.norm_squared`).
        scale: Units and lambda.
        noise: Standard deviation of a prediction's noise, as a share of the label range.
        range_width: Width of the label range, in label units.
        planned_rows: Rows that the head may come to hold.
        selected: Most heads that one request replaces.
        epsilon, delta: The default request, which must be served with ten-fold room.

    Raises:
        ArithmeticRefused: tau is not reachable with ten-fold room at the planned rows.
    """
    wanted = noise * range_width / sqrt(dimension)
    rho = share(rho_for(epsilon, delta), selected)
    tolerance = _tolerance(wanted, scale.strong_convexity, rho)
    matrix = scale.a * planned_rows * norm_squared + scale.strong_convexity * sqrt(dimension)
    finest = tolerance / (ROOM * matrix * sqrt(outputs / 12))
    grid = 2.0 ** floor(log2(finest))
    if wanted > grid * (MAX_STEPS // 2):
        raise ArithmeticRefused(
            f"head {head!r}: the tolerance is out of reach at {planned_rows} planned rows",
            code="arithmetic.tolerance",
            field="heads.noise",
            hint="raise heads.noise or heads.strong_convexity, or lower heads.width",
        )
    return HeadPolicy(
        head=head,
        dimension=dimension,
        outputs=outputs,
        scale=scale,
        sigma=sigma_on_grid(wanted, grid),
        grid=grid,
    )


def head_parameters(
    policies: Sequence[HeadPolicy], epsilon: float, delta: float
) -> tuple[HeadParameters, ...]:
    """Split (epsilon, delta) evenly, as rho, over the selected heads; sorted by name.

    Raises:
        ArithmeticRefused: No head, a bad epsilon or delta, or the parameters would cost
            more than was asked for.
    """
    if not policies:
        raise ArithmeticRefused("heads: no head to release", field="heads")
    rho = share(rho_for(epsilon, delta), len(policies))
    ordered = sorted(policies, key=lambda policy: policy.head)
    parameters = tuple(_complete(policy, rho) for policy in ordered)
    loss = account(parameters, delta)
    if loss.epsilon > epsilon:
        raise ArithmeticRefused(
            f"the selected heads cost epsilon {loss.epsilon}, more than {epsilon}", field="epsilon"
        )
    return parameters


def _complete(policy: HeadPolicy, rho: float) -> HeadParameters:
    convexity = policy.scale.strong_convexity
    tolerance = _tolerance(policy.sigma, convexity, rho)
    return HeadParameters(
        head=policy.head,
        dimension=policy.dimension,
        outputs=policy.outputs,
        strong_convexity=convexity,
        tolerance=tolerance,
        sensitivity=sensitivity_of(tolerance, convexity),
        sigma=policy.sigma,
        grid=policy.grid,
    )


def _tolerance(sigma: float, strong_convexity: float, rho: float) -> float:
    """The logged rule: the largest tau that costs at most `rho`, rounded down."""
    return _round_down(tolerance_for(sensitivity_for(rho, sigma), strong_convexity))


def _round_down(value: float) -> float:
    """To `TOLERANCE_DIGITS` significant digits; the nearest float is never above `value`."""
    exact = Decimal(value)
    place = Decimal(1).scaleb(exact.adjusted() - TOLERANCE_DIGITS + 1)
    return float(exact.quantize(place, rounding=ROUND_FLOOR))
