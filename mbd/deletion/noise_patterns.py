"""Is the noise of a model's heads fresh everywhere, as far as simple patterns go?

Each head's size and distribution are tested in `check`; here the heads are held against each
other and against themselves, since every theorem takes independent noise on every coordinate.
Under independence each correlation below is exactly normal (given one side, the other projected
on it), and the number of repeated steps is below a sum of independent coins; so p-values hold at
any size. What passes has the stated size, also along the directions in which the records lie, and
none of these patterns. It may still be known to somebody: no test can tell a secret fixed vector
from fresh noise, nor noise that a secret subspace goes without.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import exp, log, pi, sqrt

import numpy as np
from scipy.special import chdtri, ndtr

from mbd.deletion.noise_directions import along, leading_directions
from mbd.deletion.normality import size_p_value, spread_p_values
from mbd.head.factor import Floats
from mbd.head.integers import Ints

MODEL_THRESHOLD = 1e-9
"""An honest model is accused once in a thousand million checks, over all tests of all its heads."""

_MOST_COLUMNS = 32
_WIDTHS = (0.0, 2.0**-20, 2.0**-12, 2.0**-7)
"""Cells in units of sigma in which numbers count as equal; 0: a single step.

Before the noise a head is off the rounded optimum by what its tolerance allows, so coordinates
without noise are almost equal, and not equal.
"""


@dataclass(frozen=True, eq=False)
class HeadNoise:
    """What a released head has beside the optimum of its state."""

    head: str
    deviation: Ints
    """(d, K) multiples of the grid."""
    steps: int
    """Standard deviation that is stated, in multiples of the grid."""
    leading: Floats
    """(k, K) standard normal numbers, if it is what it should be: along the leading directions of
    its state, the largest first."""

    @classmethod
    def of(cls, head: str, deviation: Ints, steps: int, gram: Ints) -> HeadNoise:
        """The noise of a head whose state is known; `gram` is its (d, d)."""
        return cls(head, deviation, steps, along(leading_directions(gram), deviation, steps))

    @property
    def normal(self) -> Floats:
        """(d, K) standard normal numbers, if it is what it should be."""
        return self.deviation / self.steps


@dataclass(frozen=True)
class Suspicion:
    """The least likely pattern, and how likely it is by chance."""

    pattern: str
    p_value: float
    """Over all patterns that were looked for."""


def find_pattern(noise: Sequence[HeadNoise]) -> Suspicion:
    """The least likely of the patterns, its p-value times the number of them (Bonferroni)."""
    found = [
        *_correlations(noise),
        *(
            Suspicion(f"head {one.head} has too many equal numbers", _repeats([one], width))
            for one in noise
            for width in _WIDTHS
        ),
        *(one for head in noise for one in _directions(head)),
        *(Suspicion("heads have too many equal numbers", _repeats(noise, w)) for w in _WIDTHS),
        Suspicion(
            "the noise of all heads together has another size",
            size_p_value(np.concatenate([one.normal.ravel() for one in noise])),
        ),
    ]
    worst = min(found, key=lambda one: one.p_value)
    return Suspicion(worst.pattern, min(1.0, len(found) * worst.p_value))


def pattern_findings(noise: Sequence[HeadNoise]) -> list[str]:
    """What is wrong with the noise of all heads of a model, for half of what may go wrong."""
    found = find_pattern(noise) if noise else None
    if found is None or found.p_value >= MODEL_THRESHOLD / 2:
        return []
    return [f"the noise is not drawn afresh: {found.pattern}"]


def head_threshold(heads: int) -> float:
    """Of the tests of one head alone, in a model of so many: half of what may go wrong, shared."""
    return MODEL_THRESHOLD / 2 / heads


def told_apart(coordinates: int, p_value: float) -> tuple[float, float]:
    """Between which shares of the stated sigma another one passes at least half of the time.

    Args:
        coordinates: Independent numbers in the sum of squares.
        p_value: Two-sided, below which it would be refused.
    """
    high = float(chdtri(coordinates, p_value / 2))
    low = float(chdtri(coordinates, 1 - p_value / 2))
    return sqrt(low / coordinates), sqrt(high / coordinates)


def unseen_shift(coordinates: int, p_value: float) -> float:
    """How far a head may be from its optimum, in sigma, and pass about half of the time.

    A head that was not replaced is as far as the removed records had moved it. The sum of squares
    of unit noise around a point at distance s has mean `coordinates + s^2`.

    Args:
        coordinates: Independent numbers in the sum of squares.
        p_value: Two-sided, below which it would be refused.
    """
    return sqrt(float(chdtri(coordinates, p_value / 2)) - coordinates)


def _directions(one: HeadNoise) -> Iterator[Suspicion]:
    """Size and spread along the leading directions, then by halves of those, from both ends."""
    count, where = len(one.leading), f"head {one.head}: along the directions of its records"
    yield Suspicion(
        f"{where} its noise is not normal", min(1.0, 2 * min(spread_p_values(one.leading)))
    )
    while count:
        for part in {count: one.leading[:count], -count: one.leading[-count:]}.values():
            yield Suspicion(f"{where} its noise has another size", size_p_value(part))
        count //= 2


def _correlations(noise: Sequence[HeadNoise]) -> Iterator[Suspicion]:
    flat = {one.head: one.normal.ravel() for one in noise}
    for one in noise:
        z, where = flat[one.head], f"head {one.head}:"
        half = z.size // 2
        yield Suspicion(f"{where} its noise follows the order of its weights", _trend(z))
        yield from _pairs(z[:half], z[half : 2 * half], f"{where} one half of its noise")
        yield from _pairs(z[0 : 2 * half : 2], z[1 : 2 * half : 2], f"{where} every other number")
        if one.normal.shape[1] <= _MOST_COLUMNS:
            for left, right in combinations(one.normal.T, 2):
                yield Suspicion(f"{where} one column is like another", _alike(left, right))
    for left_head, right_head in combinations(flat, 2):
        shared = min(flat[left_head].size, flat[right_head].size)
        left, right = flat[left_head][:shared], flat[right_head][:shared]
        yield from _pairs(left, right, f"the noise of head {left_head} (beside {right_head})")


def _pairs(left: Floats, right: Floats, what: str) -> Iterator[Suspicion]:
    """The same, negated, backwards, or moved by half."""
    yield Suspicion(f"{what} repeats the other", _alike(left, right))
    yield Suspicion(f"{what} repeats the other backwards", _alike(left, right[::-1]))
    moved = np.roll(right, right.size // 2)
    yield Suspicion(f"{what} repeats the other, moved by half", _alike(left, moved))


def _alike(left: Floats, right: Floats) -> float:
    """Two-sided; `left . right / |right|` is standard normal whatever `right` is."""
    norm = float(np.linalg.norm(right))
    return 1.0 if norm == 0 else _two_sided(float(left @ right) / norm)


def _trend(z: Floats) -> float:
    order: Floats = np.arange(z.size, dtype=np.float64) - (z.size - 1) / 2
    return _alike(z, order)


def _two_sided(value: float) -> float:
    return 2 * float(ndtr(-abs(value)))


def _repeats(noise: Sequence[HeadNoise], width: float) -> float:
    """Probability of so many numbers that share their cell, up to the sign, with an earlier one.

    A cell of c steps and its negative have at most 2 c / (steps sqrt(2 pi)) together, so number
    i meets one of the i before it with at most i times that. A sum of such coins with mean m
    reaches k > m with probability at most exp(k - m) (m / k)^k (Chernoff).
    """
    cells = [max(1, round(width * one.steps)) for one in noise]
    values = np.concatenate(
        [np.abs(one.deviation).ravel() // cell for one, cell in zip(noise, cells, strict=True)]
    )
    repeated = values.size - np.unique(values).size
    shares = [cell / one.steps for one, cell in zip(noise, cells, strict=True)]
    largest = 2 * max(shares) / sqrt(2 * pi)
    mean = values.size * (values.size - 1) / 2 * largest
    if repeated <= mean or repeated == 0:
        return 1.0
    return exp(max(-700.0, repeated - mean + repeated * log(mean / repeated)))
