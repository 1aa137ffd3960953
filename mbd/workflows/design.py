"""Every choice that looks at data, made on the foundation (or calibration) cohort alone.

Scaler, core or none, width, bandwidth, lambda and noise of every head: all of it ends in the
policy, before a revocable subject's row is read.

A core has seen the labels of the people it was trained on, so it is judged on others: it is
trained on one half of the foundation, and the heads on top of it are fitted and judged on
the other half. That is how revocable people will meet the core that is trained on all of it.
Heads without a core are judged on the same rows, and learn from both halves, as they will.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from mbd.data.cohorts import CohortRule, CohortRules
from mbd.data.records import Records
from mbd.data.schema import DatasetSchema
from mbd.deletion.plan import BlockProvenance
from mbd.errors import RefusedError, UsageError
from mbd.head.accelerator import as_device, resolve
from mbd.model.core import Core
from mbd.model.inference import Extractor
from mbd.model.prior import label_prior
from mbd.model.scaling import Scaler, fit_scaler, scaler_from_ranges
from mbd.model.snapshot import core_digest
from mbd.training.loop import train_core
from mbd.training.observer import Nobody, Observer
from mbd.values import (
    COHORTS,
    Cohort,
    availability_name,
    nonempty_subsets,
)
from mbd.workflows.head_design import HeadDesigner, Judged
from mbd.workflows.policy import Policy
from mbd.workflows.recipe import Recipe
from mbd.workspace.settings import HeadSettings

Progress = Callable[[int, int], None]
Note = Callable[[str], None]
Watch = Callable[[str], Observer]
"""Who watches the core of a name: 'half' is judged, 'core' is kept."""

CORE_FILES = ("half.safetensors", "core.safetensors")
"""Names of the checkpoints: of the core that is judged, and of the one that is kept."""


@dataclass(frozen=True, eq=False)
class Design:
    """A policy and the frozen part of the model that it describes."""

    policy: Policy
    core: Core | None
    extractor: Extractor


@dataclass(frozen=True, eq=False)
class Basis:
    """What may be learned from before the heads: one cohort, and the scaler fitted on it."""

    schema: DatasetSchema
    recipe: Recipe
    cohort: Cohort
    records: Records
    scaler: Scaler
    scaled_from: frozenset[Cohort]
    prior: tuple[float, ...]

    def extractor(self, core: Core | None) -> Extractor:
        return Extractor(self.scaler, list(nonempty_subsets(self.schema.names)), core, self.prior)

    def designer(self, core: Core | None) -> HeadDesigner:
        return HeadDesigner(self.schema, self.recipe, self.extractor(core))


@dataclass(frozen=True, eq=False)
class _Trainer:
    """Trains cores on a basis, where a killed process left off if it kept checkpoints."""

    basis: Basis
    checkpoints: Path | None
    progress: Progress
    watch: Watch

    def train(self, records: Records, name: str) -> Core:
        basis, folder = self.basis, self.checkpoints
        return train_core(
            records.where(split="train"),
            records.where(split="valid"),
            basis.schema,
            basis.scaler,
            basis.recipe.network,
            seed=basis.recipe.seed,
            device=torch.device(resolve(as_device(basis.recipe.device))),
            checkpoint=None if folder is None else folder / f"{name}.safetensors",
            progress=self.progress,
            observer=self.watch(name),
        ).core


def design_model(
    records: Records,
    schema: DatasetSchema,
    recipe: Recipe,
    *,
    training_id: str,
    checkpoints: Path | None = None,
    note: Note = lambda text: None,
    progress: Progress = lambda done, total: None,
    watch: Watch = lambda name: Nobody(),
) -> Design:
    """Choose everything that is not learned by subtraction.

    Args:
        records: All records that may be used; of revocable people nothing is read.
        schema: Of the data set.
        recipe: What the operator decided.
        training_id: ULID that the policy names this training by.
        checkpoints: Folder where cores are kept while they are trained; None: nowhere.
        note: Told what is going on.
        progress: Told how far core training is.
        watch: Makes an observer for each core that is trained.

    Raises:
        RefusedError, UsageError: As `check_design`, before anything is trained.
    """
    basis = check_design(records, schema, recipe)
    trainer = _Trainer(basis, checkpoints, progress, watch)
    chosen, choices = _choose(trainer, note)
    core = None
    if chosen == "trained":
        note("training the core on the foundation cohort")
        core = trainer.train(basis.records, "core")
    designer = basis.designer(core)
    policy = Policy(
        training_id=training_id,
        schema=_published(schema),
        core=chosen,
        core_digest=None if core is None else core_digest(core),
        seed=recipe.seed,
        scaler=basis.scaler.to_json(),
        base=basis.prior,
        heads=designer.heads(choices),
        provenance=_provenance(basis, core is not None),
        planned_rows=recipe.heads.planned_rows,
        default_epsilon=recipe.epsilon,
        default_delta=recipe.delta,
        recipe=recipe,
    )
    return Design(policy, core, designer.extractor)


def check_design(records: Records, schema: DatasetSchema, recipe: Recipe) -> Basis:
    """Refuse what cannot be designed; what may be learned from before the heads.

    Raises:
        RefusedError: No training row; a trained core is wanted, but nobody is in the foundation
            cohort; or there are neither rows nor declared ranges to scale the inputs by.
        UsageError: More training rows than the heads are planned for, heads too narrow for their
            inputs, or no such device.
    """
    if not len(records.where(split="train")):
        raise RefusedError(
            "there is no training row: every record is in another split, or revoked",
            code="train.no_rows",
        )
    _check_room(records, recipe.heads)
    resolve(as_device(recipe.device))
    basis = _basis(records, schema, recipe)
    if recipe.core == "trained" and basis.cohort != "foundation":
        raise RefusedError(
            "a trained core needs foundation subjects, and there are none",
            code="train.no_foundation",
            field="--core",
            hint="name a foundation cohort in the import spec, or train with --core none",
        )
    plain = basis.designer(None)
    for p in plain.subsets:
        plain.widths(p)  # refused before minutes of training; a core only adds inputs
    return basis


def _published(schema: DatasetSchema) -> DatasetSchema:
    """The schema without listed subjects: a policy is public, and names nobody."""

    def drawn(rule: CohortRule | None) -> CohortRule | None:
        return rule if rule is not None and rule.fraction is not None else None

    rules = CohortRules(
        foundation=drawn(schema.cohorts.foundation), calibration=drawn(schema.cohorts.calibration)
    )
    return replace(schema, cohorts=rules)


def _check_room(records: Records, heads: HeadSettings) -> None:
    """The number of rows planned for is a setting: it must not follow who is in the data."""
    rows = len(records.where(split="train"))
    if rows > heads.planned_rows:
        raise UsageError(
            f"{rows} training rows, but the heads are planned for {heads.planned_rows}",
            field="heads.planned_rows",
            hint="set heads.planned_rows to the most rows that there will ever be",
        )


def _basis(records: Records, schema: DatasetSchema, recipe: Recipe) -> Basis:
    cohort: Cohort = "foundation"
    if not len(records.where(cohort="foundation", split="train")):
        cohort = "calibration"
    learned = records.where(cohort=cohort)
    train = learned.where(split="train")
    _refuse_unscaled(train, schema)
    scaler = (
        fit_scaler(train.x, schema.modalities, train.labels, schema.task) if len(train) else None
    )
    return Basis(
        schema=schema,
        recipe=recipe,
        cohort=cohort,
        records=learned,
        scaler=scaler or scaler_from_ranges(schema.modalities),
        scaled_from=frozenset({cohort} if scaler else ()),
        prior=label_prior(schema.task, train.labels.tolist()),
    )


def _refuse_unscaled(train: Records, schema: DatasetSchema) -> None:
    """Rows to look at must show every modality; without rows, each must declare its range."""
    if len(train):
        unseen = [name for name in schema.names if all(value is None for value in train.x[name])]
        why = f"no training row of the {train.cohorts[0]} cohort has"
        hint = (
            f"name people of that cohort who have {', '.join(unseen)}, or nobody: then a declared "
        )
        hint += "`range` of every modality is what scales it"
    else:
        unseen = [info.name for info in schema.modalities if info.range is None]
        why = (
            "there is no training row of foundation or calibration subjects, and no declared "
            "range of"
        )
        hint = "declare `range` in the import spec, or name a foundation or calibration cohort"
    if unseen:
        raise RefusedError(
            f"nothing may be looked at to scale the inputs: {why} {', '.join(unseen)}",
            code="train.unscaled",
            field=f"range.{unseen[0]}",
            hint=hint,
        )


def _choose(trainer: _Trainer, note: Note) -> tuple[str, Mapping[str, Judged]]:
    """Core or none, and the choices of every head."""
    basis = trainer.basis
    wanted, foundation = basis.recipe.core, basis.cohort == "foundation"
    plain = basis.designer(None)
    first, second = _halves(basis.records)
    if wanted == "none" or not foundation or min(map(_people, (first, second))) < 2:
        return "trained" if wanted == "trained" else "none", plain.judge(basis.records)
    note("training a core on half of the foundation cohort, to judge it on the other half")
    trained = basis.designer(trainer.train(first, "half"))
    if wanted == "auto" and not _better(trained, plain, basis.records, second, note):
        return "none", plain.judge(basis.records)
    return "trained", trained.judge(second)


def _better(
    trained: HeadDesigner, plain: HeadDesigner, everybody: Records, others: Records, note: Note
) -> bool:
    """Whether heads on a core do better on people that it has not seen than heads without one.

    Each learns from whom it will learn from: on a core, from these people alone.
    """
    people = set(others.subjects)
    with_core = _mean_loss(trained.judge(others, quickly=True), people)
    without = _mean_loss(plain.judge(everybody, quickly=True), people)
    note(f"loss on held-out foundation rows: {with_core:.4f} with a core, {without:.4f} without")
    return with_core < without


def _mean_loss(judged: Mapping[str, Judged], people: set[str]) -> float:
    return float(np.mean([one.loss(people) for one in judged.values()]))


def _provenance(basis: Basis, trained: bool) -> tuple[BlockProvenance, ...]:
    """What each block was computed from; the deletion planner believes nothing else."""
    names = frozenset(basis.schema.names)
    learned = frozenset({basis.cohort} if len(basis.records) else ())
    frozen = [
        BlockProvenance(name="scaler", kind="scaler", cohorts=basis.scaled_from, modalities=names),
        BlockProvenance(name="policy", kind="policy", cohorts=learned, modalities=names),
    ]
    if trained:
        frozen.append(BlockProvenance(name="core", kind="core", cohorts=learned, modalities=names))
    # Rows of a trained core's cohort do not enter the heads (`learning_rows`).
    reached = frozenset(COHORTS) - (learned if trained else frozenset())
    heads = [
        BlockProvenance(name=availability_name(p), kind="head", cohorts=reached, modalities=p)
        for p in nonempty_subsets(basis.schema.names)
    ]
    return (*frozen, *heads)


def _halves(records: Records) -> tuple[Records, Records]:
    """Two halves of the people, by a hash of their ids: nobody's side depends on another."""

    def side(subject: str) -> int:
        return hashlib.sha256(f"mbd half {subject}".encode()).digest()[0] & 1

    indices = range(len(records))
    first = [i for i in indices if side(records.subjects[i]) == 0]
    second = [i for i in indices if side(records.subjects[i]) == 1]
    return records.select(first), records.select(second)


def _people(records: Records) -> int:
    return len(set(records.where(split="train").subjects))
