"""What is missing depends on the seed, the record, the modality and the rate, and nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbd.evaluation.conditions import FRAME_RATES, MEAN_RATES, uneven
from mbd.evaluation.damage import (
    additive_noise,
    missing_channels,
    missing_frames,
    only,
    shift,
)
from mbd.evaluation.draws import noise, uniforms

WIDTHS = {"audio": 3, "text": 2, "vision": 4}
SCALES = {name: np.full(width, 2.0) for name, width in WIDTHS.items()}
ALL = frozenset(WIDTHS)
UNIFORMS = [0.08135622688789312, 0.08991227391130574, 0.7984766712982007]
NOISE = [-0.7036510090264957, 1.332877392098266]
seeds, rates = st.integers(0, 99), st.floats(0, 1)
names = st.text(min_size=1, max_size=9)


def record(lengths: dict[str, int]) -> dict[str, np.ndarray]:
    """Frames numbered from 1, so that one can see which are left."""
    return {
        m: np.repeat(np.arange(1, n + 1, dtype=np.float32)[:, None], WIDTHS[m], axis=1)
        for m, n in lengths.items()
    }


lengths = st.dictionaries(st.sampled_from(sorted(WIDTHS)), st.integers(1, 30), min_size=1)


def frames(x) -> dict[str, set[float]]:
    return {m: set(array[:, 0].tolist()) for m, array in x.items()}


@given(seed=seeds, name=names, sizes=lengths, low=rates, high=rates)
def test_what_is_missing_at_one_rate_is_missing_at_every_higher_one(seed, name, sizes, low, high):
    low, high = sorted((low, high))
    x = record(sizes)

    more, less = (frames(missing_frames(seed, rate)(name, x).x) for rate in (low, high))
    assert all(less[m] <= more[m] for m in less)
    kept = [missing_channels(seed, dict.fromkeys(ALL, rate))(name, x).x for rate in (low, high)]
    assert kept[1].keys() <= kept[0].keys()


@given(seed=seeds, name=names, sizes=lengths, rate=rates)
def test_something_is_always_left_and_nothing_is_missing_at_rate_zero(seed, name, sizes, rate):
    x = record(sizes)

    for damage in (missing_frames(seed, rate), missing_channels(seed, dict.fromkeys(ALL, rate))):
        made = damage(name, x)
        assert made.x
        assert all(len(array) for array in made.x.values())
        assert made.missing < made.total
    for damage in (missing_frames(seed, 0.0), missing_channels(seed, dict.fromkeys(ALL, 0.0))):
        assert all(damage(name, x).x[m] is x[m] for m in x)


@given(seed=seeds, name=names, sizes=lengths, rate=rates)
def test_zeros_stand_exactly_where_frames_were_removed(seed, name, sizes, rate):
    x = record(sizes)
    dropped = missing_frames(seed, rate, "drop")(name, x)
    zeroed = missing_frames(seed, rate, "zero")(name, x)

    assert dropped.trace == zeroed.trace
    assert dropped.x.keys() == zeroed.x.keys()
    for m, array in zeroed.x.items():
        assert array.shape == x[m].shape
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array[array[:, 0] != 0], dropped.x[m])


@given(seed=seeds, name=names, sizes=lengths, rate=rates)
def test_a_frame_does_not_care_for_those_after_it(seed, name, sizes, rate):
    longer = {m: n + 7 for m, n in sizes.items()}
    short, long = (missing_frames(seed, rate)(name, record(one)) for one in (sizes, longer))
    for m, n in sizes.items():
        before = {frame for frame in frames(long.x).get(m, set()) if frame <= n}
        # The last frame of a record that would be left with none is another one.
        assert len(before ^ frames(short.x).get(m, set())) <= 1


def masks(seed: int, name: str, modality: str) -> bytes:
    return missing_frames(seed, 0.5)(name, record({modality: 64})).trace[modality]


def test_each_modality_each_record_and_each_seed_has_a_mask_of_its_own():
    made = [
        masks(seed, name, modality)
        for seed in (0, 1)
        for name in ("r1", "r2", "r11")
        for modality in sorted(WIDTHS)
    ]

    assert len(set(made)) == len(made)


def test_names_do_not_run_into_each_other():
    assert uniforms(2, "a", 1, "b").tolist() != uniforms(2, "a", "1b").tolist()
    assert uniforms(2, "a", 1).tolist() != uniforms(2, "a", "1").tolist()


def test_draws_are_pinned():
    """A report of last year can be compared: nobody changes the masks unawares."""
    assert uniforms(3, "frame", 0, "r1", "text").tolist() == UNIFORMS
    assert noise(2, "noise", 0, "r1", "text").tolist() == pytest.approx(NOISE, abs=1e-12)


@pytest.mark.parametrize("rate", FRAME_RATES)
def test_rates_are_met_on_average_and_modalities_are_independent(rate):
    x = record(dict.fromkeys(ALL, 400))
    gone = np.stack(
        [
            [
                np.unpackbits(np.frombuffer(made.trace[m], np.uint8), count=400) == 0
                for m in sorted(x)
            ]
            for made in (missing_frames(3, rate)(f"r{i}", x) for i in range(20))
        ]
    )  # (records, modalities, frames)

    n = gone[:, 0].size
    assert np.abs(gone.mean(axis=(0, 2)) - rate).max() <= 5 * (0.25 / n) ** 0.5
    both = (gone[:, 0] & gone[:, 1]).mean()
    assert abs(both - rate**2) <= 5 * (0.25 / n) ** 0.5


def test_noise_is_drawn_anew_for_each_record_and_modality():
    x = {name: np.zeros((3, 4), np.float32) for name in ("audio", "text")}
    scales = {name: np.ones(4) for name in x}
    drawn = [
        additive_noise(seed, 1.0, ALL, scales)(name, x).x[m].tobytes()
        for seed in (0, 1)
        for name in ("r1", "r2")
        for m in x
    ]
    assert len(set(drawn)) == 8


def test_noise_has_the_moments_it_states():
    z = noise(200_000, "noise", 7)

    assert abs(z.mean()) < 0.01
    assert abs(z.var() - 1) < 0.01
    assert np.abs(z).max() < 3.5


@given(seed=seeds, name=names, level=st.floats(0.01, 4))
def test_noise_and_shifts_touch_only_the_channels_they_are_for(seed, name, level):
    x = record({"audio": 4, "text": 5, "vision": 6})

    for make in (additive_noise, shift):
        made = make(seed, level, frozenset(["text"]), SCALES)(name, x)
        assert made.x["audio"] is x["audio"]
        assert made.x["vision"] is x["vision"]
        assert not np.array_equal(made.x["text"], x["text"])
        still = make(seed, 0.0, ALL, SCALES)(name, x)
        assert all(still.x[m] is x[m] for m in x)


def test_noise_grows_with_its_level_and_a_shift_is_the_same_for_everybody():
    x = record({"text": 5})
    small, large = (
        additive_noise(0, level, ALL, SCALES)("r1", x).x["text"] - x["text"] for level in (0.5, 1.0)
    )
    np.testing.assert_allclose(2 * small, large, atol=1e-5)
    offsets = [shift(0, 1.0, ALL, SCALES)(name, x).x["text"] - x["text"] for name in ("r1", "r2")]
    np.testing.assert_array_equal(*offsets)
    assert np.abs(offsets[0]).tolist() == [[2.0, 2.0]] * 5
    assert (offsets[0] == offsets[0][0]).all()


def test_the_level_is_part_of_the_trace_and_the_data_is_not():
    x = record({"text": 5})
    other = {"text": x["text"] + 1}
    one, two = (additive_noise(0, level, ALL, SCALES)("r1", x).trace for level in (0.5, 1.0))

    assert one != two
    assert additive_noise(0, 0.5, ALL, SCALES)("r1", other).trace == one


def test_a_value_at_the_edge_of_float32_stays_finite():
    x = {"text": np.full((3, 2), np.finfo(np.float32).max, np.float32)}
    huge = {"text": np.full(2, 1e38)}

    assert np.isfinite(additive_noise(0, 2.0, ALL, huge)("r1", x).x["text"]).all()


def test_a_subset_takes_only_records_that_have_all_of_it():
    x = record({"audio": 2, "text": 3})

    assert only(frozenset(["audio", "vision"]))("r1", x) is None
    assert only(frozenset(["audio"]))("r1", x).x.keys() == {"audio"}


@given(count=st.integers(2, 6), mean=st.sampled_from(MEAN_RATES))
def test_uneven_rates_differ_and_have_the_mean_they_state(count, mean):
    modalities = [f"m{k}" for k in range(count)]
    for most in modalities:
        made = uneven(mean, modalities, most)
        assert np.mean(list(made.values())) == pytest.approx(mean)
        assert len({round(rate, 9) for rate in made.values()}) == count
        assert all(0 <= rate <= 1 for rate in made.values())
        assert max(made, key=made.__getitem__) == most
    assert set(uneven(mean, modalities, "nobody").values()) == {mean}
