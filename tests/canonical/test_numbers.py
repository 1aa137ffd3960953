"""A float has one decimal spelling, and reading it back loses nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbd.canonical.numbers import from_decimal, to_decimal
from mbd.errors import ArithmeticRefused, DataError


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_reading_a_written_number_gives_the_same_float(value):
    assert from_decimal(to_decimal(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (0.5, "0.5"), (1e-6, "0.000001"), (1e-7, "1e-7"), (1e21, "1e+21"), (-0.0, "0")],
)
def test_the_spelling_is_the_one_of_rfc_8785(value, text):
    assert to_decimal(value) == text


NOT_FINITE = ["nan", "inf", "-inf", "Infinity", "1e999", "1e+999"]
NOT_DECIMAL = [
    "",
    " 1",
    "1 ",
    "1\n",
    "+1",
    "1_0",
    "0x1p3",
    "١",
    ".5",
    "5.",
    "01",
    "1E+22",
    "9" * 500,
]
NOT_SHORTEST = ["1.0", "-0", "0.10", "1e2", "1e-06", "1e-999", "1.00000000000000000001"]


@pytest.mark.parametrize("text", NOT_FINITE + NOT_DECIMAL + NOT_SHORTEST)
def test_any_other_spelling_is_refused(text):
    with pytest.raises(DataError):
        from_decimal(text, field="epsilon")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_not_written(value):
    with pytest.raises(ArithmeticRefused):
        to_decimal(value)
