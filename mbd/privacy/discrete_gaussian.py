"""An exact sampler of the discrete Gaussian, by comparisons of integers only.

The law on the integers is P(z) proportional to exp(-z^2 / (2 s^2)). Write |z| = s k + u with
0 <= u < s. Then z^2 / (2 s^2) = k^2/2 + k (u/s) + (u/s)^2/2, so

    1. draw k with probability proportional to exp(-k/2), u uniform below s, and a sign;
    2. keep them with probability exp(-k(k-1)/2) exp(-u/s)^k exp(-(u/s)^2/2);
    3. of the two zeros keep one.

Every factor is a coin of bias exp(-gamma), 0 <= gamma <= 1, tossed by Bernoulli(gamma / j)
for j = 1, 2, ... And every Bernoulli is "a uniform integer below s is below u" or "a uniform
integer below j is 0": no float, no rounding, no table, and no number beyond s * k.

Sources: Canonne, Kamath & Steinke 2020, arXiv:2004.00010 (algorithm 1: the coin; algorithm 3:
rejection); Karney 2016, arXiv:1303.6257 (algorithm N: the split into k and u).
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mbd.errors import ArithmeticRefused

Entropy = Callable[[int], bytes]
"""That many independent uniform bytes."""

MAX_STEPS = 1 << 48
"""Largest s: leaves 2^15 for k, which is beyond it with probability e^-16384."""

_BATCH = 1 << 16  # lanes at a time: they stay in the cache
_WORDS = (np.uint8, np.uint16, np.uint32, np.uint64)

Lanes = NDArray[np.intp]
Integers = NDArray[np.int64]


def sample(steps: int, size: int, entropy: Entropy = os.urandom) -> Integers:
    """Independent draws from the discrete Gaussian with parameter s = `steps`.

    Args:
        steps: s = sigma / g, a whole number, 1 to 2^48.
        size: How many, >= 0.
        entropy: Source of bytes; the operating system's unless a test brings its own.

    Returns:
        (size,) int64.

    Raises:
        ArithmeticRefused: `steps` or `size` is out of range.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= MAX_STEPS:
        raise ArithmeticRefused(f"sigma: want 1 to 2^48 grid steps, got {steps}", field="sigma")
    if size < 0:
        raise ArithmeticRefused(f"size: want at least 0, got {size}", field="size")
    result = np.empty(size, np.int64)
    filled = 0
    while filled < size:
        drawn = _attempt(min(_BATCH, 3 * (size - filled) + 16), steps, entropy)[: size - filled]
        result[filled : filled + drawn.size] = drawn
        filled += drawn.size
    return result


def _attempt(lanes: int, steps: int, entropy: Entropy) -> Integers:
    """The values kept out of `lanes` proposals, in order."""
    multiple = _geometric_half(lanes, entropy)
    multiple = multiple[_keep_multiple(multiple, entropy)]
    offset = _uniform(steps, multiple.size, entropy)
    kept = _keep_offset(multiple, offset, steps, entropy)
    magnitude = multiple[kept] * steps + offset[kept]
    negative = _uniform(2, magnitude.size, entropy) == 1
    signed: Integers = np.where(negative, -magnitude, magnitude)
    drawn: Integers = signed[~(negative & (magnitude == 0))]
    return drawn


def _geometric_half(lanes: int, entropy: Entropy) -> Integers:
    """k >= 0 with P(k) proportional to exp(-k/2), (lanes,)."""
    count = np.zeros(lanes, np.int64)
    running = np.arange(lanes)
    while running.size:
        running = running[_coin_half(running.size, entropy)]
        count[running] += 1
        if running.size and count[running[0]] >= 1 << 15:
            raise ArithmeticRefused("the source of entropy repeats itself", field="entropy")
    return count


def _keep_multiple(multiple: Integers, entropy: Entropy) -> Lanes:
    """The lanes kept with probability exp(-k(k-1)/2): k(k-1) coins of bias exp(-1/2)."""
    return _toss_each(multiple * (multiple - 1), lambda lanes: _coin_half(lanes.size, entropy))


def _keep_offset(multiple: Integers, offset: Integers, steps: int, entropy: Entropy) -> Lanes:
    """The lanes kept with probability exp(-u/s)^k exp(-(u/s)^2/2)."""
    kept = np.flatnonzero(_coin_square(offset, steps, entropy))
    linear = _toss_each(
        multiple[kept], lambda lanes: _coin_linear(offset[kept[lanes]], steps, entropy)
    )
    return kept[linear]


def _toss_each(tosses: Integers, coin: Callable[[Lanes], NDArray[np.bool_]]) -> Lanes:
    """The lanes whose coin, tossed `tosses` times, shows heads every time; in order."""
    alive = np.ones(tosses.size, np.bool_)
    running = np.flatnonzero(tosses > 0)
    done = 0
    while running.size:
        heads = coin(running)
        alive[running[~heads]] = False
        done += 1
        running = running[heads & (tosses[running] > done)]
    return np.flatnonzero(alive)


def _coin_half(lanes: int, entropy: Entropy) -> NDArray[np.bool_]:
    """Heads with probability exp(-1/2)."""
    return _coin(lanes, lambda running, j: _one_in(2 * j, running.size, entropy))


def _coin_linear(offset: Integers, steps: int, entropy: Entropy) -> NDArray[np.bool_]:
    """Heads with probability exp(-u/s)."""

    def trial(running: Lanes, j: int) -> NDArray[np.bool_]:
        return _below(offset[running], steps, entropy) & _one_in(j, running.size, entropy)

    return _coin(offset.size, trial)


def _coin_square(offset: Integers, steps: int, entropy: Entropy) -> NDArray[np.bool_]:
    """Heads with probability exp(-(u/s)^2 / 2)."""

    def trial(running: Lanes, j: int) -> NDArray[np.bool_]:
        bound = offset[running]
        both = _below(bound, steps, entropy) & _below(bound, steps, entropy)
        return both & _one_in(2 * j, running.size, entropy)

    return _coin(offset.size, trial)


def _coin(lanes: int, trial: Callable[[Lanes, int], NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Heads with probability exp(-gamma), where `trial(lanes, j)` is Bernoulli(gamma / j).

    The first j that fails exceeds n with probability gamma^n / n!, so it is odd with
    probability 1 - gamma + gamma^2/2! - ... = exp(-gamma).
    """
    heads = np.zeros(lanes, np.bool_)
    running = np.arange(lanes)
    j = 1
    while running.size:
        passed = trial(running, j)
        heads[running[~passed]] = j % 2 == 1
        running = running[passed]
        j += 1
    return heads


def _below(bound: Integers, steps: int, entropy: Entropy) -> NDArray[np.bool_]:
    """Bernoulli(bound / steps) per lane."""
    passed: NDArray[np.bool_] = _uniform(steps, bound.size, entropy) < bound
    return passed


def _one_in(count: int, lanes: int, entropy: Entropy) -> NDArray[np.bool_]:
    """Bernoulli(1 / count) per lane."""
    passed: NDArray[np.bool_] = _uniform(count, lanes, entropy) == 0
    return passed


def _uniform(bound: int, lanes: int, entropy: Entropy) -> Integers:
    """Uniform integers in [0, bound): as many bits as needed, re-drawn while too large."""
    bits = (bound - 1).bit_length()
    word = _WORDS[max(0, (bits - 1).bit_length() - 3)]
    values = _draw(word, bits, lanes, entropy)
    large = np.flatnonzero(values >= bound)
    while large.size:
        again = _draw(word, bits, large.size, entropy)
        values[large] = again
        large = large[again >= bound]
    return values


def _draw(word: type[np.unsignedinteger], bits: int, lanes: int, entropy: Entropy) -> Integers:
    """Uniform integers of that many bits, from words just wide enough."""
    words = np.frombuffer(entropy(lanes * np.dtype(word).itemsize), word)
    masked: Integers = (words & word((1 << bits) - 1)).astype(np.int64)
    return masked
