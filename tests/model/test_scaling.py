"""A scaler is frozen numbers: fitted once, bounded output, the same after JSON."""

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbd.errors import DataError, IntegrityError
from mbd.model.scaling import (
    CLIP,
    ChannelScaler,
    Moments,
    Scaler,
    fit_scaler,
    scaler_from_ranges,
)
from mbd.values import ModalityInfo, Task

FLAT = ModalityInfo(name="face", width=3, max_length=1, range=(0.0, 10.0))
SERIES = ModalityInfo(name="voice", width=2, max_length=900, range=(-1.0, 1.0))


SCORES = Task(kind="regression", label_range=(-3.0, 3.0))


def fit(x, *infos: ModalityInfo) -> Scaler:
    count = len(next(iter(x.values())))
    return fit_scaler(x, infos, np.linspace(-3, 3, count), SCORES)


def sample(seed: int, count: int = 40):
    rng = np.random.default_rng(seed)
    voice = [
        (3 + 5 * rng.standard_normal((rng.integers(1, 10), 2))).astype(np.float32)
        for _ in range(count)
    ]
    face = [(7 * rng.standard_normal((1, 3))).astype(np.float32) for _ in range(count)]
    return {"face": [None, *face[1:]], "voice": voice}


def test_fitted_rows_come_out_centred_with_unit_spread():
    x = sample(0, 400)
    scaler = fit(x, FLAT, SERIES)

    steps = np.concatenate([scaler.channels["voice"].standardise(a) for a in x["voice"]])
    pooled = np.stack([pooled_of(scaler, a) for a in x["voice"]])
    pooled /= scaler.channels["voice"].weights

    assert np.abs(steps.mean(axis=0)).max() < 0.01
    assert np.abs(steps.std(axis=0) - 1).max() < 0.01
    assert np.abs(pooled.mean(axis=0)).max() < 0.05
    assert np.abs(pooled.std(axis=0) - 1).max() < 0.1


def test_fitting_takes_no_copy_of_all_sequences():
    x = {"voice": [value.repeat(100, axis=0) for value in sample(0, 400)["voice"]]}
    steps = np.concatenate(x["voice"], dtype=np.float64)
    tracemalloc.start()

    scaler = fit(x, SERIES)

    assert tracemalloc.get_traced_memory()[1] < steps.nbytes / 4
    tracemalloc.stop()
    assert scaler.channels["voice"].steps.mean == pytest.approx(steps.mean(axis=0))
    assert scaler.channels["voice"].steps.std == pytest.approx(steps.std(axis=0))


def pooled_of(scaler: Scaler, x: np.ndarray) -> np.ndarray:
    channel = scaler.channels["voice"]
    return channel.pool(channel.standardise(x))


@given(value=st.floats(-(2.0**100), 2.0**100, width=32))
def test_nothing_leaves_the_clip(value):
    scaler = fit(sample(1), FLAT, SERIES)

    pooled = pooled_of(scaler, np.full((4, 2), value, dtype=np.float32))

    assert np.abs(pooled).max() <= CLIP


def test_a_constant_feature_is_centred_not_blown_up():
    x = {"face": [np.full((1, 3), 1e6, dtype=np.float32)] * 5}

    scaler = fit(x, FLAT)

    assert scaler.channels["face"].standardise(x["face"][0]).tolist() == [[0.0, 0.0, 0.0]]
    moved = scaler.channels["face"].standardise(x["face"][0] + 1)
    assert moved.tolist() == [[1.0, 1.0, 1.0]]


def test_json_gives_the_same_scaler_bit_for_bit():
    scaler = fit(sample(2), FLAT, SERIES)

    assert Scaler.from_json(json.loads(json.dumps(scaler.to_json()))) == scaler


def test_ranges_scale_without_reading_data():
    scaler = scaler_from_ranges([FLAT, SERIES])

    face = scaler.channels["face"].standardise(np.array([[0, 5, 10]], dtype=np.float32))

    assert face[0] == pytest.approx([-np.sqrt(3), 0, np.sqrt(3)])
    assert scaler.channels["voice"].pooled_width == 4
    assert scaler.channels["voice"].weights == (0.5,) * 4


@pytest.mark.parametrize(
    "x",
    [np.zeros((0, 3)), np.zeros((2, 4)), np.zeros(3), np.array([[0, np.nan, 0]]),
     np.array([[np.inf, 0, 0]])],
)  # fmt: skip
def test_unusable_arrays_are_refused(x):
    channel = scaler_from_ranges([FLAT]).channels["face"]

    with pytest.raises(DataError):
        channel.standardise(x.astype(np.float32))


def test_no_rows_and_no_range_is_refused_with_a_way_on():
    bare = ModalityInfo(name="face", width=3, max_length=1)

    with pytest.raises(DataError) as no_rows:
        fit({"face": [None, None]}, bare)
    with pytest.raises(DataError) as no_range:
        scaler_from_ranges([bare])

    assert "range" in str(no_rows.value.hint)
    assert "calibration" in str(no_range.value.hint)


@pytest.mark.parametrize(
    ("mean", "std"), [((0.0,), (0.0,)), ((float("nan"),), (1.0,)), ((0.0,), (1.0, 1.0)), ((), ())]
)
def test_a_scaler_that_exists_is_usable(mean, std):
    with pytest.raises(IntegrityError):
        Moments(mean, std)


@pytest.mark.parametrize("weights", [(), (1.0, 1.0), (0.0,), (float("nan"),), (-1.0,), (2.0,)])
def test_weights_fit_the_features(weights):
    with pytest.raises(IntegrityError):
        ChannelScaler(Moments((0.0,), (1.0,)), None, weights)


def test_damaged_json_is_an_integrity_error():
    with pytest.raises(IntegrityError):
        Scaler.from_json(
            {"face": {"steps": {"mean": ["x"], "std": [1]}, "pooled": None, "weights": [1]}}
        )
