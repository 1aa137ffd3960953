"""Metrics of sentiment scores: (N,) label units, truth first.

Source of every threshold: MMSA, `src/MMSA/utils/metricsTop.py`, github.com/thuiar/MMSA.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mbd.evaluation.classes import Vector, accuracy, weighted_f1

TWO, THREE, FIVE = (0.0,), (-0.1, 0.1), (-0.7, -0.1, 0.1, 0.7)
"""Inner edges of the classes of CH-SIMS; an edge belongs to the class below it."""


def regression(truth: Vector, prediction: Vector) -> dict[str, float]:
    """What makes sense for scores in any range."""
    return {
        "mae": mean_absolute_error(truth, prediction),
        "pearson": pearson(truth, prediction),
    }


def mosi(truth: Vector, prediction: Vector) -> dict[str, float]:
    """Scores in [-3, 3]: CMU-MOSI and CMU-MOSEI.

    `has0`: not negative (>= 0) against negative. `non0`: records labelled 0 are left out,
    positive (> 0) against the rest; 0 if all are labelled 0.
    """
    polar = truth != 0
    signs = truth >= 0, prediction >= 0
    strict = truth[polar] > 0, prediction[polar] > 0
    return {
        **regression(truth, prediction),
        "acc2Has0": accuracy(*signs),
        "f1Has0": weighted_f1(*signs),
        "acc2Non0": accuracy(*strict),
        "f1Non0": weighted_f1(*strict),
        "acc5": rounded_accuracy(truth, prediction, limit=2),
        "acc7": rounded_accuracy(truth, prediction, limit=3),
    }


def sims(truth: Vector, prediction: Vector) -> dict[str, float]:
    """Scores in [-1, 1]: CH-SIMS. Everything, errors too, is computed after clipping.

    Bins are right-closed. They are compared in float32, as the field does: a label 0.1 that
    was stored in float32 lies above the 0.1 of float64.
    """
    y, f = np.clip(truth, -1, 1), np.clip(prediction, -1, 1)
    two = _binned(y, TWO), _binned(f, TWO)
    return {
        **regression(y, f),
        "acc2": accuracy(*two),
        "f1": weighted_f1(*two),
        "acc3": accuracy(_binned(y, THREE), _binned(f, THREE)),
        "acc5": accuracy(_binned(y, FIVE), _binned(f, FIVE)),
    }


def mean_absolute_error(truth: Vector, prediction: Vector) -> float:
    """`mean |y - f|`, in label units."""
    return float(np.abs(truth - prediction).mean())


def pearson(truth: Vector, prediction: Vector) -> float:
    """Correlation; 0 when either side is constant."""
    if np.ptp(truth) == 0 or np.ptp(prediction) == 0:
        return 0.0
    a, b = _centred(truth), _centred(prediction)
    scale = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / scale if scale else 0.0


def _centred(values: Vector) -> Vector:
    """Minus the mean, then at most 1: squares neither overflow nor vanish."""
    centred = values - values.mean()
    return np.asarray(centred / (np.abs(centred).max() or 1.0))


def rounded_accuracy(truth: Vector, prediction: Vector, *, limit: int) -> float:
    """Share of equal whole numbers after clipping both to +-limit; halves go to the even one."""
    y, f = (np.round(np.clip(value, -limit, limit)) for value in (truth, prediction))
    return accuracy(y, f)


def _binned(values: Vector, edges: tuple[float, ...]) -> npt.NDArray[Any]:
    return np.searchsorted(np.array(edges, np.float32), values.astype(np.float32), side="left")
