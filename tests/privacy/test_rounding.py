"""Rounding goes outward, by less than one step, and nothing unusable passes."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbd.errors import ArithmeticRefused
from mbd.privacy.rounding import down, last_float, positive, probability, up

RATIONALS = st.fractions(max_denominator=10**30).filter(lambda value: abs(value) < 10**300)


@given(RATIONALS)
def test_up_is_the_smallest_float_not_below(value):
    rounded = up(value)
    assert Fraction(rounded) >= value
    assert Fraction(math.nextafter(rounded, -math.inf)) < value


@given(RATIONALS)
def test_down_is_the_largest_float_not_above(value):
    rounded = down(value)
    assert Fraction(rounded) <= value
    assert Fraction(math.nextafter(rounded, math.inf)) > value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_rounds_to_itself(value):
    assert up(Fraction(value)) == down(Decimal(value)) == value


def test_what_is_too_small_for_a_float_rounds_to_its_neighbours():
    tiny = Decimal("1e-1000")
    assert up(tiny) == math.ulp(0.0)
    assert down(tiny) == 0.0


@pytest.mark.parametrize("value", [Fraction(10) ** 400, Decimal("1e400"), Decimal("-1e400")])
def test_what_is_beyond_every_float_is_refused(value):
    for rounding in (up, down):
        with pytest.raises(ArithmeticRefused):
            rounding(value)


def test_rounding_up_never_reaches_infinity():
    with pytest.raises(ArithmeticRefused):
        up(Fraction(math.nextafter(math.inf, 0)) + 1)


@pytest.mark.parametrize(
    "value",
    [0, -1.0, math.nan, math.inf, -math.inf, True, "1", None, 10**400, 2**53 + 1, Decimal(1)],
)
def test_only_finite_positive_floats_pass_and_the_refusal_names_the_field(value):
    with pytest.raises(ArithmeticRefused) as refusal:
        positive(value, "sigma")
    assert refusal.value.field == "sigma"


@pytest.mark.parametrize("value", [0.0, 1.0, 1, -0.1, 2.0, math.nan])
def test_a_probability_is_strictly_between_zero_and_one(value):
    with pytest.raises(ArithmeticRefused):
        probability(value, "delta")


@given(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9))
def test_the_search_stops_at_the_last_float_that_holds(edge, other):
    good, bad = 0.0, edge + other
    found = last_float(lambda value: value <= edge, good, bad)
    assert found == edge or math.isclose(bad, edge, rel_tol=1e-15)
