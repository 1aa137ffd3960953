"""The noise has exactly its law, at every scale, and the operating system's entropy.

Streams are fixed, so a test that passes once passes always; thresholds are p > 1e-3.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import os
from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from scipy import stats

from mbd.errors import ArithmeticRefused
from mbd.privacy import discrete_gaussian
from mbd.privacy.discrete_gaussian import MAX_STEPS, sample
from tests.privacy.slow_gaussian import discrete_gaussian as slow_sample

LARGE = [2**28, 2**33 + 1, 3 * 2**38 + 12345]


def stream(seed: int) -> Callable[[int], bytes]:
    """Deterministic entropy: SHAKE-256 of the seed and the number of the call."""
    calls = 0

    def entropy(count: int) -> bytes:
        nonlocal calls
        calls += 1
        return hashlib.shake_256(b"%d/%d" % (seed, calls)).digest(count)

    return entropy


def law(steps: int, reach: int) -> np.ndarray:
    """P(z) for z = -reach..reach; the rest of the line weighs nothing at this reach."""
    weights = [math.exp(-(z * z) / (2 * steps * steps)) for z in range(-reach, reach + 1)]
    return np.array(weights) / math.fsum(weights)


def chi_square(observed: np.ndarray, probabilities: np.ndarray) -> float:
    """p-value of the counts, cells with fewer than ten expected merged into one."""
    expected = probabilities * observed.sum()
    rare = expected < 10
    if rare.any():
        observed = np.append(observed[~rare], observed[rare].sum())
        expected = np.append(expected[~rare], expected[rare].sum())
    statistic = ((observed - expected) ** 2 / expected).sum()
    return float(stats.chi2.sf(statistic, observed.size - 1))


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 40])
def test_small_scales_follow_the_exact_law(steps):
    reach = 12 * steps
    drawn = sample(steps, 300_000, stream(steps))
    observed = np.bincount(drawn + reach, minlength=2 * reach + 1)
    assert chi_square(observed, law(steps, reach)) > 1e-3


@pytest.mark.parametrize("steps", LARGE)
def test_large_scales_follow_the_normal_law(steps):
    cells = 64
    edges = np.floor(stats.norm.ppf(np.arange(1, cells) / cells) * steps) + 0.5
    probabilities = np.diff(np.concatenate([[0], stats.norm.cdf(edges / steps), [1]]))
    drawn = sample(steps, 300_000, stream(1))
    observed = np.bincount(np.searchsorted(edges, drawn), minlength=cells)
    assert chi_square(observed, probabilities) > 1e-3


@pytest.mark.parametrize("steps", LARGE)
def test_the_low_bits_are_uniform(steps):
    drawn = sample(steps, 300_000, stream(2))
    assert chi_square(np.bincount(drawn & 255, minlength=256), np.full(256, 1 / 256)) > 1e-3


@pytest.mark.parametrize("steps", [1, 5, 2**33 + 1])
def test_the_moments_of_a_million_coordinates(steps):
    size = 1_000_000
    scaled = sample(steps, size, stream(3)) / steps
    exact = law(steps, 12 * steps) if steps < 10 else None
    z = np.arange(-12 * steps, 12 * steps + 1) / steps if steps < 10 else None
    variance = float((exact * z**2).sum()) if steps < 10 else 1.0
    fourth = float((exact * z**4).sum()) if steps < 10 else 3.0
    assert abs(scaled.mean()) < 4 * math.sqrt(variance / size)
    assert abs((scaled**2).mean() - variance) < 4 * math.sqrt((fourth - variance**2) / size)
    assert abs((scaled**3).mean()) < 4 * math.sqrt(15 / size)
    assert abs((scaled**4).mean() - fourth) < 4 * math.sqrt(96 / size)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_slow_reference_has_the_same_law(steps):
    rng = Random(steps)
    slow = np.array([slow_sample(steps, rng) for _ in range(8_000)])
    fast = sample(steps, 80_000, stream(4))
    reach = 2 * steps
    table = [np.bincount(np.clip(z, -reach, reach) + reach) for z in (slow, fast)]
    assert stats.chi2_contingency(table).pvalue > 1e-3


def test_neighbours_are_independent():
    drawn = sample(1000, 200_000, stream(5)) / 1000
    for lag in (1, 2, 7):
        assert abs((drawn[lag:] * drawn[:-lag]).mean()) < 4 / math.sqrt(drawn.size)


@pytest.mark.parametrize(("u", "steps"), [(0, 5), (1, 5), (4, 5), (2**33, 2**33 + 1), (1, 2**40)])
def test_the_coins_have_their_biases(u, steps):
    lanes = 200_000
    offset = np.full(lanes, u, np.int64)
    linear = discrete_gaussian._coin_linear(offset, steps, stream(6)).mean()
    square = discrete_gaussian._coin_square(offset, steps, stream(7)).mean()
    for heads, exponent in ((linear, u / steps), (square, (u / steps) ** 2 / 2)):
        bias = math.exp(-exponent)
        assert abs(heads - bias) <= 4 * math.sqrt(bias * (1 - bias) / lanes) + 1e-9


@pytest.mark.parametrize("bound", [1, 2, 3, 5, 100, 255, 256, 257, 1000, 65_536])
def test_uniform_integers_are_exactly_equally_likely(bound):
    """Every word of the first draw once: each value comes from equally many of them."""
    word = np.uint8 if bound <= 256 else np.uint16
    every = np.arange(np.iinfo(word).max + 1).astype(word)
    bits = (bound - 1).bit_length()
    accepted = np.flatnonzero((every & ((1 << bits) - 1)) < bound)

    def entropy(count: int) -> bytes:
        return every.tobytes() if count == every.nbytes else bytes(count)

    values = discrete_gaussian._uniform(bound, every.size, entropy)
    counts = np.bincount(values[accepted], minlength=bound)
    assert counts.size == bound
    assert len(set(counts.tolist())) == 1


@pytest.mark.parametrize("size", [0, 1, 2, 70_000])
def test_as_many_as_asked_for(size):
    drawn = sample(1000, size)
    assert drawn.shape == (size,)
    assert drawn.dtype == np.int64


def test_noise_comes_from_the_operating_system_and_never_repeats():
    assert inspect.signature(sample).parameters["entropy"].default is os.urandom
    assert not np.array_equal(sample(2**30, 100), sample(2**30, 100))


def test_the_largest_scale_does_not_overflow():
    drawn = sample(MAX_STEPS, 100_000, stream(8)) / MAX_STEPS
    assert abs((drawn**2).mean() - 1) < 4 * math.sqrt(2 / drawn.size)


@pytest.mark.parametrize("steps", [0, -1, MAX_STEPS + 1, 1.0, True, math.nan, "1"])
def test_a_scale_that_is_no_positive_whole_number_is_refused(steps):
    with pytest.raises(ArithmeticRefused) as refusal:
        sample(steps, 1)
    assert refusal.value.field == "sigma"


def test_a_negative_size_is_refused():
    with pytest.raises(ArithmeticRefused):
        sample(1, -1)
