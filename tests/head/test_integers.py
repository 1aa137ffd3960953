from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mbd.errors import ArithmeticRefused
from mbd.head.integers import add_exactly, digits, inner_product


@given(st.data(), st.integers(0, 9), st.integers(1, 4), st.integers(1, 3))
def test_inner_product_is_the_integer_product(data, rows, a, b):
    left = data.draw(arrays(np.int16, (rows, a)))
    right = data.draw(arrays(np.int32, (rows, b)))

    exact = left.astype(object).T @ right.astype(object)

    assert (inner_product(left, right) == exact).all()


def test_long_sums_stay_exact_where_one_float_product_would_round():
    rows = 3001
    left = np.full((rows, 1), 2**15 - 1, np.int16)
    right = np.full((rows, 1), 2**31 - 1, np.int32)

    assert inner_product(left, right)[0, 0] == rows * (2**15 - 1) * (2**31 - 1)


def test_a_sum_that_could_overflow_is_refused_before_it_is_made():
    left = np.full((2**18, 1), 2**15 - 1, np.int16)
    right = np.full((2**18, 1), 2**31 - 1, np.int32)
    with pytest.raises(ArithmeticRefused):
        inner_product(left, right)
    with pytest.raises(ArithmeticRefused):
        inner_product(np.array([[2**40]]), np.array([[2**40]]))


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_addition_is_exact_or_refused(x, y):
    left, right = np.array([x], np.int64), np.array([y], np.int64)
    if abs(x) + abs(y) < 2**63:
        assert add_exactly(left, right)[0] == x + y
    else:
        with pytest.raises(ArithmeticRefused):
            add_exactly(left, right)


@given(st.lists(st.integers(-(2**130), 2**130), min_size=1, max_size=5))
def test_digits_add_up_to_the_number(values):
    found = digits(np.array(values, object))

    total = [
        sum(int(digit[k]) << (20 * i) for i, digit in enumerate(found)) for k in range(len(values))
    ]

    assert total == values
    assert max(np.abs(digit).max() for digit in found) <= 2**19


def test_values_that_digits_cannot_hold_are_refused():
    with pytest.raises(ArithmeticRefused):
        digits(np.array([2**62]))
