"""Metrics against scikit-learn and by hand: truth first, a stated value where they degenerate."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    mean_absolute_error,
    recall_score,
)

from mbd.errors import DataError, UsageError
from mbd.evaluation import classes, sentiment
from mbd.evaluation.metrics import FAMILIES, family_of, score
from mbd.values import Task

CLASSES = Task(kind="classification", classes=("a", "b", "c", "d"))
MOSI = Task(kind="regression", label_range=(-3.0, 3.0))
SIMS = Task(kind="regression", label_range=(-1.0, 1.0))
STARS = Task(kind="regression", label_range=(1.0, 5.0))


def f1_of(truth, chosen, average):
    return f1_score(truth, chosen, average=average, zero_division=0)


@given(seed=st.integers(0, 9999), n=st.integers(1, 40), kinds=st.integers(1, 4))
def test_class_metrics_agree_with_scikit_learn(seed, n, kinds):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, kinds, n)
    prediction = rng.standard_normal((n, 4))
    chosen = prediction.argmax(axis=1)

    made = score(truth.astype(float), prediction, CLASSES)

    assert made["accuracy"] == pytest.approx(accuracy_score(truth, chosen))
    assert made["macroF1"] == pytest.approx(f1_of(truth, chosen, "macro"))
    assert made["weightedF1"] == pytest.approx(f1_of(truth, chosen, "weighted"))
    with warnings.catch_warnings():  # It warns of classes that truth does not have.
        warnings.simplefilter("ignore")
        assert made["balancedAccuracy"] == pytest.approx(balanced_accuracy_score(truth, chosen))
    recall = recall_score(truth, chosen, average="macro", labels=np.unique(truth), zero_division=0)
    assert made["uar"] == pytest.approx(recall)


@given(seed=st.integers(0, 9999), n=st.integers(2, 40))
def test_mosi_metrics_agree_with_scikit_learn_in_both_conventions(seed, n):
    rng = np.random.default_rng(seed)
    truth = rng.choice([-3.0, -1.6, -0.4, 0.0, 0.0, 0.2, 1.0, 2.8], n)
    value = np.where(rng.random(n) < 0.2, 0.0, rng.uniform(-4, 4, n))

    made = score(truth, value[:, None], MOSI)

    assert made["mae"] == pytest.approx(mean_absolute_error(truth, value))
    polar = truth != 0
    assert made["f1Has0"] == pytest.approx(f1_of(truth >= 0, value >= 0, "weighted"))
    assert made["acc2Has0"] == pytest.approx(accuracy_score(truth >= 0, value >= 0))
    if polar.any():
        y, f = truth[polar] > 0, value[polar] > 0
        assert made["acc2Non0"] == pytest.approx(accuracy_score(y, f))
        assert made["f1Non0"] == pytest.approx(f1_of(y, f, "weighted"))
    for name, limit in (("acc5", 2), ("acc7", 3)):
        y, f = ([round(float(v)) for v in np.clip(x, -limit, limit)] for x in (truth, value))
        assert made[name] == pytest.approx(accuracy_score(y, f))


@given(seed=st.integers(0, 9999), n=st.integers(2, 40))
def test_sims_metrics_agree_with_scikit_learn_after_clipping(seed, n):
    rng = np.random.default_rng(seed)
    truth = rng.integers(-5, 6, n) / 5
    value = rng.uniform(-1.5, 1.5, n)
    clipped = np.clip(value, -1, 1)

    made = score(truth, value[:, None], SIMS)

    assert made["mae"] == pytest.approx(mean_absolute_error(truth, clipped))
    assert made["acc2"] == pytest.approx(accuracy_score(truth > 0, clipped > 0))
    assert made["f1"] == pytest.approx(f1_of(truth > 0, clipped > 0, "weighted"))
    for name, inner in (("acc3", [-0.1, 0.1]), ("acc5", [-0.7, -0.1, 0.1, 0.7])):
        y, f = (np.digitize(x, inner, right=True) for x in (truth, clipped))
        assert made[name] == pytest.approx(accuracy_score(y, f))


@given(seed=st.integers(0, 9999), n=st.integers(2, 40), scale=st.floats(1e-150, 1e150))
def test_the_correlation_is_numpys_in_any_unit(seed, n, scale):
    rng = np.random.default_rng(seed)
    truth, value = rng.standard_normal(n), rng.standard_normal(n)

    assert sentiment.pearson(truth, value * scale) == pytest.approx(np.corrcoef(truth, value)[0, 1])


def test_halves_round_to_the_even_number():
    halves = np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.5])
    even = np.array([0.0, 2.0, 2.0, 0.0, -2.0, -2.0])
    away = np.array([1.0, 1.0, 3.0, -1.0, -1.0, -3.0])

    assert sentiment.rounded_accuracy(even, halves, limit=3) == 1.0
    assert sentiment.rounded_accuracy(away, halves, limit=3) == 0.0


def test_both_sides_are_clipped_before_they_are_rounded():
    truth, value = np.array([3.0, 3.0, -3.0, 2.0]), np.array([9.0, 2.4, -2.6, 2.4])

    made = score(truth, value[:, None], MOSI)

    assert made["acc7"] == 0.75  # 3 3, 3 2, -3 -3, 2 2
    assert made["acc5"] == 1.0  # all of them are 2 or more


def test_zero_is_not_negative_in_one_convention_and_left_out_in_the_other():
    truth, value = np.array([0.0, 0.0, 1.0, -2.0]), np.array([0.0, -5.0, 0.0, -0.1])

    made = score(truth, value[:, None], MOSI)

    assert made["acc2Has0"] == 0.75  # only the second is wrong
    assert made["acc2Non0"] == 0.5  # 1.0 against 0.0, which is not positive


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_edge_belongs_to_the_class_below_however_it_was_stored(dtype):
    edges = np.array([-0.7, -0.1, 0.1, 0.7, 0.0], dtype).astype(np.float64)
    below = np.array([-0.8, -0.5, 0.0, 0.5, -0.05])
    above = np.array([-0.5, 0.0, 0.5, 0.8, 0.05])

    assert score(edges[:4], below[:4, None], SIMS)["acc5"] == 1.0
    assert score(edges[:4], above[:4, None], SIMS)["acc5"] == 0.0
    assert score(edges[1:3], below[1:3, None], SIMS)["acc3"] == 1.0
    assert score(edges[4:], below[4:, None], SIMS)["acc2"] == 1.0
    assert score(edges[4:], above[4:, None], SIMS)["acc2"] == 0.0


def test_f1_weighs_by_the_classes_of_the_truth_and_not_of_the_prediction():
    truth, said = np.array([0, 0, 0, 1]), np.array([0, 1, 1, 1])

    assert classes.weighted_f1(truth, said) == pytest.approx(0.75 * 1 / 2 + 0.25 * 1 / 2)
    assert classes.weighted_f1(np.array([0, 0, 1]), np.array([0, 0, 0])) == pytest.approx(8 / 15)
    assert classes.weighted_f1(np.array([0, 0, 0]), np.array([0, 0, 1])) == pytest.approx(4 / 5)
    assert classes.macro_f1(np.array([0, 0, 1]), np.array([0, 0, 0])) == pytest.approx(0.4)


@pytest.mark.parametrize("name", sorted(FAMILIES))
@pytest.mark.parametrize("truth", [[0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 1]])
@pytest.mark.parametrize("said", [0, 1])
def test_constant_predictions_and_a_single_class_give_numbers(name, truth, said):
    made = FAMILIES[name].compute(np.array(truth, float), np.full(4, float(said)))

    assert all(np.isfinite(value) for value in made.values())
    assert made.get("pearson", 0.0) == 0.0


def test_the_stated_values():
    truth, zeros = np.array([1.0, 2.0, 3.0]), np.zeros(3)
    for constant in (0.0, 0.1, 1e300):
        assert sentiment.pearson(truth, np.full(3, constant)) == 0.0
        assert sentiment.pearson(np.full(3, constant), truth) == 0.0
    made = score(zeros, truth[:, None], MOSI)
    assert (made["acc2Non0"], made["f1Non0"]) == (0.0, 0.0)  # nobody is labelled other than 0
    missed = score(np.ones(3), np.tile([1.0, 0, 0, 0], (3, 1)), CLASSES)
    assert set(missed.values()) == {0.0}


def test_the_label_range_says_which_metrics_and_a_name_overrides_it_where_it_fits():
    assert [family_of(task).name for task in (MOSI, SIMS, STARS, CLASSES)] == [
        "mosi", "sims", "regression", "classes"
    ]  # fmt: skip
    assert set(score(np.ones(2), np.ones((2, 1)), STARS)) == {"mae", "pearson"}
    half = Task(kind="regression", label_range=(-0.5, 0.5))
    assert family_of(half, "sims").name == "sims"
    for task in (MOSI, SIMS, STARS):
        assert family_of(task, "regression").name == "regression"
    refused = ((CLASSES, "mosi"), (MOSI, "classes"), (MOSI, "sims"), (SIMS, "mosi"))
    for task, name in (*refused, (STARS, "sims"), (STARS, "mosi"), (MOSI, "nope")):
        with pytest.raises(UsageError):
            family_of(task, name)


def test_what_leads_is_among_what_is_computed():
    for family in FAMILIES.values():
        assert set(family.leading) <= set(family.compute(np.zeros(2), np.zeros(2)))


@pytest.mark.parametrize("shape", [(0, 1), (3, 2), (2, 1)])
def test_shapes_that_do_not_belong_together_are_refused(shape):
    with pytest.raises(DataError):
        score(np.zeros(3 if shape[0] else 0), np.zeros(shape), MOSI)


def test_a_prediction_that_is_no_number_is_refused_instead_of_scored():
    with pytest.raises(DataError, match="NaN"):
        score(np.zeros(2), np.array([[0.0], [np.nan]]), MOSI)
