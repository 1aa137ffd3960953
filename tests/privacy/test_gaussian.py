"""The curve of continuous noise: the published numbers, and rounding that only ever overstates."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from dp_accounting import gaussian_mechanism
from hypothesis import given, settings
from hypothesis import strategies as st

from mbd.errors import ArithmeticRefused
from mbd.privacy.gaussian import delta, epsilon, mu_for
from mbd.privacy.rounding import up
from tests.privacy import reference


def agrees(value: float, shown: str) -> bool:
    """Whether `value`, written with as many digits as `shown`, differs by at most one unit there.

    One unit, because the table rounds to the nearest and a claim rounds outward.
    """
    digits = len(shown.split("e")[0].replace(".", "").lstrip("0"))
    unit = Fraction(10) ** (math.floor(math.log10(value)) - digits + 1)
    return abs(Fraction(value) - Fraction(shown)) <= unit


@pytest.mark.parametrize(
    ("eps", "slack", "sigma", "mu"),
    [
        (0.1, 1e-5, "30.7495661319775", "0.0325207840562"),
        (1, 1e-5, "3.73063163481594", "0.268051123211"),
        (1, 1e-6, "4.22467888932684", "0.236704380663"),
        (1, 1e-9, "5.49526615724", "0.181974807295"),
        (8, 1e-5, "0.600229072199", "1.66603059785"),
        (8, 1e-3, "0.480013752480", "2.08327364546"),
        (1, 1e-15, "7.48700946799", "0.133564676828"),
    ],
)
def test_the_table_of_budgets(eps, slack, sigma, mu):
    found = mu_for(eps, slack)
    assert agrees(found, mu)
    assert agrees(up(1 / Fraction(found)), sigma)


@pytest.mark.parametrize(
    ("mu", "shown"), [(1, "4.37717809568"), (2, "9.99725614643"), (0.5, "1.99309140442")]
)
def test_the_exact_epsilons_at_one_in_a_hundred_thousand(mu, shown):
    assert agrees(epsilon(1e-5, mu), shown)


@pytest.mark.parametrize(
    ("eps", "mu", "shown"),
    [
        (0, 1, "0.382924922548026"),
        (1, 1, "0.126936737506644"),
        (4, 1, "4.71224120079e-5"),
        (1, 0.1, "1.2308e-25"),
    ],
)
def test_the_exact_deltas(eps, mu, shown):
    assert agrees(delta(eps, mu), shown)


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 20), st.floats(0.05, 6))
def test_delta_is_the_formula_rounded_up_by_less_than_one_step(ratio, mu):
    eps = ratio * mu
    exact = Fraction(reference.delta(eps, mu))
    claimed = delta(eps, mu)
    assert Fraction(claimed) >= exact
    assert Fraction(math.nextafter(claimed, 0)) < exact or exact <= 0


@settings(max_examples=15, deadline=None)
@given(st.floats(1e-12, 0.4), st.floats(0.1, 5))
def test_epsilon_is_the_smallest_float_that_the_curve_allows(slack, mu):
    claimed = epsilon(slack, mu)
    assert reference.delta(claimed, mu) <= Fraction(slack)
    if claimed > 0:
        assert reference.delta(math.nextafter(claimed, 0), mu) > Fraction(slack)


@settings(max_examples=15, deadline=None)
@given(st.floats(0.01, 10), st.floats(1e-15, 0.4))
def test_mu_is_the_largest_float_that_the_budget_allows(eps, slack):
    budget = mu_for(eps, slack)
    assert reference.delta(eps, budget) <= Fraction(slack)
    assert reference.delta(eps, math.nextafter(budget, math.inf)) > Fraction(slack)


@pytest.mark.parametrize("slack", [1e-3, 1e-5, 1e-9])
@pytest.mark.parametrize("eps", [0.1, 1.0, 8.0])
def test_a_second_opinion(eps, slack):
    sigma = gaussian_mechanism.get_sigma_gaussian(eps, slack)
    assert 1 / mu_for(eps, slack) == pytest.approx(sigma, rel=1e-6)
    again = gaussian_mechanism.get_epsilon_gaussian(sigma, slack)
    assert epsilon(slack, 1 / sigma) == pytest.approx(again, rel=1e-6)


def test_the_classic_formula_is_no_bound_beyond_epsilon_one():
    classic = math.sqrt(2 * math.log(1.25 / 1e-3)) / 8
    assert classic == pytest.approx(0.472059941582, rel=1e-11)
    assert delta(8, 1 / classic) > 1e-3


def test_the_extremes_round_outward_too():
    assert delta(1, 1e-9) == math.ulp(0.0)
    assert delta(1, 1e9) == 1.0
    assert epsilon(0.5, 1e-3) == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0, 1e31])
def test_unusable_arguments_are_refused(bad):
    for call in (
        lambda: delta(bad, 1),
        lambda: delta(1, bad),
        lambda: epsilon(1e-5, bad),
        lambda: epsilon(bad, 1),
        lambda: mu_for(bad, 1e-5),
        lambda: mu_for(1, bad),
    ):
        with pytest.raises(ArithmeticRefused):
            call()


@pytest.mark.parametrize("slack", [0.0, 1.0, -0.1])
def test_delta_outside_the_open_unit_interval_is_refused_by_name(slack):
    for call in (lambda: epsilon(slack, 1), lambda: mu_for(1, slack)):
        with pytest.raises(ArithmeticRefused) as refusal:
            call()
        assert refusal.value.field == "delta"
