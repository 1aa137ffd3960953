"""Ask a model under given conditions, beside a constant predictor.

Nothing is fitted, chosen or written here: one model, one pass. The constant predictor comes
from training labels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64

from mbd.data.records import Records
from mbd.data.schema import DatasetSchema
from mbd.errors import DataError
from mbd.evaluation.conditions import Condition, Setting, conditions
from mbd.evaluation.damage import Arrays, Damaged
from mbd.evaluation.intervals import Resamples
from mbd.evaluation.metrics import Family, Scores, family_of, score
from mbd.values import Availability, Task

Floats = npt.NDArray[np.float64]
Predict = Callable[[Records, Availability], Float64[np.ndarray, "records outputs"]]
"""Predictions for records that have exactly these modalities: (N, K)."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class EvaluationRow:
    """How good the model is under one condition."""

    condition: Condition
    n: int
    """Records that took part."""
    metrics: Scores
    baseline: Scores
    """The constant predictor on the same records."""
    intervals: dict[str, tuple[float, float]]
    """95 % intervals of the metrics; empty if there are too few subjects."""
    missing: float | None
    """Share of frames or modalities that was gone; None where nothing is ever taken away."""
    mask_digest: str
    """SHA-256 over what was taken from, or done to, which record; whatever their order."""

    @property
    def available(self) -> str:
        """Canonical name of the subset that was used; empty for other protocols."""
        return self.condition.available


@dataclass(frozen=True, eq=False)
class Trial:
    """A model, the records it is asked about, and how its answers are judged."""

    predict: Predict
    records: Records
    task: Task
    family: Family
    baseline: Floats
    """(K,) what the constant predictor says."""
    resamples: Resamples | None = None
    """How intervals are drawn; None for no intervals."""
    _known: dict[tuple[int, Availability], Floats] = field(default_factory=dict)

    def row(self, condition: Condition) -> EvaluationRow | None:
        """Ask under one condition; None if no record takes part."""
        damaged = self._damaged(condition)
        if not damaged:
            return None
        index = np.array(list(damaged), dtype=np.intp)
        truth = self.records.labels[index]
        said = self.predictions({i: one.x for i, one in damaged.items()})
        constant = np.tile(self.baseline, (len(index), 1))
        drawn = self.resamples
        return EvaluationRow(
            condition=condition,
            n=len(index),
            metrics=score(truth, said, self.task, self.family),
            baseline=score(truth, constant, self.task, self.family),
            intervals=drawn.intervals(index, truth, said, self.task, self.family) if drawn else {},
            missing=_share(damaged.values()),
            mask_digest=self._digest(damaged),
        )

    def predictions(self, wanted: Mapping[int, Arrays]) -> Floats:
        """(N, K): for records, by index, with these arrays; what was asked before is known."""
        groups: dict[Availability, list[int]] = {}
        made: dict[int, Floats] = {}
        for i, x in wanted.items():
            p = frozenset(x)
            if self._untouched(i, x) and (i, p) in self._known:
                made[i] = self._known[i, p]
            else:
                groups.setdefault(p, []).append(i)
        for p, chosen in groups.items():
            answers = self.predict(self._with(chosen, wanted), p)
            for i, answer in zip(chosen, answers, strict=True):
                made[i] = answer
                if self._untouched(i, wanted[i]):
                    self._known[i, p] = answer
        return np.stack([made[i] for i in wanted])

    def arrays(self, index: int) -> Arrays:
        """The modalities that one record has."""
        columns = self.records.x.items()
        return {m: x for m, column in columns if (x := column[index]) is not None}

    def _damaged(self, condition: Condition) -> dict[int, Damaged]:
        ids = self.records.record_ids
        made = {i: condition.damage(ids[i], self.arrays(i)) for i in range(len(ids))}
        return {i: one for i, one in made.items() if one is not None}

    def _untouched(self, index: int, x: Arrays) -> bool:
        return all(x[m] is self.records.x[m][index] for m in x)

    def _with(self, chosen: list[int], wanted: Mapping[int, Arrays]) -> Records:
        records = self.records.select(chosen)
        x = {m: tuple(wanted[i].get(m) for i in chosen) for m in records.modalities}
        return Records(
            records.record_ids, records.subjects, records.cohorts, records.splits,
            records.labels, x,
        )  # fmt: skip

    def _digest(self, damaged: dict[int, Damaged]) -> str:
        ids = self.records.record_ids
        total = hashlib.sha256()
        for i in sorted(damaged, key=lambda index: ids[index]):
            for m, trace in sorted(damaged[i].trace.items()):
                for part in (ids[i].encode("utf-8"), m.encode(), trace):
                    total.update(len(part).to_bytes(8, "big") + part)
        return total.hexdigest()


def ask(
    trial: Trial, wanted: Iterable[Condition], progress: Progress = lambda done, total: None
) -> list[EvaluationRow]:
    """Rows of the conditions that any record meets, in their order."""
    chosen, rows = list(wanted), []
    for done, condition in enumerate(chosen, start=1):
        row = trial.row(condition)
        if row is not None:
            rows.append(row)
        progress(done, len(chosen))
    return rows


def evaluate(
    predict: Predict, records: Records, schema: DatasetSchema, baseline: Floats
) -> list[EvaluationRow]:
    """Score `predict` on each subset p, on the records that have all of p.

    Everything outside p is taken out of the records before `predict` sees them. A subset
    that no record has gives no row.

    Args:
        predict: The model.
        records: Whom to ask about.
        schema: Their modalities and task.
        baseline: (K,) what the constant predictor says.
    """
    trial = Trial(predict, records, schema.task, family_of(schema.task), baseline)
    return ask(trial, conditions("subsets", Setting(modalities=schema.names)))


def restrict(records: Records, p: Availability) -> Records:
    """The records that have all of `p`, with everything else absent."""
    return records.where(having=p).without(lambda _, modality: modality not in p)


def constant_prediction(labels: Floats, task: Task) -> Floats:
    """(K,): the mean label, or the share of each class (its largest entry: the majority).

    Raises:
        DataError: There are no labels.
    """
    if not len(labels):
        raise DataError("no labels to make a constant predictor of")
    if task.kind == "regression":
        return np.array([labels.mean()])
    return np.bincount(labels.astype(np.int64), minlength=task.outputs) / len(labels)


def _share(damaged: Iterable[Damaged]) -> float | None:
    counted = [(one.missing, one.total) for one in damaged]
    total = sum(count for _, count in counted)
    return sum(gone for gone, _ in counted) / total if total else None
