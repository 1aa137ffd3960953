"""Canonne, Kamath & Steinke 2020, algorithms 1 to 3, line by line, on Python integers."""

from __future__ import annotations

from fractions import Fraction
from random import Random


def bernoulli(p: Fraction, rng: Random) -> bool:
    return rng.randrange(p.denominator) < p.numerator


def bernoulli_exp(gamma: Fraction, rng: Random) -> bool:
    """Algorithm 1: True with probability exp(-gamma)."""
    while gamma > 1:
        if not bernoulli_exp(Fraction(1), rng):
            return False
        gamma -= 1
    k = 1
    while bernoulli(gamma / k, rng):
        k += 1
    return k % 2 == 1


def discrete_laplace(t: int, rng: Random) -> int:
    """Algorithm 2: P(x) proportional to exp(-|x| / t)."""
    while True:
        u = rng.randrange(t)
        if not bernoulli_exp(Fraction(u, t), rng):
            continue
        v = 0
        while bernoulli_exp(Fraction(1), rng):
            v += 1
        x = u + t * v
        negative = rng.random() < 0.5
        if not (negative and x == 0):
            return -x if negative else x


def discrete_gaussian(sigma: int, rng: Random) -> int:
    """Algorithm 3: P(y) proportional to exp(-y^2 / (2 sigma^2))."""
    t = sigma + 1
    while True:
        y = discrete_laplace(t, rng)
        excess = (abs(y) - Fraction(sigma**2, t)) ** 2 / (2 * sigma**2)
        if bernoulli_exp(excess, rng):
            return y
