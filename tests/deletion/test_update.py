from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from mbd.deletion import surgical
from mbd.deletion.check import check_head
from mbd.deletion.exact import exact_update, refuse_unchanged, subtract_rows
from mbd.deletion.parameters import head_parameters
from mbd.deletion.release import certified_release, release
from mbd.deletion.surgical import Rounded, surgical_update
from mbd.errors import ArithmeticRefused
from mbd.head.solve import HeadScale, residual_bound, solve, solve_within
from mbd.head.state import HeadState, contribution
from tests.deletion.heads import DELTA, OUTPUTS, WIDTH, data, policy, state_of

HEAD = policy()
PARAMETERS = head_parameters([HEAD], 1.0, DELTA)[0]


@given(st.permutations(range(6)), st.integers(0, 6))
@settings(deadline=None, max_examples=20)
def test_any_sequence_of_deletions_ends_where_the_retained_rows_start(order, count):
    """Six subjects of 30 rows; some leave, in any order."""
    q, t = data(180)
    state = contribution(q, t)
    for subject in order[:count]:
        theirs = slice(30 * subject, 30 * subject + 30)
        state = subtract_rows(state, q[theirs], t[theirs])

    kept = [i for i in range(180) if i // 30 not in order[:count]]
    scratch = contribution(q[kept], t[kept])

    assert state.digest() == scratch.digest()
    exact = exact_update(state, HEAD.scale, HEAD.grid)
    assert (exact == exact_update(scratch, HEAD.scale, HEAD.grid)).all()


@pytest.mark.parametrize("precision", ["single", "double"])
def test_whatever_ran_the_residual_is_proved_and_the_head_on_the_grid(monkeypatch, precision):
    """The certificate names a tolerance, not a method."""
    monkeypatch.setattr(surgical, "cheaper_precision", lambda *_: precision)
    state = state_of()

    rounded = surgical_update(state, HEAD.scale, tolerance=PARAMETERS.tolerance, grid=HEAD.grid)

    bound = residual_bound(state, HEAD.scale, rounded.weights, HEAD.grid)
    assert bound <= PARAMETERS.tolerance
    assert rounded.weights.dtype == np.int64
    distance = np.linalg.norm((rounded.weights - solve(state, HEAD.scale, HEAD.grid)) * HEAD.grid)
    assert distance <= PARAMETERS.sensitivity / 2 * (1 + 1e-9)


def test_releases_of_either_precision_are_the_optimum_with_noise_of_the_stated_sigma(monkeypatch):
    state = state_of()
    for precision in ("single", "double"):
        monkeypatch.setattr(surgical, "cheaper_precision", lambda *_, used=precision: used)
        for _ in range(5):
            weights = certified_release(state, HEAD.scale, PARAMETERS)
            checked = check_head(state, HEAD.scale, weights, grid=HEAD.grid, sigma=HEAD.sigma)
            assert checked.passed


def test_what_one_precision_does_not_reach_another_does(monkeypatch):
    """Nearly collinear rows, counted often: in single precision there is no factor."""
    q = (20_000 + np.arange(40 * WIDTH) % 7).astype(np.int16).reshape(40, WIDTH)
    once = contribution(q, data(40)[1])
    state = HeadState(1000 * once.gram, 1000 * once.cross, 1000 * once.rows)
    ill, grid, tolerance = replace(HEAD.scale, strong_convexity=0.01), 2.0**-48, 1e-3
    monkeypatch.setattr(surgical, "cheaper_precision", lambda *_: "single")
    assert solve_within(state, ill, grid, tolerance, "single") is None

    rounded = surgical_update(state, ill, tolerance=tolerance, grid=grid)

    assert residual_bound(state, ill, rounded.weights, grid) <= tolerance


def test_a_tolerance_out_of_reach_releases_nothing_under_another_name(monkeypatch):
    """Failure 3 of the design: falling back to another method under the same name."""
    monkeypatch.setattr(surgical, "solve_within", lambda *_: None)
    monkeypatch.setattr(surgical, "solve", lambda *_: np.zeros((WIDTH, OUTPUTS), np.int64))

    with pytest.raises(ArithmeticRefused) as refusal:
        surgical_update(state_of(), HEAD.scale, tolerance=PARAMETERS.tolerance, grid=HEAD.grid)

    numbers = [word for word in str(refusal.value).split() if any(c.isdigit() for c in word)]
    assert not numbers, "a refusal must not tell the residual"


def test_candidates_would_have_to_grow_to_every_coordinate():
    """Why the update solves directly: measured on the most salient candidates first."""
    q, t = data()
    before = certified_release(contribution(q, t), HEAD.scale, PARAMETERS)[:, 0] * HEAD.grid
    after = subtract_rows(contribution(q, t), q[:20], t[:20])
    matrix = after.gram * HEAD.scale.a + HEAD.scale.strong_convexity * np.eye(WIDTH)
    right = after.cross[:, 0] * HEAD.scale.b
    saliency = (right - matrix @ before) ** 2 / np.diagonal(matrix)
    order = np.argsort(saliency)[::-1]

    for count in (1, WIDTH // 2, WIDTH - 8):
        chosen, rest = order[:count], order[count:]
        weights = before.copy()
        block = scipy.linalg.cho_factor(matrix[np.ix_(chosen, chosen)])
        weights[chosen] = scipy.linalg.cho_solve(
            block, right[chosen] - matrix[np.ix_(chosen, rest)] @ before[rest]
        )
        residual = np.linalg.norm(right - matrix @ weights)
        optimum = scipy.linalg.solve(matrix, right, assume_a="pos")
        floor = HEAD.scale.strong_convexity * np.linalg.norm((before - optimum)[rest])
        assert residual >= floor * (1 - 1e-6)
        assert residual > PARAMETERS.tolerance


def test_every_coordinate_of_a_release_carries_noise_of_the_stated_sigma():
    rounded = Rounded(np.zeros((500, 40), np.int64), HEAD.grid)

    noise = release(rounded, HEAD.sigma) * HEAD.grid / HEAD.sigma

    assert noise.std() == pytest.approx(1, abs=0.03)
    assert np.abs(noise.std(axis=0) - 1).max() < 0.2
    assert np.count_nonzero(noise) > noise.size - 5  # in one run of 600 a zero is drawn


def test_two_releases_of_one_state_differ():
    first, second = (certified_release(state_of(), HEAD.scale, PARAMETERS) for _ in range(2))

    assert (first != second).mean() > 0.99


def test_parameters_of_another_head_are_refused():
    for changes in ({"dimension": WIDTH + 1}, {"outputs": 1}, {"strong_convexity": 3.0}):
        with pytest.raises(ArithmeticRefused):
            certified_release(state_of(), HEAD.scale, replace(PARAMETERS, **changes))


def test_a_deletion_that_changed_nothing_is_refused_at_issuance():
    """Failure 1 of the design: a signed certificate for a deletion that changed no weight."""
    state = state_of()
    q, t = data()
    after = subtract_rows(state, q[:5], t[:5])

    with pytest.raises(ArithmeticRefused):
        refuse_unchanged(state.digest(), state.digest(), 5)
    with pytest.raises(ArithmeticRefused):
        refuse_unchanged(state.digest(), after.digest(), 0)
    refuse_unchanged(state.digest(), after.digest(), 5)
    refuse_unchanged(state.digest(), state.digest(), 0)


def test_rows_that_the_state_does_not_hold_are_refused():
    q, t = data(40)
    state = contribution(q[:20], t[:20])
    with pytest.raises(ArithmeticRefused):
        subtract_rows(subtract_rows(state, q[:20], t[:20]), q[:20], t[:20])


@pytest.mark.parametrize("precision", ["single", "double"])
def test_an_update_needs_at_most_three_times_the_memory_of_the_state(monkeypatch, precision):
    """With the state before still held, when the rows are subtracted."""
    monkeypatch.setattr(surgical, "cheaper_precision", lambda *_: precision)
    rng = np.random.default_rng(0)
    q = rng.integers(-(2**13), 2**13, (60, 2048)).astype(np.int16)
    t = rng.integers(-(2**12), 2**12, (60, 2)).astype(np.int32)
    units = HeadScale(feature_bits=13, target_bits=12, strong_convexity=100.0)
    surgical_update(contribution(q[:, :64], t), units, tolerance=1.0, grid=2.0**-40)

    tracemalloc.start()
    before = contribution(q, t)
    size = before.gram.nbytes + before.cross.nbytes
    tracemalloc.reset_peak()
    after = subtract_rows(before, q[:20], t[:20])
    del before
    surgical_update(after, units, tolerance=1e-3, grid=2.0**-40)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak <= 3 * size
