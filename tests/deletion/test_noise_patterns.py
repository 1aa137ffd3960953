"""Noise that is none, of the right size: repeated, mirrored, sorted; and honest noise passes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from scipy.special import ndtri

from mbd.deletion.check import check_deviation
from mbd.deletion.noise_directions import along, leading_directions
from mbd.deletion.noise_patterns import (
    MODEL_THRESHOLD,
    HeadNoise,
    find_pattern,
    told_apart,
    unseen_shift,
)
from mbd.deletion.normality import size_p_value
from mbd.privacy.discrete_gaussian import sample

STEPS = 2**29
SIZE = 512

Vector = np.ndarray


def a_gram(width: int) -> np.ndarray:
    """Of as many records as it is wide, which lie mostly in some directions."""
    spread = np.rint(2000 * np.arange(1, width + 1) ** -0.7)
    rows = np.rint(np.random.default_rng(0).standard_normal((width, width)) * spread)
    gram: np.ndarray = (rows.T @ rows).astype(np.int64)
    return gram


@cache
def directions(width: int) -> np.ndarray:
    return leading_directions(a_gram(width))


def noise_of(name: str, deviation: np.ndarray, steps: int) -> HeadNoise:
    turned = along(directions(len(deviation)), deviation, steps)
    return HeadNoise(name, deviation, steps, turned)


def head(name: str, z: Vector, columns: int = 1) -> HeadNoise:
    steps = np.rint(z * STEPS).astype(np.int64)
    return noise_of(name, steps.reshape(-1, columns), STEPS)


def fresh(seed: int, size: int = SIZE) -> Vector:
    return np.random.default_rng(seed).standard_normal(size)


def p_of(*noise: HeadNoise) -> float:
    return find_pattern(noise).p_value


def _quarter(seed: int) -> Vector:
    return fresh(seed, SIZE // 4)


OF_ONE: dict[str, Callable[[], Vector]] = {
    "sorted": lambda: np.sort(fresh(1)),
    "quantiles": lambda: ndtri((np.arange(SIZE) + 0.5) / SIZE),
    "one half negated": lambda: np.concatenate([fresh(1, SIZE // 2), -fresh(1, SIZE // 2)]),
    "one half twice": lambda: np.tile(fresh(1, SIZE // 2), 2),
    "a quarter four times": lambda: np.concatenate(
        [_quarter(1), _quarter(1), -_quarter(1), -_quarter(1)]
    ),
    "backwards": lambda: np.concatenate([fresh(1, SIZE // 2), fresh(1, SIZE // 2)[::-1]]),
    "every number twice": lambda: np.repeat(fresh(1, SIZE // 2), 2),
    "a few numbers without noise": lambda: fresh(1) * (np.arange(SIZE) > 8),
    "almost no noise on some": lambda: np.where(np.arange(SIZE) < 150, 1e-4, 1.0) * fresh(1),
    "one number many times": lambda: np.where(np.arange(SIZE) < 8, 0.7, fresh(1)),
}


@pytest.mark.parametrize("name", OF_ONE)
def test_a_pattern_within_one_head_is_found(name: str) -> None:
    assert p_of(head("text", OF_ONE[name]())) < MODEL_THRESHOLD / 2


def test_shuffled_quantiles_fit_too_well_to_be_drawn() -> None:
    z = np.random.default_rng(1).permutation(OF_ONE["quantiles"]())
    noise = head("text", z)
    assert not check_deviation(noise.deviation, grid=1.0, sigma=float(STEPS)).passed


def _noisy_copy(z: Vector) -> Vector:
    """Correlated at .6, not equal."""
    return 0.6 * z + 0.8 * fresh(99, z.size)


OF_TWO: dict[str, Callable[[Vector], Vector]] = {
    "the same": lambda z: z,
    "negated": lambda z: -z,
    "reversed": lambda z: z[::-1],
    "moved by half": lambda z: np.roll(z, SIZE // 2),
    "a prefix": lambda z: z[: SIZE // 2],
    "correlated": _noisy_copy,
    "shuffled": lambda z: np.random.default_rng(5).permutation(z),
}


@pytest.mark.parametrize("name", OF_TWO)
def test_a_head_that_repeats_another_is_found(name: str) -> None:
    z = fresh(1)
    found = find_pattern([head("audio", z), head("text", OF_TWO[name](z)), head("x", fresh(3))])
    assert found.p_value < MODEL_THRESHOLD / 2
    assert "x" not in found.pattern.split()


def test_columns_of_a_head_that_are_equal_are_found() -> None:
    z = fresh(1)
    rows = np.stack([z, fresh(2), z], axis=1).ravel()
    assert p_of(head("text", rows, columns=3)) < MODEL_THRESHOLD / 2


def test_many_heads_together_show_what_each_alone_does_not() -> None:
    """Ten per cent too much is within chance for one head, and not for thirty."""
    heads = [head(f"h{number}", 1.1 * fresh(number)) for number in range(30)]
    for one in heads:
        assert check_deviation(one.deviation, grid=1.0, sigma=float(STEPS)).passed
    assert "size" in find_pattern(heads).pattern
    assert p_of(*heads) < MODEL_THRESHOLD / 2


def test_honest_noise_is_not_suspected() -> None:
    """P-values of the smallest of so many tests are no smaller than they say they are."""
    found = []
    for seed in range(60):
        heads = [head(str(number), fresh(1000 * seed + number), 2) for number in range(5)]
        found.append(p_of(*heads))
    assert min(found) > 1e-4
    assert sum(p < 0.1 for p in found) <= 15  # expected at most 6


def test_the_engines_own_noise_is_not_suspected() -> None:
    heads = [
        noise_of(name, sample(STEPS, SIZE).reshape(-1, 1), STEPS) for name in ("audio", "text")
    ]
    assert p_of(*heads) > MODEL_THRESHOLD


def test_a_coarse_grid_repeats_itself_honestly() -> None:
    """With few steps to a sigma, equal numbers are no sign of anything."""
    heads = [noise_of("text", sample(50, 4096).reshape(-1, 8), 50)]
    assert p_of(*heads) > MODEL_THRESHOLD


@pytest.mark.parametrize("coordinates", [256, 4096])
def test_the_power_that_is_told_is_the_power_there_is(coordinates: int) -> None:
    low, high = told_apart(coordinates, MODEL_THRESHOLD)
    passed = dict.fromkeys((low * 0.97, low * 1.03, high * 0.97, high * 1.03), 0)
    for seed in range(200):
        z = fresh(seed, coordinates)
        for factor in passed:
            passed[factor] += size_p_value(factor * z) >= MODEL_THRESHOLD
    inside = [passed[low * 1.03], passed[high * 0.97]]
    outside = [passed[low * 0.97], passed[high * 1.03]]
    assert min(inside) > 100 > max(outside)


@pytest.mark.parametrize("coordinates", [256, 4096])
def test_the_shift_that_may_be_unseen_is_the_one_that_is(coordinates: int) -> None:
    shift = unseen_shift(coordinates, MODEL_THRESHOLD)
    away = np.ones(coordinates) / np.sqrt(coordinates)
    passed = [
        sum(
            size_p_value(fresh(s, coordinates) + f * shift * away) >= MODEL_THRESHOLD
            for s in range(200)
        )
        for f in (0.9, 1.1)
    ]
    assert passed[0] > 100 > passed[1]


@pytest.mark.parametrize("share", [1 / 64, 0.1, 0.25, 0.5])
@pytest.mark.parametrize("columns", [1, 3])
def test_noise_that_spares_the_directions_of_the_records_is_found(
    share: float, columns: int
) -> None:
    """Its size is right, and so is that of every coordinate."""
    z = fresh(1, SIZE * columns).reshape(SIZE, columns)
    vectors = np.linalg.eigh(a_gram(SIZE).astype(float))[1][:, ::-1]
    spared = vectors[:, : max(16, int(share * SIZE))]
    z -= spared @ (spared.T @ z)
    z *= np.sqrt(SIZE / (SIZE - spared.shape[1]))
    noise = head("text", z.ravel(), columns)
    assert check_deviation(noise.deviation, grid=1.0, sigma=float(STEPS)).passed
    assert "directions" in find_pattern([noise]).pattern
    assert p_of(noise) < MODEL_THRESHOLD / 2


def test_wide_heads_are_looked_at_in_their_leading_directions() -> None:
    """Also where the directions are only nearly those of the state."""
    width, spared = 768, 100
    vectors = np.linalg.eigh(a_gram(width).astype(float))[1][:, -spared:]
    z = fresh(1, width)
    z = (z - vectors @ (vectors.T @ z)) * np.sqrt(width / (width - spared))
    assert directions(width).shape == (width, 512)
    assert p_of(head("text", z)) < MODEL_THRESHOLD / 2


@pytest.mark.parametrize("steps", [2, 3, 50])
@pytest.mark.parametrize("width", [8, 64])
def test_coarse_noise_along_single_coordinates_is_not_suspected(steps: int, width: int) -> None:
    """Directions may be coordinates, and a coordinate without noise by chance is an honest one."""
    axes = leading_directions(np.diag(np.arange(width, 0, -1) * 1000))
    assert np.allclose(np.abs(axes), np.eye(width), atol=1e-6)
    found = []
    for _ in range(200):
        deviation = sample(steps, width).reshape(-1, 1)
        one = HeadNoise("text", deviation, steps, along(axes, deviation, steps))
        found.append(min(size_p_value(one.leading[:1]), size_p_value(one.leading)))
    assert min(found) > 1e-6


def test_a_state_without_rows_has_directions_too() -> None:
    axes = leading_directions(np.zeros((16, 16), np.int64))
    assert np.allclose(axes.T @ axes, np.eye(16))
