"""Metrics of classes: (N,) indices, truth first."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]
"""(N,) values that are equal or not: class indices, or yes and no."""


def all_metrics(truth: Vector, chosen: Vector) -> dict[str, float]:
    """Every metric of classes, by name; `uar` is another name for `balancedAccuracy`."""
    balanced = balanced_accuracy(truth, chosen)
    return {
        "accuracy": accuracy(truth, chosen),
        "balancedAccuracy": balanced,
        "macroF1": macro_f1(truth, chosen),
        "weightedF1": weighted_f1(truth, chosen),
        "uar": balanced,
    }


def accuracy(truth: Labels, chosen: Labels) -> float:
    """Share of records whose class is right; 0 if there is no record."""
    return float((truth == chosen).mean()) if len(truth) else 0.0


def balanced_accuracy(truth: Labels, chosen: Labels) -> float:
    """Mean recall over the classes that occur in truth; 0 if there is no record.

    `mean_c |truth = chosen = c| / |truth = c|`: what speech research calls the unweighted
    average recall (UAR). With a single class in truth it is that class's recall.
    """
    recalls = [float((chosen[truth == c] == c).mean()) for c in np.unique(truth)]
    return float(np.mean(recalls)) if recalls else 0.0


def macro_f1(truth: Labels, chosen: Labels) -> float:
    """Unweighted mean of F1 over the classes that occur in truth or prediction.

    A class that is never hit counts 0; 0 if there is no record.
    """
    found = [f1(truth == c, chosen == c) for c in np.union1d(truth, chosen)]
    return float(np.mean(found)) if found else 0.0


def weighted_f1(truth: Labels, chosen: Labels) -> float:
    """Mean of F1 over the classes of truth, each by its share; 0 if there is no record.

    `sum_c |truth = c| / N * F1_c`: swapping truth and prediction changes the weights.
    """
    shares = ((truth == c, chosen == c) for c in np.unique(truth))
    return float(sum(here.mean() * f1(here, said) for here, said in shares))


def f1(truth: npt.NDArray[np.bool_], chosen: npt.NDArray[np.bool_]) -> float:
    """`2 tp / (2 tp + fp + fn)`; 0 for a class that neither side has."""
    size = float(truth.sum() + chosen.sum())
    return 2 * float((truth & chosen).sum()) / size if size else 0.0
