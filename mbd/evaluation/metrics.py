"""Metrics as the field computes them, truth first. Degenerate input gives a stated value.

Which ones belong to a data set follows from its task: classes have their own, labels in
[-3, 3] those of CMU-MOSI and CMU-MOSEI, labels in [-1, 1] those of CH-SIMS, and any other
range only what needs no thresholds.

Source: MMSA, `src/MMSA/utils/metricsTop.py`, github.com/thuiar/MMSA, for the thresholds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from mbd.errors import DataError, UsageError
from mbd.evaluation import classes, sentiment
from mbd.evaluation.classes import Vector
from mbd.values import Task

Scores = dict[str, float]

LOWER_IS_BETTER = frozenset({"mae"})


@dataclass(frozen=True)
class Family:
    """The metrics of one kind of data set."""

    name: str
    compute: Callable[[Vector, Vector], Scores]
    """From truth and prediction, both (N,): label units, or class indices."""
    leading: tuple[str, ...]
    """What tables and plots show first, the most important one in front."""


FAMILIES = {
    family.name: family
    for family in (
        Family("mosi", sentiment.mosi, ("mae", "acc2Non0", "pearson", "acc7", "f1Non0")),
        Family("sims", sentiment.sims, ("mae", "acc2", "pearson", "acc5", "f1")),
        Family("regression", sentiment.regression, ("mae", "pearson")),
        Family(
            "classes",
            classes.all_metrics,
            ("accuracy", "macroF1", "balancedAccuracy", "weightedF1"),
        ),
    )
}
_BY_RANGE = {(-3.0, 3.0): "mosi", (-1.0, 1.0): "sims"}
_RANGES = {name: bounds for bounds, name in _BY_RANGE.items()}


def family_of(task: Task, name: str = "auto") -> Family:
    """The metrics of a task: those asked for by name, or those of its label range.

    Raises:
        UsageError: There are no such metrics; or those of scores were asked for classes, or the
            other way round, or those of another label range: their thresholds would mean nothing.
    """
    if name not in ("auto", *FAMILIES):
        known = ", ".join(("auto", *FAMILIES))
        raise UsageError(f"no metrics {name!r}; there are {known}", field="--metrics")
    if name == "auto":
        if task.kind == "classification":
            return FAMILIES["classes"]
        return FAMILIES[_BY_RANGE.get(task.label_range or (0.0, 0.0), "regression")]
    if (name == "classes") != (task.kind == "classification"):
        raise UsageError(f"the labels are not of the kind of {name!r}", field="--metrics")
    if name in _RANGES and not _fits(task, _RANGES[name]):
        low, high = task.label_range or (0.0, 0.0)
        wanted = "[{:g}, {:g}]".format(*_RANGES[name])
        raise UsageError(
            f"the metrics of {name!r} are for labels in {wanted}, these are in [{low:g}, {high:g}]",
            field="--metrics",
            hint="`auto` takes those of the label range, `regression` needs none",
        )
    return FAMILIES[name]


def _fits(task: Task, wanted: tuple[float, float]) -> bool:
    """Whether labels are in this range, and their range is not another family's own."""
    if task.label_range is None or task.label_range == wanted:
        return True
    low, high = task.label_range
    return task.label_range not in _BY_RANGE and wanted[0] <= low and high <= wanted[1]


def score(
    truth: Vector,
    prediction: Float64[np.ndarray, "records outputs"],
    task: Task,
    family: Family | None = None,
) -> Scores:
    """All metrics of a task, by the names of the command line.

    Args:
        truth: (N,) label units, or class indices; N >= 1.
        prediction: (N, K) label units, or one score per class.
        task: What the labels are.
        family: Which metrics; those of the task's label range by default.

    Raises:
        DataError: Nothing to score, shapes that do not belong together, or a value that is
            not finite.
    """
    if not len(truth) or prediction.shape != (len(truth), task.outputs):
        raise DataError(f"cannot score {prediction.shape} against {truth.shape}")
    if not (np.isfinite(truth).all() and np.isfinite(prediction).all()):
        raise DataError("cannot score a label or prediction that is NaN or infinite")
    return (family or family_of(task)).compute(truth, decided(prediction, task))


def decided(prediction: Float64[np.ndarray, "records outputs"], task: Task) -> Vector:
    """(N,): the score itself, or the index of the class with the highest one, first of equals."""
    if task.kind == "regression":
        return np.asarray(prediction[:, 0], np.float64)
    return np.asarray(prediction.argmax(axis=1), np.float64)
