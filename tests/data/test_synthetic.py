"""The synthetic set: deterministic, complete in its promises, worth learning from."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from mbd.data.records import Records
from mbd.data.synthetic import LABEL_RANGE, synthesise
from mbd.errors import UsageError


def pooled(records: Records, modality: str) -> np.ndarray:
    return np.stack([value.mean(axis=0) for value in records.x[modality] if value is not None])


def test_the_seed_decides_everything():
    first, schema = synthesise(7, 60, seed=3)
    again, same = synthesise(7, 60, seed=3)
    other, _ = synthesise(7, 60, seed=4)

    assert schema == same
    assert first.splits == again.splits
    assert np.array_equal(first.labels, again.labels)
    for name in schema.names:
        for one, two in zip(first.x[name], again.x[name], strict=True):
            assert (one is None) == (two is None)
            assert one is None or one.tobytes() == two.tobytes()
    assert not np.array_equal(first.labels, other.labels)


def test_shapes_labels_and_missing_channels_are_as_declared():
    records, schema = synthesise(50, 1000, seed=0)

    assert set(records.subjects) == {str(i) for i in range(50)}
    assert len(set(records.record_ids)) == 1000
    assert LABEL_RANGE[0] <= records.labels.min() < records.labels.max() <= LABEL_RANGE[1]
    assert all(records.availability(i) for i in range(1000))
    for info in schema.modalities:
        column = records.x[info.name]
        lengths = {value.shape[0] for value in column if value is not None}
        assert len(lengths) > 5
        assert max(lengths) <= info.max_length
        assert {value.shape[1] for value in column if value is not None} == {info.width}
        assert 0.05 < sum(value is None for value in column) / 1000 < 0.2


def test_each_subject_is_split_70_10_20_and_has_one_cohort():
    records, _ = synthesise(50, 1000, seed=1)

    for subject in set(records.subjects):
        mine = records.where(subjects=[subject])
        assert Counter(mine.splits) == {"train": 14, "valid": 2, "test": 4}
        assert len(set(mine.cohorts)) == 1
    foundation = {
        s for s, c in zip(records.subjects, records.cohorts, strict=True) if c != "revocable"
    }
    assert 10 <= len(foundation) <= 30


@pytest.mark.parametrize("modality", ["audio", "text", "vision"])
def test_each_channel_alone_beats_a_constant_on_unseen_records(modality):
    records, _ = synthesise(60, 1500, seed=2)
    train = records.where(split="train", having=frozenset({modality}))
    test = records.where(split="test", having=frozenset({modality}))
    model = Ridge(10.0).fit(pooled(train, modality), train.labels)

    error = np.abs(model.predict(pooled(test, modality)) - test.labels).mean()

    assert error < 0.92 * np.abs(test.labels - train.labels.mean()).mean()


def test_learning_from_a_person_helps_to_read_that_person():
    """What makes a revocation matter: habits that only the person's own records show."""
    records, _ = synthesise(4, 1200, seed=0)
    audio = records.where(having=frozenset({"audio"}))
    test = audio.where(split="test", subjects=["0"])
    own = audio.where(split="train", subjects=["0"])
    others = audio.where(split="train", subjects=["1", "2", "3"])

    def error(train: Records) -> float:
        model = Ridge(10.0).fit(pooled(train, "audio"), train.labels)
        return float(np.abs(model.predict(pooled(test, "audio")) - test.labels).mean())

    assert error(own) < 0.8 * error(others)


@pytest.mark.parametrize(("users", "records", "seed"), [(0, 5, 0), (5, 4, 0), (1, 1, -1)])
def test_impossible_sizes_are_refused(users, records, seed):
    with pytest.raises(UsageError):
        synthesise(users, records, seed)
