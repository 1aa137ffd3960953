"""Features count by what they explain; every channel counts the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbd.model.relevance import UNIFORM_SHARE, explained, feature_weights
from mbd.values import Task

SCORES = Task(kind="regression", label_range=(-3.0, 3.0))
CLASSES = Task(kind="classification", classes=("a", "b", "c"))


@given(seed=st.integers(0, 999), n=st.integers(1, 30), width=st.integers(1, 6))
def test_weights_are_positive_and_their_squares_sum_to_one(seed, n, width):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, width))
    for labels, task in (
        (rng.standard_normal(n), SCORES),
        (rng.integers(0, 3, n).astype(float), CLASSES),
        (np.zeros(n), SCORES),
        (np.zeros(n), CLASSES),
    ):
        weights = feature_weights(rows, labels, task)

        assert (weights > 0).all()
        assert np.square(weights).sum() == pytest.approx(1)


def test_regression_explains_the_squared_correlation():
    rng = np.random.default_rng(0)
    rows, labels = rng.standard_normal((50, 4)), rng.standard_normal(50)
    rows[:, 0] += labels

    by_hand = [np.corrcoef(column, labels)[0, 1] ** 2 - 1 / 50 for column in rows.T]

    assert explained(rows, labels, SCORES) == pytest.approx(np.maximum(by_hand, 0))


def test_classes_explain_the_variance_between_them():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 90)
    rows = rng.standard_normal((90, 2)) + np.array([0.0, 1.0, 3.0])[labels][:, None] * [1, 0]
    means = np.stack([rows[labels == c].mean(axis=0) for c in labels])

    by_hand = means.var(axis=0) / rows.var(axis=0) - 2 / 90

    assert explained(rows, labels.astype(float), CLASSES) == pytest.approx(np.maximum(by_hand, 0))


def test_a_feature_that_says_everything_gets_what_is_not_shared_alike():
    rng = np.random.default_rng(2)
    labels = rng.standard_normal(4000)
    rows = np.stack([labels, np.zeros(4000)], axis=1)

    squares = np.square(feature_weights(rows, labels, SCORES))

    assert squares == pytest.approx([1 - UNIFORM_SHARE / 2, UNIFORM_SHARE / 2], abs=1e-3)
