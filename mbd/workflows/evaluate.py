"""Evaluation of the current model on what the store holds."""

from __future__ import annotations

from collections.abc import Callable

from mbd.data.records import Records
from mbd.errors import NotFoundError
from mbd.evaluation.protocol import EvaluationRow, constant_prediction, evaluate
from mbd.head.integers import Integers
from mbd.values import Availability, nonempty_subsets
from mbd.workflows.model import serving
from mbd.workflows.session import Session


def evaluate_model(
    session: Session,
    *,
    split: str = "test",
    cohort: str = "all",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[EvaluationRow]:
    """Score the model on every subset of modalities; revoked channels are not used.

    Args:
        session: The workspace.
        split: 'train', 'valid' or 'test'.
        cohort: 'all' or one of the cohorts.
        progress: Called with subsets done and subsets in all.

    Raises:
        NotFoundError: No data, no model, or no record in that split and cohort.
    """
    model, store = serving(session), session.store()
    everything = store.read(suppressions=session.suppressions)
    records = everything.where(split=split, cohort=None if cohort == "all" else cohort)  # type: ignore[arg-type]
    if not len(records):
        raise NotFoundError(f"no record in split {split!r}, cohort {cohort!r}", field="--cohort")
    baseline = constant_prediction(everything.where(split="train").labels, store.schema.task)
    total, done = len(list(nonempty_subsets(store.schema.names))), 0

    def predict(chosen: Records, available: Availability) -> Integers:
        nonlocal done
        scores = model.predict_many(chosen, available)
        done += 1
        progress(done, total)
        return scores

    return evaluate(predict, records, store.schema, baseline)
