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

_BATCH = 128
"""Records damaged at a time; nothing that is reported depends on it."""


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
class _Batch:
    """Some records that were asked under one condition."""

    index: tuple[int, ...]
    """Those that took part."""
    said: Floats
    traces: Mapping[str, Mapping[str, bytes]]
    """What was done, by record and modality."""
    missing: int
    total: int


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
        asked = [
            part
            for start in range(0, len(self.records), _BATCH)
            if (part := self._batch(condition, range(start, start + _BATCH))).index
        ]
        if not asked:
            return None
        index = np.array([i for part in asked for i in part.index], dtype=np.intp)
        truth, said = self.records.labels[index], np.concatenate([part.said for part in asked])
        constant = np.tile(self.baseline, (len(index), 1))
        drawn = self.resamples
        return EvaluationRow(
            condition=condition,
            n=len(index),
            metrics=score(truth, said, self.task, self.family),
            baseline=score(truth, constant, self.task, self.family),
            intervals=drawn.intervals(index, truth, said, self.task, self.family) if drawn else {},
            missing=_share(asked),
            mask_digest=_digest(asked),
        )

    def _batch(self, condition: Condition, chosen: range) -> _Batch:
        """Damage and ask a few records at a time: copies of all of them might not fit."""
        ids = self.records.record_ids
        made: dict[int, Damaged] = {}
        for i in chosen:
            if i < len(ids) and (one := condition.damage(ids[i], self.arrays(i))) is not None:
                made[i] = one
        return _Batch(
            tuple(made),
            self.predictions({i: one.x for i, one in made.items()}) if made else np.empty(0),
            {ids[i]: one.trace for i, one in made.items()},
            sum(one.missing for one in made.values()),
            sum(one.total for one in made.values()),
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

    def _untouched(self, index: int, x: Arrays) -> bool:
        return all(x[m] is self.records.x[m][index] for m in x)

    def _with(self, chosen: list[int], wanted: Mapping[int, Arrays]) -> Records:
        records = self.records.select(chosen)
        x = {m: tuple(wanted[i].get(m) for i in chosen) for m in records.modalities}
        return Records(
            records.record_ids, records.subjects, records.cohorts, records.splits,
            records.labels, x,
        )  # fmt: skip


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


def _share(asked: Iterable[_Batch]) -> float | None:
    counted = [(part.missing, part.total) for part in asked]
    total = sum(count for _, count in counted)
    return sum(gone for gone, _ in counted) / total if total else None


def _digest(asked: Iterable[_Batch]) -> str:
    traces = {name: trace for part in asked for name, trace in part.traces.items()}
    total = hashlib.sha256()
    for name, trace in sorted(traces.items()):
        for modality, done in sorted(trace.items()):
            for part in (name.encode("utf-8"), modality.encode(), done):
                total.update(len(part).to_bytes(8, "big") + part)
    return total.hexdigest()
