"""How likely numbers are to be independent standard normal ones: by their size, by their spread."""

from __future__ import annotations

import numpy as np
from scipy.special import chdtr, chdtrc, kolmogorov, ndtr

from mbd.head.factor import Floats


def size_p_value(z: Floats) -> float:
    """Two-sided probability of a sum of squares as small or as large (chi-square)."""
    squares = float((z**2).sum())
    return min(1.0, 2 * min(float(chdtr(z.size, squares)), float(chdtrc(z.size, squares))))


def spread_p_values(z: Floats) -> tuple[float, float]:
    """Probability of a distance as large, or as small, between these numbers and the normal.

    Kolmogorov-Smirnov, asymptotic. Evenly spread quantiles fit too well to be drawn. The lower
    tail is Jacobi's form of Kolmogorov's distribution at x + 1 / (6 sqrt(n)) (Vrbik 2018, its
    first correction).
    """
    expected, n = ndtr(np.sort(z, axis=None)), z.size
    steps = np.arange(n + 1) / n
    distance = max(float((steps[1:] - expected).max()), float((expected - steps[:-1]).max()))
    scaled = np.sqrt(n) * distance
    moved = scaled + 1 / (6 * np.sqrt(n))
    near = np.sqrt(2 * np.pi) / moved * np.exp(-(np.pi**2) / (8 * moved**2))
    return float(kolmogorov(scaled)), float(min(1.0, near))
