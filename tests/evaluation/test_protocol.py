"""Every subset is evaluated on the records that have it, with the rest taken away first."""

import numpy as np
import pytest

from mbd.data.synthetic import synthesise
from mbd.errors import DataError
from mbd.evaluation.protocol import constant_prediction, evaluate
from mbd.values import Task, availability_name, nonempty_subsets

RECORDS, SCHEMA = synthesise(users=6, records=60, seed=1)


def test_every_subset_has_a_row_on_exactly_its_records():
    rows = evaluate(lambda chosen, p: np.zeros((len(chosen), 1)), RECORDS, SCHEMA, np.zeros(1))

    assert [row.available for row in rows] == [
        availability_name(p) for p in nonempty_subsets(SCHEMA.names)
    ]
    for row, p in zip(rows, nonempty_subsets(SCHEMA.names), strict=True):
        assert row.n == sum(RECORDS.availability(i) >= p for i in range(len(RECORDS)))


def test_the_model_sees_nothing_outside_the_subset():
    def predict(chosen, p):
        assert {chosen.availability(i) for i in range(len(chosen))} == {p}
        return chosen.labels[:, None]

    rows = evaluate(predict, RECORDS, SCHEMA, np.zeros(1))

    assert all(row.metrics["mae"] == 0 for row in rows)
    assert all(row.baseline["mae"] > 0 for row in rows)


def test_a_subset_that_nobody_has_gives_no_row():
    silent = RECORDS.without(lambda _, modality: modality == "audio")

    rows = evaluate(lambda chosen, p: np.zeros((len(chosen), 1)), silent, SCHEMA, np.zeros(1))

    assert [row.available for row in rows] == ["text", "vision", "text+vision"]


def test_the_constant_predictor_is_the_mean_or_the_shares():
    scores = Task(kind="regression", label_range=(-3.0, 3.0))
    classes = Task(kind="classification", classes=("a", "b", "c"))

    assert constant_prediction(np.array([1.0, 3.0]), scores).tolist() == [2.0]
    assert constant_prediction(np.array([0.0, 2.0, 2.0, 2.0]), classes).tolist() == [0.25, 0, 0.75]
    with pytest.raises(DataError):
        constant_prediction(np.array([]), scores)
