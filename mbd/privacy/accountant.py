"""What one deletion costs in privacy: the one formula of issuer and verifier.

Two runs of the update with the same new state end at most 2 tau / lambda apart (strong
convexity: ||W - W*|| <= ||gradient|| / lambda for each). Noise of parameter sigma on every
coordinate makes that (2 tau / lambda)^2 / (2 sigma^2)-zCDP; heads and attempts add up.
Sources of the second half: see `zcdp`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from mbd.errors import ArithmeticRefused
from mbd.privacy.rounding import down, positive, probability, up
from mbd.privacy.zcdp import compose, epsilon_of, rho_of
from mbd.values import HeadParameters


@dataclass(frozen=True, kw_only=True)
class PrivacyLoss:
    """What may be claimed; rho and epsilon are rounded up."""

    rho: float
    epsilon: float
    delta: float


def account(heads: Sequence[HeadParameters], delta: float, attempts: int = 1) -> PrivacyLoss:
    """The loss of releasing all `heads` together, each `attempts` times.

    Raises:
        ArithmeticRefused: No head, one head twice, fewer than one attempt, delta outside
            (0, 1), or a parameter that the theorem does not allow; `field` names it.
    """
    probability(delta, "delta")
    if not heads:
        raise ArithmeticRefused("heads: no head to account for", field="heads")
    if len({head.head for head in heads}) != len(heads):
        raise ArithmeticRefused("heads: one head appears twice", field="heads")
    if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
        raise ArithmeticRefused(f"attempts: want at least 1, got {attempts}", field="attempts")
    rho = _rho_of_all(attempts, *(_rho_of_head(head) for head in heads))
    return PrivacyLoss(rho=rho, epsilon=epsilon_of(rho, delta), delta=delta)


def sensitivity_of(tolerance: float, strong_convexity: float) -> float:
    """Delta = 2 tau / lambda: how far apart two updates to one state can end; rounded up.

    Args:
        tolerance: tau, bound on the Frobenius norm of the gradient residual.
        strong_convexity: lambda of the objective.

    Raises:
        ArithmeticRefused: An argument is not finite and > 0.
    """
    tau, convexity = _tolerance(tolerance), _convexity(strong_convexity)
    return up(2 * Fraction(tau) / Fraction(convexity))


def tolerance_for(sensitivity: float, strong_convexity: float) -> float:
    """The largest tau with 2 tau / lambda <= sensitivity, rounded down: a budget.

    Raises:
        ArithmeticRefused: An argument is not finite and > 0, or tau is below every float.
    """
    bound = Fraction(positive(sensitivity, "sensitivity"))
    return _tolerance(down(bound * Fraction(_convexity(strong_convexity)) / 2))


def noise_steps(sigma: float, grid: float) -> int:
    """sigma / g, the parameter of the integer noise: sigma is a whole number of grid steps.

    Raises:
        ArithmeticRefused: `grid` is not a power of two, or sigma not a multiple of it.
    """
    steps = Fraction(positive(sigma, "sigma")) / Fraction(_grid(grid))
    if steps.denominator != 1:
        raise ArithmeticRefused(f"sigma: {sigma} is not a multiple of {grid}", field="sigma")
    return steps.numerator


def sigma_on_grid(sigma: float, grid: float) -> float:
    """The smallest float multiple of `grid` that is not below `sigma`.

    Raises:
        ArithmeticRefused: `grid` is not a power of two, or the result is beyond every float.
    """
    steps = math.ceil(Fraction(positive(sigma, "sigma")) / Fraction(_grid(grid)))
    return up(steps * Fraction(grid))


def _rho_of_head(head: HeadParameters) -> float:
    """rho of one head, refusing a stated sensitivity below the one its tolerance implies."""
    for field in ("dimension", "outputs"):
        value = getattr(head, field)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ArithmeticRefused(f"{field}: want at least 1, got {value}", field=field)
    needed, rho = _needed_and_rho(
        head.tolerance, head.strong_convexity, head.sensitivity, head.sigma, head.grid
    )
    if not head.sensitivity >= needed:
        raise ArithmeticRefused(
            f"sensitivity: {head.sensitivity} of head {head.head!r} is below 2 tau / lambda",
            field="sensitivity",
        )
    return rho


# The certificates of one model share their constants. `typed`: True is no number, but equals 1.
@lru_cache(maxsize=256, typed=True)
def _needed_and_rho(
    tolerance: float, strong_convexity: float, sensitivity: float, sigma: float, grid: float
) -> tuple[float, float]:
    """The sensitivity that the tolerance implies, and rho of the one that is stated."""
    noise_steps(sigma, grid)
    needed = sensitivity_of(tolerance, strong_convexity)
    return needed, rho_of(sensitivity, sigma)


@lru_cache(maxsize=256, typed=True)
def _rho_of_all(attempts: int, *rhos: float) -> float:
    """rho of releasing all heads, so many times; rounded up."""
    return up(Fraction(compose(rhos)) * attempts)


def _tolerance(value: float) -> float:
    return positive(value, "tolerance")


def _convexity(value: float) -> float:
    return positive(value, "strong_convexity")


def _grid(value: float) -> float:
    if math.frexp(positive(value, "grid"))[0] != 0.5:
        raise ArithmeticRefused(f"grid: want a power of two, got {value}", field="grid")
    return value
