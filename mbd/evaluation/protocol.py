"""Evaluate on every non-empty subset of the modalities, beside a constant predictor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64

from mbd.data.records import Records
from mbd.data.schema import DatasetSchema
from mbd.errors import DataError
from mbd.evaluation.metrics import score
from mbd.values import Availability, Task, availability_name, nonempty_subsets

Predict = Callable[[Records, Availability], Float64[np.ndarray, "records outputs"]]
"""Predictions for records that have exactly these modalities: (N, K)."""


@dataclass(frozen=True)
class EvaluationRow:
    """One availability."""

    available: str
    """Canonical name: modalities joined by '+'."""
    n: int
    """Records that have all of these modalities."""
    metrics: dict[str, float]
    baseline: dict[str, float]
    """The constant predictor on the same records."""


def evaluate(
    predict: Predict, records: Records, schema: DatasetSchema, baseline: npt.NDArray[np.float64]
) -> list[EvaluationRow]:
    """Score `predict` on each subset p, on the records that have all of p.

    Everything outside p is taken out of the records before `predict` sees them. A subset
    that no record has gives no row.

    Args:
        baseline: (K,) what the constant predictor says.
    """
    rows = []
    for p in nonempty_subsets(schema.names):
        chosen = restrict(records, p)
        if len(chosen):
            constant = np.tile(baseline, (len(chosen), 1))
            rows.append(
                EvaluationRow(
                    availability_name(p),
                    len(chosen),
                    score(chosen.labels, predict(chosen, p), schema.task),
                    score(chosen.labels, constant, schema.task),
                )
            )
    return rows


def restrict(records: Records, p: Availability) -> Records:
    """The records that have all of `p`, with everything else absent."""
    return records.where(having=p).without(lambda _, modality: modality not in p)


def constant_prediction(labels: npt.NDArray[np.float64], task: Task) -> npt.NDArray[np.float64]:
    """(K,): the mean label, or the share of each class (its largest entry: the majority).

    Raises:
        DataError: There are no labels.
    """
    if not len(labels):
        raise DataError("no labels to make a constant predictor of")
    if task.kind == "regression":
        return np.array([labels.mean()])
    return np.bincount(labels.astype(np.int64), minlength=task.outputs) / len(labels)
