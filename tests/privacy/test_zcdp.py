"""zCDP: claims round up, budgets round down, and the two meet."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from dp_accounting.rdp import rdp_privacy_accountant
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mbd.errors import ArithmeticRefused
from mbd.privacy.zcdp import compose, epsilon_of, rho_for, rho_of, sensitivity_for, share
from tests.privacy import reference

MODERATE = st.floats(1e-9, 1e9)


def test_the_default_budget():
    rho = rho_for(1, 1e-6)
    assert f"{math.floor(rho * 1e9) / 1e9:.9f}" == "0.024355970"
    assert f"{1 / math.sqrt(2 * rho):.4f}" == "4.5309"
    assert f"{1 / sensitivity_for(rho, 1.0):.4f}" == "4.5309"


def test_the_budget_at_one_in_a_hundred_thousand_rounded_down():
    assert math.floor(rho_for(1, 1e-5) * 1e10) == 305565951


@given(MODERATE, MODERATE)
def test_rho_is_the_exact_quotient_rounded_up_by_less_than_one_step(sensitivity, sigma):
    exact = (Fraction(sensitivity) / Fraction(sigma)) ** 2 / 2
    claimed = rho_of(sensitivity, sigma)
    assert Fraction(math.nextafter(claimed, 0)) < exact <= Fraction(claimed)


@given(MODERATE, MODERATE)
def test_the_sensitivity_of_a_budget_costs_at_most_the_budget(rho, sigma):
    found = sensitivity_for(rho, sigma)
    wider = Fraction(math.nextafter(found, math.inf))
    assert rho_of(found, sigma) <= rho
    assert wider**2 > 2 * Fraction(rho) * Fraction(sigma) ** 2


@given(st.lists(MODERATE, min_size=1, max_size=9))
def test_composition_is_the_exact_sum_rounded_up(rhos):
    exact = sum(map(Fraction, rhos))
    claimed = compose(rhos)
    assert Fraction(math.nextafter(claimed, 0)) < exact <= Fraction(claimed)


@given(MODERATE, st.integers(1, 50))
def test_equal_shares_compose_to_at_most_the_budget(rho, parts):
    assert compose([share(rho, parts)] * parts) <= rho


@pytest.mark.parametrize("slack", [1e-300, 1e-15, 1e-6, 1e-2, 0.5])
@pytest.mark.parametrize("rho", [1e-6, 0.024355970, 0.1, 1.0, 37.5, 1000.0])
def test_epsilon_is_the_best_order_rounded_up_by_less_than_one_step(rho, slack):
    best = reference.epsilon_of(rho, slack)
    claimed = epsilon_of(rho, slack)
    assert Fraction(claimed) >= Fraction(best)
    assert Fraction(math.nextafter(claimed, 0)) < Fraction(best) or (claimed == 0 and best <= 0)


@settings(max_examples=50, deadline=None)
@given(st.floats(1e-6, 100), st.floats(1e-15, 0.5), st.floats(1e-3, 1e6))
def test_no_order_gives_a_smaller_epsilon_than_the_one_claimed(rho, slack, excess):
    other = reference.epsilon_at(1 + reference.Decimal(excess), rho, slack)
    assert epsilon_of(rho, slack) <= math.nextafter(max(0.0, float(other)), math.inf)


@settings(max_examples=20, deadline=None)
@given(st.floats(1e-3, 50), st.floats(1e-15, 0.4))
def test_a_budget_is_the_largest_float_within_epsilon(eps, slack):
    rho = rho_for(eps, slack)
    assert epsilon_of(rho, slack) <= eps
    assert epsilon_of(math.nextafter(rho, math.inf), slack) > eps


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 10), st.floats(0.01, 10), st.floats(1e-12, 1e-3))
def test_a_smaller_epsilon_buys_a_smaller_rho(one, other, slack):
    assume(one < other)
    assert rho_for(one, slack) <= rho_for(other, slack)


@pytest.mark.parametrize(("rho", "slack"), [(0.024355970, 1e-6), (0.5, 1e-5), (4.0, 1e-9)])
def test_a_second_opinion(rho, slack):
    orders = [1 + step / 1000 for step in range(10, 60_000)]
    rdp = [rho * order for order in orders]
    opinion, _ = rdp_privacy_accountant.compute_epsilon(orders, rdp, slack)
    assert epsilon_of(rho, slack) == pytest.approx(opinion, rel=1e-6)


def test_extreme_but_valid_arguments_have_finite_claims():
    assert epsilon_of(1e300, 1e-300) == math.nextafter(1e300, math.inf)
    assert epsilon_of(1e-300, 0.5) == 0.0
    assert rho_for(1e-9, 1e-6) > 0


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda bad: rho_of(bad, 1.0), "sensitivity"),
        (lambda bad: rho_of(1.0, bad), "sigma"),
        (lambda bad: sensitivity_for(bad, 1.0), "rho"),
        (lambda bad: sensitivity_for(1.0, bad), "sigma"),
        (lambda bad: compose([1.0, bad]), "rho"),
        (lambda bad: share(bad, 2), "rho"),
        (lambda bad: epsilon_of(bad, 1e-6), "rho"),
        (lambda bad: epsilon_of(1.0, bad), "delta"),
        (lambda bad: rho_for(bad, 1e-6), "epsilon"),
        (lambda bad: rho_for(1.0, bad), "delta"),
    ],
)
def test_unusable_arguments_are_refused_by_name(call, field, bad):
    with pytest.raises(ArithmeticRefused) as refusal:
        call(bad)
    assert refusal.value.field == field


@pytest.mark.parametrize(
    "call",
    [
        lambda: compose([]),
        lambda: share(1.0, 0),
        lambda: epsilon_of(1.0, 1.0),
        lambda: rho_for(1.7e308, 1e-6),
        lambda: rho_of(1e300, 1e-300),
        lambda: sensitivity_for(5e-324, 5e-324),
    ],
)
def test_what_has_no_answer_is_refused(call):
    with pytest.raises(ArithmeticRefused):
        call()
