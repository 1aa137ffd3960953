"""The cost model: what it chooses depends on sizes and the state alone."""

from __future__ import annotations

import numpy as np
import pytest

from mbd.head.cost import (
    TOO_ILL,
    cheaper_precision,
    condition,
    estimated_seconds,
    steps,
    update_seconds,
)
from mbd.head.solve import HeadScale
from mbd.head.state import HeadState, contribution
from tests.head.rows import rows, scale


def diagonal(width: int, value: int) -> HeadState:
    return HeadState(np.eye(width, dtype=np.int64) * value, np.ones((width, 1), np.int64), width)


@pytest.mark.parametrize("convexity", [0.01, 1.0, 300.0])
def test_the_condition_is_an_upper_bound(convexity):
    state, units = contribution(*rows(50)), scale(convexity)

    matrix = state.gram * units.a + convexity * np.eye(state.width)

    assert np.linalg.cond(matrix) <= condition(state, units) <= state.width * np.linalg.cond(matrix)


def test_more_of_anything_never_costs_less():
    base = update_seconds("single", 1024, 1, 1e4)

    assert update_seconds("single", 2048, 1, 1e4) > base
    assert update_seconds("single", 1024, 8, 1e4) > base
    assert update_seconds("single", 1024, 1, 1e6) > base
    assert estimated_seconds(1024, 1, 2000) > estimated_seconds(1024, 1, 20)
    assert steps("double", 8, 1e12) == 1


def test_the_model_repeats_the_measurements_that_it_was_fitted_to():
    """Seconds of `examples/benchmarks/surgery.py --cpu`, as its README shows them."""
    measured = {
        (1024, 1, 2073.0): (0.013, 0.008),
        (1024, 8, 8289.0): (0.015, 0.016),
        (2048, 1, 2081.0): (0.078, 0.043),
        (2048, 8, 4161.0): (0.081, 0.064),
        (4096, 1, 8318.0): (0.491, 0.266),
        (4096, 8, 8318.0): (0.527, 0.359),
    }
    for size, (double, single) in measured.items():
        assert update_seconds("double", *size) == pytest.approx(double, rel=0.1)
        assert update_seconds("single", *size) == pytest.approx(single, rel=0.1)


def test_wide_and_well_conditioned_heads_get_the_cheap_factor():
    units = HeadScale(feature_bits=0, target_bits=0, strong_convexity=1.0)

    assert cheaper_precision(diagonal(4096, 1), units) == "single"
    assert cheaper_precision(diagonal(4096, int(TOO_ILL)), units) == "double"


def test_the_choice_is_the_same_for_a_system_that_never_saw_the_rows():
    q, t = rows(60)
    after, never = contribution(q, t).without(q[:20], t[:20]), contribution(q[20:], t[20:])

    assert condition(after, scale()) == condition(never, scale())
    assert cheaper_precision(after, scale()) == cheaper_precision(never, scale())
