"""Scores of a head, from the same integer features as in training."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mbd.head.integers import DIGIT_BITS, Integers, digits
from mbd.head.solve import HeadScale


def head_scores(
    q: Integers, weights: Integers, grid: float, scale: HeadScale
) -> npt.NDArray[np.float64]:
    """`(q / Q)^T W` in label units: (n, d) int16, (d, K) multiples of g -> (n, K).

    The products are exact integers; only their last sum rounds, in a fixed order. So a score
    is the same on every machine, with any number of threads and beside any other rows.
    """
    rows = q.astype(np.float64)
    scores = np.zeros((len(q), weights.shape[1]))
    for place, digit in reversed(list(enumerate(digits(weights)))):
        scores += (rows @ digit) * 2.0 ** (DIGIT_BITS * place)
    return scores * (grid * 2.0**-scale.feature_bits)
