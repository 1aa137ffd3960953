"""How much each feature of a channel counts: a share for all, the rest by what it explains.

A kernel on many features drowns the few that say something. Which ones do is asked of
foundation or calibration rows alone, like every other choice. The rule is ours.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64

from mbd.values import Task

UNIFORM_SHARE = 0.25
"""Part of a channel's weight that all of its features share alike."""


def feature_weights(
    rows: Float64[np.ndarray, "rows features"], labels: npt.NDArray[np.float64], task: Task
) -> Float64[np.ndarray, " features"]:
    """Weights w_j > 0 with `sum_j w_j^2 = 1`, so that every channel counts the same.

    `w_j^2 = s / D + (1 - s) e_j / sum e`, where e_j is the `explained` share of feature j
    and s the uniform share; all alike where nothing explains anything.

    Args:
        rows: (n, D) standardised features of records that have the channel.
        labels: (n,) label units, or class indices.
    """
    explains = explained(rows, labels, task)
    total = float(explains.sum())
    uniform = np.full(len(explains), 1 / len(explains))
    squares = uniform if total <= 0 else explains / total
    return np.asarray(np.sqrt(UNIFORM_SHARE * uniform + (1 - UNIFORM_SHARE) * squares))


def explained(
    rows: Float64[np.ndarray, "rows features"], labels: npt.NDArray[np.float64], task: Task
) -> Float64[np.ndarray, " features"]:
    """Share of each feature's variance that goes with the label, less what chance explains.

    Squared correlation for regression, correlation ratio `sum_c n_c mean_c^2 / n` for classes;
    chance explains 1/n and (classes - 1)/n. Never below 0.
    """
    spread = rows.std(axis=0)
    scaled = (rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    targets = _indicators(labels, task)  # orthonormal columns, orthogonal or equal to ones
    found = np.square(targets.T @ scaled).sum(axis=0) / len(rows)
    degrees = max(targets.shape[1] - (task.kind == "classification"), 0)
    return np.asarray(np.maximum(found - degrees / len(rows), 0.0))


def _indicators(labels: npt.NDArray[np.float64], task: Task) -> Float64[np.ndarray, "rows k"]:
    """Orthonormal columns that span what the label can explain; constants give none."""
    if task.kind == "classification":
        columns = (labels[:, None] == np.unique(labels)).astype(np.float64)
    else:
        columns = (labels - labels.mean())[:, None]
    lengths = np.linalg.norm(columns, axis=0)
    return np.asarray(columns[:, lengths > 0] / lengths[lengths > 0])
