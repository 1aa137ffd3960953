"""Are the released heads what they claim to be: the optimum plus noise of the stated sigma?

With the state at hand the optimum is known, so `(released - optimum) / sigma` must look like
independent standard normal numbers: neither larger (a stale head, too much noise) nor smaller
(too little noise). Heads released without noise must equal the optimum bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from mbd.deletion.noise_patterns import MODEL_THRESHOLD
from mbd.deletion.normality import size_p_value, spread_p_values
from mbd.head.factor import Floats
from mbd.head.integers import Ints
from mbd.head.solve import HeadScale, solve
from mbd.head.state import HeadState
from mbd.privacy.accountant import noise_steps

TESTS = 4
"""Of the noise of one head."""
THRESHOLD = MODEL_THRESHOLD
"""Honest heads fall below this two-sided probability once in a thousand million checks."""


@dataclass(frozen=True, kw_only=True)
class HeadCheck:
    """The finding about one head."""

    passed: bool
    noise_ratio: float
    """Root mean square of the deviation, in units of the stated sigma; 0 for an exact head."""
    p_value: float
    """Two-sided probability of a deviation as extreme; 1 or 0 for an exact head."""
    detail: str


def check_head(
    state: HeadState, scale: HeadScale, weights: Ints, *, grid: float, sigma: float | None
) -> HeadCheck:
    """Compare a released head with the optimum of its state.

    Args:
        state: Rebuilt from the retained rows, not read from the model.
        scale: Units and lambda.
        weights: The released head, (d, K) multiples of the grid.
        grid: g.
        sigma: The stated noise; None for a head released without.
    """
    return check_deviation(weights - solve(state, scale, grid), grid=grid, sigma=sigma)


def check_deviation(
    deviation: Ints, *, grid: float, sigma: float | None, threshold: float = THRESHOLD
) -> HeadCheck:
    """The same where the optimum is known: what is left of the head without it, in grid steps."""
    if sigma is None:
        return _check_exact(deviation)
    return _check_noise(deviation / noise_steps(sigma, grid), threshold)


def _check_exact(deviation: Ints) -> HeadCheck:
    equal = not deviation.any()
    return HeadCheck(
        passed=equal,
        noise_ratio=0.0,
        p_value=1.0 if equal else 0.0,
        detail="equal to the optimum" if equal else "differs from the optimum of its state",
    )


def _check_noise(z: Floats, threshold: float) -> HeadCheck:
    """Four tests: the sum of squares (chi-square), the largest coordinate (Bonferroni), and the
    whole distribution, which may be neither too far nor too near (Kolmogorov-Smirnov, asymptotic).
    """
    largest = min(1.0, 2 * z.size * float(ndtr(-np.abs(z).max())))
    ratio = float(np.sqrt(np.mean(z**2)))
    p_value = min(1.0, TESTS * min(size_p_value(z), largest, *spread_p_values(z)))
    passed = p_value >= threshold
    return HeadCheck(
        passed=passed,
        noise_ratio=ratio,
        p_value=p_value,
        detail="within the noise of the optimum" if passed else _explain(ratio),
    )


def _explain(ratio: float) -> str:
    if 0.5 < ratio < 2:
        return "its deviation from the optimum of its state is not Gaussian noise"
    if ratio < 1:
        return "closer to the optimum of its state than the stated noise allows"
    return "further from the optimum of its state than the stated noise allows"
