"""Evaluation of the current model on what the store holds. Nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mbd.data.records import Records
from mbd.data.schema import DatasetSchema
from mbd.errors import NotFoundError, UsageError
from mbd.evaluation.conditions import Condition, Setting, conditions, why_not
from mbd.evaluation.damage import Fill
from mbd.evaluation.diagnostics import contributions
from mbd.evaluation.intervals import Resamples
from mbd.evaluation.metrics import family_of
from mbd.evaluation.outcome import Evaluation
from mbd.evaluation.protocol import Progress, Trial, ask, constant_prediction
from mbd.model.scaling import Scaler
from mbd.values import Task
from mbd.workflows.gradients import encoder_gradients
from mbd.workflows.model import ServedModel, serving
from mbd.workflows.session import Session


@dataclass(frozen=True, kw_only=True)
class Question:
    """What to evaluate."""

    protocols: Sequence[str] = ("subsets",)
    split: str = "test"
    """'train', 'valid' or 'test'."""
    cohort: str = "all"
    """'all' or one of the cohorts."""
    metrics: str = "auto"
    """A family of metrics; those of the label range by default."""
    seed: int = 0
    """Names the masks."""
    fill: Fill = "drop"


def _silent(done: int, total: int) -> None:
    """Reports no progress."""


def evaluate_model(
    session: Session, question: Question, *, progress: Progress = _silent
) -> Evaluation:
    """Score the model under the conditions of the protocols; revoked channels are not used.

    Args:
        session: The workspace.
        question: Protocols and records.
        progress: Called with conditions done and conditions in all.

    Raises:
        NotFoundError: No data, no model, or no record in that split and cohort.
        UsageError: No such protocol or metric, or a single protocol that has nothing to say.
    """
    model, store = serving(session), session.store()
    everything, schema = store.read(suppressions=session.suppressions), store.schema
    records = _chosen(everything, question.split, question.cohort)
    if not len(records):
        raise NotFoundError(
            f"no record in split {question.split!r}, cohort {question.cohort!r}", field="--cohort"
        )
    wanted, skipped = _conditions(question, schema, model)
    constant = constant_prediction(everything.where(split="train").labels, schema.task)
    trial = Trial(
        model.predict_many,
        records,
        schema.task,
        family_of(schema.task, question.metrics),
        constant,
        Resamples(records.subjects, question.seed),
    )
    found = Evaluation(
        model=model.snapshot.model_id,
        core=model.policy.core,
        dataset=schema.name,
        modalities=schema.names,
        baseline=_in_words(constant, schema.task),
        family=trial.family,
        split=question.split,
        cohort=question.cohort,
        seed=question.seed,
        fill=question.fill,
        records=len(records),
        subjects=len(set(records.subjects)),
        rows=tuple(ask(trial, wanted, progress)),
        skipped=skipped,
    )
    if "subsets" not in question.protocols:
        return found
    return _diagnosed(found, trial, model, _chosen(everything, "valid", question.cohort))


def _diagnosed(found: Evaluation, trial: Trial, model: ServedModel, valid: Records) -> Evaluation:
    """With what each channel contributes, and how hard the task pulls at each encoder."""
    shares, skipped = tuple(contributions(trial, found.modalities)), dict(found.skipped)
    if not shares:
        skipped["contributions"] = "no record has every channel"
    pulls = encoder_gradients(model, valid)
    if isinstance(pulls, str):
        skipped["gradients"] = pulls
    gradients = None if isinstance(pulls, str) else pulls
    return replace(found, skipped=skipped, contributions=shares, gradients=gradients)


def _chosen(everything: Records, split: str, cohort: str) -> Records:
    return everything.where(split=split, cohort=None if cohort == "all" else cohort)  # type: ignore[arg-type]


def _conditions(
    question: Question, schema: DatasetSchema, model: ServedModel
) -> tuple[list[Condition], dict[str, str]]:
    """The conditions of every protocol that applies, and why others do not."""
    setting = Setting(
        modalities=schema.names,
        seed=question.seed,
        fill=question.fill,
        scales=_scales(model),
        sequences=any(info.max_length > 1 for info in schema.modalities),
    )
    reasons = {name: why_not(name, setting) for name in question.protocols}
    skipped = {name: reason for name, reason in reasons.items() if reason}
    if len(skipped) == len(reasons):
        raise UsageError("; ".join(skipped.values()), field="--protocol")
    applying = [name for name in question.protocols if name not in skipped]
    return [one for name in applying for one in conditions(name, setting)], skipped


def _scales(model: ServedModel) -> dict[str, npt.NDArray[np.float64]]:
    """Standard deviations as the model's scaler has them: nothing is estimated here."""
    scaler = Scaler.from_json(model.policy.scaler)
    return {name: np.array(channel.steps.std) for name, channel in scaler.channels.items()}


def _in_words(constant: npt.NDArray[np.float64], task: Task) -> str:
    if task.kind == "regression":
        return f"the mean of the training labels, {constant[0]:.3f}"
    return f"the most frequent class of the training labels, {task.classes[constant.argmax()]}"
