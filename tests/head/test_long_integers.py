"""Digits hold the integers that Python holds, and their products."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mbd.errors import ArithmeticRefused
from mbd.head.long_integers import (
    RELATIVE_ERROR,
    Places,
    added,
    balanced,
    long_product,
    places_of,
    places_of_floats,
    rounded_off,
    shifted,
    times,
    to_floats,
)

LONG = st.lists(st.integers(-(2**130), 2**130), min_size=1, max_size=6)


def long(values) -> Places:
    return places_of(np.array(values, object))


def numbers(places: Places) -> list[int]:
    """What digits stand for, as Python integers."""
    flat = places.reshape(len(places), -1)
    return [sum(int(d) << (20 * i) for i, d in enumerate(flat[:, k])) for k in range(flat.shape[1])]


@given(LONG, st.integers(0, 90), st.integers(0, 2**60))
@settings(deadline=None)
def test_sums_shifts_and_multiples_are_those_of_python(values, bits, factor):
    places = long(values)

    assert numbers(added(places, -shifted(places, bits))) == [v - (v << bits) for v in values]
    assert numbers(times(places, factor)) == [v * factor for v in values]


@given(arrays(np.int64, (4, 3), elements=st.integers(-(2**62), 2**62)))
@settings(deadline=None)
def test_balancing_keeps_the_numbers_and_makes_digits_small(places):
    found = balanced(places)

    assert numbers(found) == numbers(places)
    assert np.abs(found).max() <= 2**19
    assert len(found) == 1 or found[-1].any()


@given(LONG)
@settings(deadline=None)
def test_floats_are_near_enough(values):
    for value, found in zip(values, to_floats(long(values)), strict=True):
        assert abs(Fraction(found) - value) <= abs(value) * Fraction(RELATIVE_ERROR)


@given(st.lists(st.floats(-(2.0**120), 2.0**120).map(np.rint), min_size=1, max_size=5))
@settings(deadline=None)
def test_whole_floats_become_the_same_integers(values):
    places = places_of_floats(np.array(values))

    assert numbers(places) == [int(value) for value in values]
    assert np.abs(places).max() <= 2**19


@given(st.lists(st.integers(-(2**100), 2**100), min_size=1, max_size=6))
@settings(deadline=None)
def test_rounding_goes_to_the_nearest_and_upwards_at_a_half(values):
    values = [*values, 2**39, -(2**39), 3 * 2**39, 2**39 - 1]

    found = rounded_off(long(values), 40)

    assert found.tolist() == [(value + 2**39) >> 40 for value in values]


def test_a_rounded_number_beyond_62_bits_is_refused():
    with pytest.raises(ArithmeticRefused):
        rounded_off(long([1, 2**103]), 40)


@given(
    arrays(np.int64, (3, 4), elements=st.integers(-(2**61), 2**61)),
    st.integers(0, 61),
    st.lists(st.integers(-(2**100), 2**100), min_size=8, max_size=8),
)
@settings(deadline=None)
def test_a_long_product_is_the_product_of_python_integers(matrix, shift, entries):
    """Entries up to 2^52 are split as floats, larger ones as integers."""
    matrix >>= shift
    factor = np.array(entries, object).reshape(4, 2)

    found = long_product(matrix, places_of(factor))

    assert numbers(found) == list((matrix.astype(object) @ factor).flat)
    assert np.abs(found).max() <= 2**19


@pytest.mark.parametrize("width", [300, 2100], ids=["one thread", "shared out among threads"])
@pytest.mark.parametrize("bits", [38, 52, 61])
def test_a_long_product_in_many_blocks(width, bits):
    """Extreme digits everywhere: float64 would round a sum that is cut too late."""
    rng = np.random.default_rng(0)
    matrix = rng.choice([-(2**bits) + 1, 2**bits - 1, 2**19, -(2**19), 2**39], (width, width))
    factor = rng.choice([-(2**61), 2**61 - 1, 2**59 - 2**19], (width, 1))

    found = long_product(matrix, places_of(factor))

    rows = slice(None, None, width // 60)
    exact = [
        sum(int(x) * int(w) for x, w in zip(row, factor[:, 0], strict=True)) for row in matrix[rows]
    ]
    assert numbers(found[:, rows]) == exact


def test_a_long_product_needs_little_memory_beside_the_matrix():
    matrix = np.full((1024, 1024), 2**37, np.int64)
    factor = places_of(np.full((1024, 2), 2**45, np.int64))

    tracemalloc.start()
    long_product(matrix, factor)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 1.2 * matrix.nbytes


def test_a_matrix_too_wide_for_exact_sums_is_refused():
    with pytest.raises(ArithmeticRefused):
        long_product(np.zeros((1, 2**14 + 1), np.int64), np.zeros((1, 2**14 + 1, 1), np.int64))
