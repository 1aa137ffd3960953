"""Metrics, truth first. Degenerate input gives the stated value, never NaN."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64

from mbd.errors import DataError
from mbd.values import Task

Vector = npt.NDArray[np.float64]


def score(
    truth: Vector, prediction: Float64[np.ndarray, "records outputs"], task: Task
) -> dict[str, float]:
    """All metrics of a task, by the names of the command line.

    Args:
        truth: (N,) label units, or class indices; N >= 1.
        prediction: (N, K) label units, or one score per class.

    Raises:
        DataError: Nothing to score, or shapes that do not belong together.
    """
    if not len(truth) or prediction.shape != (len(truth), task.outputs):
        raise DataError(f"cannot score {prediction.shape} against {truth.shape}")
    if task.kind == "regression":
        value = prediction[:, 0]
        return {
            "mae": mean_absolute_error(truth, value),
            "pearson": pearson(truth, value),
            "acc2Non0": binary_accuracy(truth, value),
        }
    chosen = prediction.argmax(axis=1)
    return {"accuracy": accuracy(truth, chosen), "macroF1": macro_f1(truth, chosen)}


def mean_absolute_error(truth: Vector, prediction: Vector) -> float:
    """`mean |y - f|`, in label units."""
    return float(np.abs(truth - prediction).mean())


def pearson(truth: Vector, prediction: Vector) -> float:
    """Correlation; 0 when either side is constant."""
    a, b = truth - truth.mean(), prediction - prediction.mean()
    scale = float(np.linalg.norm(a) * np.linalg.norm(b))
    constant = np.ptp(truth) == 0 or np.ptp(prediction) == 0 or scale == 0
    return 0.0 if constant else float(a @ b) / scale


def binary_accuracy(truth: Vector, prediction: Vector) -> float:
    """Share of records with a label other than 0 whose sign is right; 0 if there is none.

    A prediction of exactly 0 counts as negative.
    """
    polar = truth != 0
    return float(((truth > 0) == (prediction > 0))[polar].mean()) if polar.any() else 0.0


def accuracy(truth: npt.NDArray[np.generic], chosen: npt.NDArray[np.generic]) -> float:
    """Share of records whose class is right."""
    return float((truth == chosen).mean())


def macro_f1(truth: npt.NDArray[np.generic], chosen: npt.NDArray[np.generic]) -> float:
    """Unweighted mean of F1 over the classes that occur in truth or prediction.

    `F1 = 2 tp / (2 tp + fp + fn)`; a class that is never hit counts 0.
    """
    return float(np.mean([_f1(truth == c, chosen == c) for c in np.union1d(truth, chosen)]))


def _f1(truth: npt.NDArray[np.bool_], chosen: npt.NDArray[np.bool_]) -> float:
    return 2 * float((truth & chosen).sum()) / float(truth.sum() + chosen.sum())
