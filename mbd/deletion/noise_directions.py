"""The noise of a head along the directions in which its records lie.

Noise that leaves these directions alone hides nothing and costs no accuracy: it is what a
dishonest operator would choose, and no test of single coordinates sees it. The directions come
from the state alone, which the noise does not know. So along them honest noise is independent and
normal again.
"""

from __future__ import annotations

import numpy as np

from mbd.head.factor import Floats
from mbd.head.integers import Ints

MOST_DIRECTIONS = 512
"""More would take long in wide heads; these hold nearly all that predictions depend on."""

_POWER_STEPS = 2
_SMOOTHING = 2.0
"""Standard deviation, in grid steps, of what is added before turning."""
_SEED = 20_260_101


def leading_directions(gram: Ints) -> Floats:
    """Orthonormal columns close to the leading eigenvectors of a state, the largest first.

    By subspace iteration from random columns, and Rayleigh-Ritz (Halko, Martinsson, Tropp 2011,
    algorithms 4.4 and 5.3). Any orthonormal columns make a valid test; these make a sharp one.

    Args:
        gram: G, (d, d), symmetric, positive semidefinite.

    Returns:
        (d, k), k = d where that is at most `MOST_DIRECTIONS`.
    """
    width = gram.shape[0]
    matrix = gram / max(1.0, float(np.trace(gram)))
    columns = np.random.default_rng(_SEED).standard_normal((width, min(width, MOST_DIRECTIONS)))
    basis = np.linalg.qr(columns).Q
    for _ in range(_POWER_STEPS):
        basis = np.linalg.qr(matrix @ basis).Q
    _, turned = np.linalg.eigh(basis.T @ (matrix @ basis))
    found: Floats = basis @ turned[:, ::-1]
    return found


def along(directions: Floats, deviation: Ints, steps: int) -> Floats:
    """Noise along directions, (k, K): independent standard normal numbers if it is honest.

    A discrete Gaussian turned in space is no discrete Gaussian. With continuous noise of std r
    beside its own std s it is continuous before it is turned: by Poisson summation the density of
    the sum is the normal one times 1 +- 2 exp(-2 pi^2 t^2), 1/t^2 = 1/r^2 + 1/s^2. With r = 2 that
    is less than 1e-16 for s of 2 or more.

    Args:
        directions: (d, k), orthonormal columns that the noise does not depend on.
        deviation: (d, K) multiples of the grid.
        steps: Standard deviation that is stated, in multiples of the grid.
    """
    smooth = np.random.default_rng(_SEED + 1).normal(scale=_SMOOTHING, size=deviation.shape)
    turned: Floats = directions.T @ ((deviation + smooth) / np.hypot(steps, _SMOOTHING))
    return turned
