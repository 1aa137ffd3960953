"""One formula for issuer and verifier: nothing understated, nothing vacuous."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbd.errors import ArithmeticRefused
from mbd.privacy.accountant import (
    account,
    noise_steps,
    sensitivity_of,
    sigma_on_grid,
    tolerance_for,
)
from mbd.privacy.zcdp import epsilon_of, rho_for, sensitivity_for, share
from mbd.values import HeadParameters

HEAD = HeadParameters(
    head="audio",
    dimension=1024,
    outputs=1,
    strong_convexity=0.5,
    tolerance=2.0**-12,
    sensitivity=2.0**-10,
    sigma=2.0**-8,
    grid=2.0**-40,
)
POSITIVE = st.floats(1e-9, 1e9)


def head_within(rho: float, name: str, sigma: float, convexity: float) -> HeadParameters:
    """A head as the issuer makes it: from the budget down to the tolerance."""
    tolerance = tolerance_for(sensitivity_for(rho, sigma), convexity)
    return replace(
        HEAD,
        head=name,
        sigma=sigma,
        strong_convexity=convexity,
        tolerance=tolerance,
        sensitivity=sensitivity_of(tolerance, convexity),
    )


def test_one_head_costs_what_its_ratio_says():
    loss = account([HEAD], 1e-6)
    assert loss.rho == 1 / 32
    assert loss.epsilon == epsilon_of(1 / 32, 1e-6)
    assert loss.delta == 1e-6


@given(POSITIVE, POSITIVE)
def test_sensitivity_rounds_up_and_tolerance_rounds_down(value, convexity):
    exact = 2 * Fraction(value) / Fraction(convexity)
    assert Fraction(sensitivity_of(value, convexity)) >= exact
    assert Fraction(math.nextafter(sensitivity_of(value, convexity), 0)) < exact
    budget = Fraction(value) * Fraction(convexity) / 2
    assert Fraction(tolerance_for(value, convexity)) <= budget
    assert Fraction(math.nextafter(tolerance_for(value, convexity), math.inf)) > budget


@given(POSITIVE, POSITIVE)
def test_a_tolerance_made_from_a_sensitivity_never_exceeds_it(sensitivity, convexity):
    assert sensitivity_of(tolerance_for(sensitivity, convexity), convexity) <= sensitivity


@settings(max_examples=20, deadline=None)
@given(
    st.floats(0.01, 8),
    st.floats(1e-12, 1e-3),
    st.lists(st.tuples(st.integers(1, 2**30), st.floats(1e-3, 1e3)), min_size=1, max_size=7),
)
def test_heads_planned_from_a_budget_account_to_at_most_the_budget(epsilon, delta, plans):
    rho = share(rho_for(epsilon, delta), len(plans))
    heads = [
        head_within(rho, f"m{i}", steps * HEAD.grid, convexity)
        for i, (steps, convexity) in enumerate(plans)
    ]
    loss = account(heads, delta)
    assert loss.epsilon <= epsilon
    assert loss.epsilon == pytest.approx(epsilon, rel=1e-9)


def test_a_smaller_epsilon_never_allows_a_larger_tolerance():
    tolerances = [
        tolerance_for(sensitivity_for(rho_for(epsilon, 1e-6), 0.001), 1.0)
        for epsilon in (0.01, 0.1, 0.5, 1.0, 2.0, 8.0)
    ]
    assert tolerances == sorted(tolerances)


def test_heads_and_attempts_add_up():
    three = [replace(HEAD, head=name) for name in ("audio", "audio+text", "audio+vision")]
    assert account(three, 1e-6).rho == 3 / 32
    assert account(three, 1e-6, attempts=2).rho == 6 / 32
    assert account([HEAD], 1e-6, attempts=3) == account(three, 1e-6)


def test_a_stated_sensitivity_below_two_tau_over_lambda_is_refused():
    understated = replace(HEAD, sensitivity=math.nextafter(HEAD.sensitivity, 0))
    with pytest.raises(ArithmeticRefused) as refusal:
        account([understated], 1e-6)
    assert refusal.value.field == "sensitivity"


def test_a_stated_sensitivity_above_it_is_accounted_as_stated():
    assert account([replace(HEAD, sensitivity=2.0**-9)], 1e-6).rho == 4 / 32


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf, True, "1", None])
@pytest.mark.parametrize("field", ["strong_convexity", "tolerance", "sensitivity", "sigma", "grid"])
def test_a_parameter_the_theorem_does_not_allow_is_refused_by_name(field, bad):
    with pytest.raises(ArithmeticRefused) as refusal:
        account([replace(HEAD, **{field: bad})], 1e-6)
    assert refusal.value.field == field


@pytest.mark.parametrize("field", ["dimension", "outputs"])
@pytest.mark.parametrize("bad", [0, -1, 1.5, True])
def test_a_head_without_coordinates_is_refused(field, bad):
    with pytest.raises(ArithmeticRefused) as refusal:
        account([replace(HEAD, **{field: bad})], 1e-6)
    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("heads", "delta", "attempts", "field"),
    [
        ([], 1e-6, 1, "heads"),
        ([HEAD, HEAD], 1e-6, 1, "heads"),
        ([HEAD], 0.0, 1, "delta"),
        ([HEAD], 1.0, 1, "delta"),
        ([HEAD], math.nan, 1, "delta"),
        ([HEAD], 1e-6, 0, "attempts"),
        ([HEAD], 1e-6, True, "attempts"),
        ([HEAD], 1e-6, 1.5, "attempts"),
    ],
)
def test_vacuous_accounts_are_refused_by_name(heads, delta, attempts, field):
    with pytest.raises(ArithmeticRefused) as refusal:
        account(heads, delta, attempts)
    assert refusal.value.field == field


def test_sigma_is_a_whole_number_of_grid_steps():
    assert noise_steps(HEAD.sigma, HEAD.grid) == 2**32
    with pytest.raises(ArithmeticRefused) as refusal:
        noise_steps(0.001, 2.0**-40)
    assert refusal.value.field == "sigma"
    with pytest.raises(ArithmeticRefused) as refusal:
        noise_steps(3.0, 1.5)
    assert refusal.value.field == "grid"


@given(st.floats(1e-12, 1e6), st.integers(-50, 0))
def test_sigma_rounds_up_to_the_grid(sigma, exponent):
    grid = 2.0**exponent
    found = sigma_on_grid(sigma, grid)
    assert found >= sigma
    assert noise_steps(found, grid) >= 1
    assert found - sigma <= max(grid, math.ulp(found))


def test_what_was_accounted_before_makes_true_no_number():
    whole = replace(HEAD, strong_convexity=1.0, tolerance=1.0, sensitivity=2.0, sigma=1.0)
    account([whole], 1e-6, 1)
    for field in ("strong_convexity", "tolerance", "sigma"):
        with pytest.raises(ArithmeticRefused):
            account([replace(whole, **{field: True})], 1e-6)
    with pytest.raises(ArithmeticRefused):
        account([whole], 1e-6, True)
