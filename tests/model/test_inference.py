"""The row of a record is its own: no other record, modality or thread count moves a bit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mbd.errors import DataError, NotFoundError
from mbd.model.inference import Extractor
from mbd.values import availability_name, nonempty_subsets
from tests.model.builders import CLASSES, INFOS, random_core, random_record, ranges

NAMES = tuple(info.name for info in INFOS)
FAMILY = tuple(nonempty_subsets(NAMES))


def extractor(core: bool = True) -> Extractor:
    return Extractor(ranges(), FAMILY, random_core(CLASSES) if core else None, (0.2, 0.3, 0.5))


def bits(row):
    return row.features.tobytes(), row.prediction.tobytes()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), count=st.integers(2, 6))
def test_a_row_never_depends_on_other_records(seed, count):
    rng = np.random.default_rng(seed)
    records = [random_record(rng) for _ in range(count)]
    made = extractor()

    alone = [{name: bits(row) for name, row in made.rows(record).items()} for record in records]
    together = [dict(rows) for rows in made.each(reversed(records))][::-1]

    for one, other in zip(alone, together, strict=True):
        assert one == {name: bits(row) for name, row in other.items()}


@pytest.mark.parametrize("p", FAMILY, ids=availability_name)
def test_a_prediction_uses_the_row_that_training_used(p):
    record = random_record(np.random.default_rng(1))
    made = extractor()

    training = made.rows(record)[availability_name(p)]
    prediction = made.row({name: record[name] for name in p})

    assert bits(training) == bits(prediction)


@pytest.mark.parametrize("p", FAMILY, ids=availability_name)
def test_a_head_never_sees_a_modality_outside_its_own(p):
    rng = np.random.default_rng(2)
    record, other = random_record(rng), random_record(rng)
    made = extractor()

    swapped = {name: record[name] if name in p else other[name] for name in NAMES}

    name = availability_name(p)
    assert bits(made.rows(record)[name]) == bits(made.rows(swapped)[name])


def test_the_number_of_threads_moves_nothing():
    record, made = random_record(np.random.default_rng(3)), extractor()
    before = torch.get_num_threads()
    found = set()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.add(bits(made.row(record)))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)

    assert len(found) == 1


def test_rows_agree_with_the_core_that_was_trained():
    record, core = random_record(np.random.default_rng(4)), random_core(CLASSES)
    scaler = ranges()
    x = {
        name: torch.tensor(scaler.channels[name].standardise(part), dtype=torch.float32)[None]
        for name, part in record.items()
    }
    lengths = {name: torch.tensor([part.shape[1]]) for name, part in x.items()}
    for p in FAMILY:
        output = core(x, lengths, torch.tensor([[name in p for name in NAMES]]))

        row = extractor().rows(record)[availability_name(p)]

        assert row.prediction == pytest.approx(output.prediction[0].numpy(), abs=1e-5)


def test_rows_have_the_stated_width_and_only_heads_within_the_record():
    record = random_record(np.random.default_rng(5))
    del record["audio"]
    for core in (True, False):
        made = extractor(core)

        rows = made.rows(record)

        assert set(rows) == {"text", "vision", "text+vision"}
        for p in nonempty_subsets(record):
            assert rows[availability_name(p)].features.shape == (made.width(p),)


def test_without_a_core_the_prior_is_said_and_only_raw_features_are_left():
    row = extractor(core=False).row({"text": np.ones((1, 4), dtype=np.float32)})

    assert row.prediction.tolist() == [0.2, 0.3, 0.5]
    assert row.features.shape == (4,)


def test_bad_input_names_the_modality():
    made = extractor()

    for record in (
        {"text": np.full((1, 4), np.nan, dtype=np.float32)},
        {"text": np.zeros((1, 9), dtype=np.float32)},
    ):
        with pytest.raises(DataError) as refused:
            made.row(record)
        assert refused.value.field == "text"
    with pytest.raises(DataError):
        made.row({"smell": np.zeros((1, 1), dtype=np.float32)})
    with pytest.raises(NotFoundError):
        made.row({})
