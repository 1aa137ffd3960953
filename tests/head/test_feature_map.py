from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbd.errors import ArithmeticRefused, UsageError
from mbd.head.feature_map import (
    FULL_SCALE,
    RATIO,
    _cosines,
    _frequencies,
    design_feature_map,
    quantise,
    quantise_targets,
    width_for,
)
from tests.head.rows import CLIP, feature_map


def test_the_features_of_a_seed_are_these_bits_on_every_machine():
    made, _ = feature_map(inputs=3, width=40, seed="published")
    v = np.arange(-6, 6, dtype=np.int16).reshape(4, 3) * np.int16(2500)

    found = hashlib.sha256(made.expand(v).astype("<i2").tobytes()).hexdigest()

    assert found == "e63e51570bc3f57c31261b8021e253657c3d812bf02b4fea5ae1b7469ec808ae"


@given(st.integers(1, 32767))
def test_the_cosine_table_is_the_rounded_cosine(amplitude):
    table = _cosines.__wrapped__(amplitude) if amplitude % 977 == 0 else _cosines(amplitude)
    angle = 2 * np.pi * (np.arange(2**14) + 0.5) / 2**14

    assert np.abs(table - amplitude * np.cos(angle)).max() <= 0.5 + 1e-6
    assert table.dtype == np.int16


def test_phases_are_exact_modulo_one_cycle():
    made, _ = feature_map(inputs=4, width=30)
    omega, beta = _frequencies(made)
    v = np.array([[32767, -32767, 12345, 1]], np.int16)
    table = _cosines(made.amplitude)

    by_hand = [
        table[
            (sum(int(a) * int(b) for a, b in zip(v[0], omega[:, k], strict=True)) + int(beta[k]))
            % 2**32
            >> 18
        ]
        for k in range(26)
    ]

    assert made.expand(v)[0, 4:].tolist() == by_hand


def test_frequencies_have_the_declared_spread():
    made, _ = feature_map(inputs=60, width=1060)
    omega, beta = _frequencies(made)

    radians = omega * (2 * math.pi / 2**32) * FULL_SCALE / CLIP

    assert radians.std() == pytest.approx(0.5, rel=0.01)
    assert abs(radians.mean()) < 0.01
    kurtosis = ((radians / radians.std()) ** 4).mean()
    assert 2.8 < kurtosis < 3.0
    assert beta.mean() / 2**32 == pytest.approx(0.5, abs=0.05)


def test_wider_maps_keep_the_columns_of_narrow_ones():
    narrow, _ = feature_map(inputs=5, width=20)
    wide = replace(narrow, width=50)
    v = np.array([[1, -2, 300, -32767, 32767]], np.int16)

    assert (wide.expand(v)[:, :20] == narrow.expand(v)).all()


@pytest.mark.parametrize("ratio", [RATIO, 100.0])
def test_the_rows_approximate_linear_plus_gaussian_kernel(ratio):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 6)) * 0.4
    made, bits = design_feature_map(
        inputs=6, width=8192, frequency_std=1.5, clip=3.0, seed="kernel", ratio=ratio
    )
    q = made.expand(quantise(x, 3.0)) / 2.0**bits

    distance = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    kernel = x @ x.T + ratio * np.exp(-(1.5**2) * distance / 2)
    found = q @ q.T
    factor = (found * kernel).sum() / (kernel**2).sum()

    assert np.abs(found / factor - kernel).max() < 0.04 * ratio
    assert 2.0**-0.5 <= made.amplitude / 2.0**bits <= 2.0**0.5


@given(st.integers(1, 200), st.floats(0.01, 50), st.floats(0.01, 20), st.integers(0, 99))
def test_no_row_is_longer_than_declared(inputs, clip, frequency_std, seed):
    made, _ = design_feature_map(
        inputs=inputs, width=256, frequency_std=frequency_std, clip=clip, seed=str(seed)
    )
    rng = np.random.default_rng(seed)
    v = rng.integers(-(2**15), 2**15, (3, inputs)).astype(np.int16)

    q = made.expand(v).astype(np.int64)

    assert ((q**2).sum(axis=1) <= made.norm_squared).all()


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=6), st.floats(1e-3, 1e3))
def test_quantised_inputs_are_symmetric_and_within_full_scale(values, clip):
    f = np.array([values])

    assert np.abs(quantise(f, clip).astype(int)).max() <= FULL_SCALE
    assert (quantise(-f, clip) == -quantise(f, clip)).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_refused(bad):
    with pytest.raises(ArithmeticRefused):
        quantise(np.array([[bad]]), 1.0)
    with pytest.raises(ArithmeticRefused):
        quantise_targets(np.array([[bad]]), 12)
    with pytest.raises(ArithmeticRefused):
        quantise_targets(np.array([[1e9]]), 12)


def test_a_width_that_leaves_no_room_is_refused_and_can_be_raised():
    with pytest.raises(UsageError):
        feature_map(inputs=24, width=24)
    assert width_for(24, 1024) == 1024
    assert width_for(1000, 1024) == 1280


def test_inputs_of_another_shape_are_refused():
    made, _ = feature_map(inputs=5)
    with pytest.raises(ArithmeticRefused):
        made.expand(np.zeros((2, 4), np.int16))
