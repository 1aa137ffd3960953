"""Metrics against scikit-learn, with truth first, and stated values where they degenerate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error

from mbd.errors import DataError
from mbd.evaluation.metrics import binary_accuracy, macro_f1, pearson, score
from mbd.values import Task

CLASSES = Task(kind="classification", classes=("a", "b", "c", "d"))
SCORES = Task(kind="regression", label_range=(-3.0, 3.0))


@given(seed=st.integers(0, 9999), n=st.integers(1, 40))
def test_class_metrics_agree_with_scikit_learn(seed, n):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, n)
    prediction = rng.standard_normal((n, 4))
    chosen = prediction.argmax(axis=1)

    made = score(truth.astype(float), prediction, CLASSES)

    assert made["accuracy"] == pytest.approx(accuracy_score(truth, chosen))
    assert made["macroF1"] == pytest.approx(
        f1_score(truth, chosen, average="macro", zero_division=0)
    )


@given(seed=st.integers(0, 9999), n=st.integers(2, 40))
def test_regression_metrics_agree_with_their_definitions(seed, n):
    rng = np.random.default_rng(seed)
    truth, prediction = rng.standard_normal(n), rng.standard_normal((n, 1))

    made = score(truth, prediction, SCORES)

    assert made["mae"] == pytest.approx(mean_absolute_error(truth, prediction[:, 0]))
    assert made["pearson"] == pytest.approx(np.corrcoef(truth, prediction[:, 0])[0, 1])
    assert made["acc2Non0"] == pytest.approx(accuracy_score(truth > 0, prediction[:, 0] > 0))


def test_labels_of_zero_do_not_count_for_the_sign():
    assert binary_accuracy(np.array([0.0, 0.0, 1.0, -2.0]), np.array([5.0, -5.0, 2.0, 1.0])) == 0.5


@pytest.mark.parametrize("truth", [np.zeros(4), np.array([1.0, 2.0, 3.0, 4.0])])
def test_a_constant_prediction_gives_stated_values_not_nan(truth):
    for constant in (0.0, 0.1, 1e300):
        assert pearson(truth, np.full(4, constant)) == 0.0
    assert binary_accuracy(np.zeros(4), np.ones(4)) == 0.0


def test_f1_is_not_symmetric_in_which_classes_it_can_miss():
    assert macro_f1(np.array([0, 0, 1]), np.array([0, 0, 0])) == pytest.approx(0.4)


@pytest.mark.parametrize("shape", [(0, 1), (3, 2), (2, 1)])
def test_shapes_that_do_not_belong_together_are_refused(shape):
    with pytest.raises(DataError):
        score(np.zeros(3 if shape[0] else 0), np.zeros(shape), SCORES)
