"""What to say about a record before reading it."""

from __future__ import annotations

from collections.abc import Sequence

from mbd.errors import DataError
from mbd.values import Task


def label_prior(task: Task, labels: Sequence[float] = ()) -> tuple[float, ...]:
    """The prediction of a model without a core: (K,).

    Classes get 1/K each. A regression gets the mean of `labels` (foundation or calibration
    rows only), or the middle of the declared range when there are none.

    Raises:
        DataError: A regression without a range and without labels.
    """
    if task.kind == "classification":
        return (1 / task.outputs,) * task.outputs
    if len(labels):
        return (float(sum(labels) / len(labels)),)
    if task.label_range is None:
        raise DataError("neither a label range nor labels to centre on", field="label_range")
    low, high = task.label_range
    return ((low + high) / 2,)
