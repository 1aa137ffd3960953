from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbd.errors import ArithmeticRefused, UsageError
from mbd.head.long_integers import places_of
from mbd.head.solve import HeadScale, residual, residual_bound, solve, solve_within
from mbd.head.state import HeadState, contribution
from tests.head.rows import rows, scale


def exact_system(state: HeadState, units: HeadScale):
    """A and B as fractions."""
    a, b = Fraction(units.a), Fraction(units.b)
    matrix = [[a * int(value) for value in row] for row in state.gram]
    for j in range(state.width):
        matrix[j][j] += Fraction(units.strong_convexity)
    return matrix, [[b * int(value) for value in row] for row in state.cross]


def exact_norm_squared(state: HeadState, units: HeadScale, weights, grid: float) -> Fraction:
    """||A W - B||_F^2 with fractions: the slow and obvious reference."""
    matrix, right = exact_system(state, units)
    total = Fraction(0)
    for row, target in zip(matrix, right, strict=True):
        for k, wanted in enumerate(target):
            product = sum(
                (x * int(w) for x, w in zip(row, weights[:, k], strict=True)), Fraction(0)
            )
            total += (product * Fraction(grid) - wanted) ** 2
    return total


def exact_optimum(state: HeadState, units: HeadScale):
    """A^-1 B by Gaussian elimination over the fractions."""
    matrix, right = exact_system(state, units)
    table = [[*row, *target] for row, target in zip(matrix, right, strict=True)]
    width = state.width
    for j in range(width):
        table[j] = [x / table[j][j] for x in table[j]]
        for i in range(width):
            if i != j:
                factor = table[i][j]
                table[i] = [x - factor * y for x, y in zip(table[i], table[j], strict=True)]
    return [row[width:] for row in table]


def rounded(value: Fraction, grid: float) -> int:
    return int((value / Fraction(grid) + Fraction(1, 2)) // 1)


def ill_conditioned(repeats: int, seed: int = 0) -> HeadState:
    """A state worth `repeats` copies of few, nearly collinear rows."""
    rng = np.random.default_rng(seed)
    q = np.full((4, 8), 20_000) + rng.integers(-2, 3, (4, 8))
    t = rng.integers(-4096, 4097, (4, 2))
    once = contribution(q, t)
    return HeadState(once.gram * repeats, once.cross * repeats, once.rows * repeats)


@given(st.integers(1, 12), st.sampled_from([2.0**-10, 0.3, 1.0, 100.0]), st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_the_solution_is_the_optimum_rounded_to_the_grid(count, convexity, seed):
    q, t = rows(count, inputs=3, width=7, outputs=2, seed=seed)
    state, units = contribution(q, t), scale(convexity, inputs=3, width=7)

    found = solve(state, units, 2.0**-30)

    exact = [[rounded(value, 2.0**-30) for value in row] for row in exact_optimum(state, units)]
    assert found.tolist() == exact


@pytest.mark.parametrize("repeats", [1, 2_500_000])
@pytest.mark.parametrize("convexity", [0.01, 1.0])
def test_the_optimum_of_ten_million_nearly_collinear_rows(repeats, convexity):
    state = ill_conditioned(repeats)
    units = HeadScale(feature_bits=14, target_bits=12, strong_convexity=convexity)

    found = solve(state, units, 2.0**-40)

    exact = [[rounded(value, 2.0**-40) for value in row] for row in exact_optimum(state, units)]
    assert found.tolist() == exact


@given(
    st.integers(0, 9),
    st.integers(0, 99),
    st.integers(-60, 3),
    st.sampled_from([2.0**-20, 0.1, 7.0]),
    st.integers(0, 61),
)
@settings(deadline=None, max_examples=40)
def test_the_bound_is_above_the_true_residual_and_tight(count, seed, exponent, convexity, bits):
    q, t = rows(count, inputs=3, width=6, outputs=2, seed=seed)
    state, units = contribution(q, t), scale(convexity, inputs=3, width=6)
    weights = np.random.default_rng(seed).integers(-(2**bits), 2**bits + 1, (6, 2))

    bound = Fraction(residual_bound(state, units, weights, 2.0**exponent))

    squared = exact_norm_squared(state, units, weights, 2.0**exponent)
    assert bound**2 >= squared
    assert bound**2 <= squared * (1 + Fraction(1, 2**45))


@pytest.mark.parametrize("repeats", [1, 2_500_000])
def test_the_bound_on_an_ill_conditioned_state(repeats):
    state = ill_conditioned(repeats)
    units = HeadScale(feature_bits=14, target_bits=12, strong_convexity=0.001)
    weights = solve(state, units, 2.0**-40)

    for shift in (0, 1, 10**6):
        bound = Fraction(residual_bound(state, units, weights + shift, 2.0**-40))
        squared = exact_norm_squared(state, units, weights + shift, 2.0**-40)
        assert squared <= bound**2 <= squared * Fraction(1 + 2**-40)


def ten_million_rows(width: int, *, rank: int, seed: int = 0) -> HeadState:
    """A state of few different rows, counted millions of times: G has their rank."""
    rng = np.random.default_rng(seed)
    q = rng.integers(-(2**15), 2**15, (rank, width)).astype(np.int16)
    t = rng.integers(-(2**13), 2**13, (rank, 2)).astype(np.int32)
    once, repeats = contribution(q, t), 10_000_000 // rank
    return HeadState(once.gram * repeats, once.cross * repeats, rank * repeats)


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("rank", [1, 3, 12])
@pytest.mark.parametrize("convexity", [1e-3, 1.0, 1e6])
def test_what_is_accepted_is_within_the_tolerance_however_ill_conditioned(
    precision, rank, convexity
):
    """1e7 rows whose matrix has no full rank: lambda alone makes it definite."""
    state = ten_million_rows(12, rank=rank)
    units = HeadScale(feature_bits=14, target_bits=12, strong_convexity=convexity)
    grid, accepted = 2.0**-40, 0
    for tolerance in (1e-3, 1.0, 1e3):
        weights = solve_within(state, units, grid, tolerance, precision)
        if weights is not None:
            accepted += 1
            exact = exact_norm_squared(state, units, weights, grid)
            assert exact <= Fraction(tolerance) ** 2
            assert exact <= Fraction(residual_bound(state, units, weights, grid)) ** 2

    assert accepted or (precision, convexity) != ("double", 1e6)


@pytest.mark.slow
def test_the_bound_at_full_width_of_ten_million_rows():
    """d = 4096: rows of the residual, drawn at random, against Python integers."""
    width, grid = 4096, 2.0**-44
    state = ten_million_rows(width, rank=50)
    units = HeadScale(feature_bits=14, target_bits=12, strong_convexity=0.3)
    weights = np.random.default_rng(1).integers(-(2**50), 2**50, (width, 2))

    left = residual(state, units, places_of(weights), -44)

    unit = Fraction(2) ** left.exponent
    for row in (0, 1, 2047, 4095):
        for k in range(2):
            product = sum(
                int(x) * int(w) for x, w in zip(state.gram[row], weights[:, k], strict=True)
            )
            exact = Fraction(units.b) * int(state.cross[row, k]) - Fraction(grid) * (
                Fraction(units.a) * product
                + Fraction(units.strong_convexity) * int(weights[row, k])
            )
            found = sum(int(d) << (20 * i) for i, d in enumerate(left.places[:, row, k]))
            assert found * unit == exact
    norm_squared = sum(
        sum(int(d) << (20 * i) for i, d in enumerate(digits)) ** 2
        for digits in left.places.reshape(len(left.places), -1).T
    )
    bound = Fraction(residual_bound(state, units, weights, grid))
    assert norm_squared * unit**2 <= bound**2 <= norm_squared * unit**2 * (1 + Fraction(1, 2**45))


def test_no_head_is_further_from_the_optimum_than_residual_over_lambda():
    q, t = rows(9, inputs=3, width=6)
    state, units = contribution(q, t), scale(0.5, inputs=3, width=6)
    grid = 2.0**-20
    optimum = exact_optimum(state, units)
    weights = solve(state, units, grid) + np.arange(6).reshape(6, 1) * 1000

    bound = Fraction(residual_bound(state, units, weights, grid))
    distance_squared = sum(
        (int(w) * Fraction(grid) - best) ** 2
        for w, (best,) in zip(weights[:, 0], optimum, strict=True)
    )

    assert distance_squared <= (bound / Fraction(units.strong_convexity)) ** 2


def test_an_optimum_on_the_grid_has_no_residual():
    state = HeadState(np.zeros((4, 4), np.int64), np.full((4, 1), 2**13), 1)
    units = HeadScale(feature_bits=1, target_bits=12, strong_convexity=0.5)

    weights = solve(state, units, 0.25)

    assert weights.tolist() == [[8]] * 4
    assert residual_bound(state, units, weights, 0.25) == 0.0


def test_the_state_alone_decides_the_bits():
    q, t = rows(60, outputs=3)
    whole = contribution(q, t)
    pieces = contribution(q[40:], t[40:]) + contribution(q[:40], t[:40])

    assert (solve(whole, scale(), 2.0**-40) == solve(pieces, scale(), 2.0**-40)).all()


def test_what_float64_cannot_factor_or_the_grid_cannot_hold_is_refused():
    state = ill_conditioned(2_500_000)
    tiny = HeadScale(feature_bits=14, target_bits=12, strong_convexity=1e-12)
    with pytest.raises(ArithmeticRefused):
        solve(state, tiny, 2.0**-40)
    with pytest.raises(ArithmeticRefused):
        solve(contribution(*rows(5)), scale(), 2.0**-70)


def test_bad_units_are_refused():
    state = contribution(*rows(3))
    with pytest.raises(ArithmeticRefused):
        solve(state, scale(), 0.3)
    for convexity in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError):
            scale(convexity)
