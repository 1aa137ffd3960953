from __future__ import annotations

import numpy as np
import pytest

from mbd.deletion.check import HeadCheck, check_head
from mbd.deletion.exact import exact_update, subtract_rows
from mbd.deletion.parameters import head_parameters
from mbd.deletion.release import Rounded, certified_release, release
from mbd.head.state import contribution
from tests.deletion.heads import DELTA, data, policy

HEAD = policy()
PARAMETERS = head_parameters([HEAD], 1.0, DELTA)[0]
Q, T = data()
BEFORE = contribution(Q, T)
AFTER = subtract_rows(BEFORE, Q[:20], T[:20])
OPTIMUM = exact_update(AFTER, HEAD.scale, HEAD.grid)


def check(weights, sigma: float | None = HEAD.sigma) -> HeadCheck:
    return check_head(AFTER, HEAD.scale, weights, grid=HEAD.grid, sigma=sigma)


def test_honest_releases_pass():
    for _ in range(20):
        found = check(certified_release(AFTER, HEAD.scale, PARAMETERS))
        assert found.passed
        assert found.noise_ratio == pytest.approx(1, abs=0.3)


def test_an_engine_that_left_the_heads_as_they_were_is_found():
    found = check(certified_release(BEFORE, HEAD.scale, PARAMETERS))

    assert not found.passed
    assert "further" in found.detail


@pytest.mark.parametrize(("factor", "word"), [(0.1, "closer"), (0.0, "closer"), (10, "further")])
def test_noise_of_another_size_than_stated_is_found(factor, word):
    rounded = Rounded(OPTIMUM, HEAD.grid)
    steps = round(HEAD.sigma / HEAD.grid * factor)
    weights = release(rounded, steps * HEAD.grid) if steps else OPTIMUM

    found = check(weights)

    assert not found.passed
    assert word in found.detail


def test_noise_on_a_quarter_of_the_coordinates_is_found():
    weights = certified_release(AFTER, HEAD.scale, PARAMETERS)
    bare = 3 * len(weights) // 4
    weights[:bare] = OPTIMUM[:bare]

    assert not check(weights).passed


def test_one_coordinate_far_off_is_found():
    weights = certified_release(AFTER, HEAD.scale, PARAMETERS)
    weights[3, 1] += round(12 * HEAD.sigma / HEAD.grid)

    assert not check(weights).passed


def test_a_head_without_noise_must_be_the_optimum_bit_for_bit():
    altered = OPTIMUM.copy()
    altered[0, 0] += 1

    assert check(OPTIMUM, sigma=None).passed
    assert not check(altered, sigma=None).passed
    assert not check(exact_update(BEFORE, HEAD.scale, HEAD.grid), sigma=None).passed


def test_the_probability_is_uniform_enough_for_its_threshold():
    values = [check(certified_release(AFTER, HEAD.scale, PARAMETERS)).p_value for _ in range(60)]

    assert np.mean(np.array(values) < 0.05) < 0.25
