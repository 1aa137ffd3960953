"""The Gaussian release: integer noise on every coordinate, from the operating system's entropy.

Every head that leaves training or a certified deletion is released here, so that all of them
are the optimum of their state plus noise of the stated sigma.
"""

from __future__ import annotations

import os

from mbd.deletion.surgical import Rounded, surgical_update
from mbd.errors import ArithmeticRefused
from mbd.head.integers import Ints, add_exactly
from mbd.head.solve import HeadScale
from mbd.head.state import HeadState
from mbd.privacy.accountant import noise_steps
from mbd.privacy.discrete_gaussian import Entropy, sample
from mbd.values import HeadParameters


def release(rounded: Rounded, sigma: float, entropy: Entropy = os.urandom) -> Ints:
    """`W + g Z`, Z discrete Gaussian of parameter sigma / g: (d, K) multiples of g.

    Raises:
        ArithmeticRefused: sigma is not a whole number of grid steps, or out of range.
    """
    shape = rounded.weights.shape
    noise = sample(noise_steps(sigma, rounded.grid), rounded.weights.size, entropy)
    return add_exactly(rounded.weights, noise.reshape(shape))


def certified_release(
    state: HeadState, scale: HeadScale, parameters: HeadParameters, entropy: Entropy = os.urandom
) -> Ints:
    """Surgical update and noise under exactly the parameters that will be certified.

    Raises:
        ArithmeticRefused: The parameters are not those of this head, or the tolerance is
            out of reach.
    """
    stated = (parameters.dimension, parameters.outputs, parameters.strong_convexity)
    if stated != (state.width, state.outputs, scale.strong_convexity):
        raise ArithmeticRefused(f"parameters of {parameters.head!r} describe another head")
    rounded = surgical_update(state, scale, tolerance=parameters.tolerance, grid=parameters.grid)
    return release(rounded, parameters.sigma, entropy)
