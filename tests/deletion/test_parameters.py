from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbd.deletion.parameters import head_parameters
from mbd.deletion.surgical import surgical_update
from mbd.errors import ArithmeticRefused
from mbd.head.solve import residual_bound, solve
from mbd.privacy.accountant import account, noise_steps
from tests.deletion.heads import DELTA, OUTPUTS, WIDTH, policy, state_of


@given(
    st.floats(0.01, 20),
    st.floats(1e-12, 1e-2),
    st.lists(st.floats(0.01, 1e4), min_size=1, max_size=8),
)
@settings(deadline=None, max_examples=12)
def test_the_selected_heads_together_cost_at_most_what_was_asked_for(epsilon, delta, convexities):
    policies = [policy(f"m{i}", convexity=value) for i, value in enumerate(convexities)]

    parameters = head_parameters(policies, epsilon, delta)

    loss = account(parameters, delta)
    assert loss.epsilon <= epsilon
    assert loss.epsilon >= 0.98 * epsilon  # three digits of tau, twice in rho: little is wasted


def test_a_smaller_epsilon_never_gets_a_larger_tolerance():
    """Failure 2 of the design: a tolerance that grows as epsilon shrinks."""
    found = [
        head_parameters([policy()], epsilon, DELTA)[0].tolerance
        for epsilon in (8.0, 4.0, 2.0, 1.0, 0.5, 0.1, 0.01)
    ]

    assert found == sorted(found, reverse=True)
    assert found[0] > 10 * found[-1]


@pytest.mark.parametrize("convexity", [0.05, 1.0, 500.0])
def test_the_default_tolerance_is_reached_with_tenfold_room(convexity):
    head = policy(convexity=convexity)
    tolerance = head_parameters([head], 1.0, DELTA)[0].tolerance / math.sqrt(4)  # one of four heads
    state = state_of(2000)

    weights = solve(state, head.scale, head.grid)

    assert residual_bound(state, head.scale, weights, head.grid) <= tolerance / 10


def test_sigma_is_the_accepted_noise_on_the_grid():
    head = policy(noise=0.01, range_width=3.0)

    assert head.sigma == pytest.approx(0.01 * 3.0 / math.sqrt(WIDTH), rel=1e-6)
    assert noise_steps(head.sigma, head.grid) * head.grid == head.sigma


def test_parameters_describe_every_head_sorted_by_name():
    parameters = head_parameters([policy("b"), policy("a")], 1.0, DELTA)

    assert [head.head for head in parameters] == ["a", "b"]
    assert {(head.dimension, head.outputs) for head in parameters} == {(WIDTH, OUTPUTS)}
    for head in parameters:
        assert head.sensitivity >= 2 * head.tolerance / head.strong_convexity


def test_training_refuses_what_no_grid_can_serve():
    with pytest.raises(ArithmeticRefused, match="out of reach"):
        policy(convexity=1e-6, planned_rows=10**12)


def test_a_tolerance_off_the_grid_is_refused_at_the_request():
    head = policy()
    tiny = head_parameters([head], 1e-9, DELTA)[0]
    with pytest.raises(ArithmeticRefused):
        surgical_update(state_of(), head.scale, tolerance=tiny.tolerance, grid=head.grid)


@pytest.mark.parametrize(
    ("epsilon", "delta"), [(0.0, 1e-6), (-1.0, 1e-6), (math.nan, 1e-6), (1.0, 0.0), (1.0, 1.0)]
)
def test_bad_budgets_are_refused(epsilon, delta):
    with pytest.raises(ArithmeticRefused):
        head_parameters([policy()], epsilon, delta)


def test_no_head_or_one_head_twice_is_refused():
    with pytest.raises(ArithmeticRefused):
        head_parameters([], 1.0, DELTA)
    with pytest.raises(ArithmeticRefused):
        head_parameters([policy(), policy()], 1.0, DELTA)
