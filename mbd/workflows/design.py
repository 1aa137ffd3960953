"""Every choice that looks at data, made on the foundation (or calibration) cohort alone.

Scaler, core or none, lambda and noise of every head: all of it ends in the policy, before a
revocable subject's row is read.

A core has seen the labels of the people it was trained on, so it is judged on others: it is
trained on one half of the foundation, and the heads on top of it are fitted and judged on
the other half. That is how revocable people will meet the core that is trained on all of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path

import numpy as np
import torch

from mbd.data.cohorts import CohortRule, CohortRules
from mbd.data.records import Records
from mbd.data.schema import DatasetSchema
from mbd.deletion.parameters import HeadPolicy, plan_head
from mbd.deletion.plan import BlockProvenance
from mbd.errors import ArithmeticRefused, RefusedError, UsageError
from mbd.head.accelerator import as_device, resolve
from mbd.head.feature_map import (
    FeatureMap,
    design_feature_map,
    quantise,
    quantise_targets,
    width_for,
)
from mbd.head.selection import CANDIDATES, Choice, Rows, choose_strong_convexity
from mbd.head.solve import HeadScale
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
    parse_availability,
)
from mbd.workflows.model import targets_of
from mbd.workflows.policy import HeadDesign, Policy
from mbd.workflows.recipe import Recipe
from mbd.workflows.rows import FloatRows, float_rows
from mbd.workspace.settings import HeadSettings

Progress = Callable[[int, int], None]
Note = Callable[[str], None]
Watch = Callable[[str], Observer]
"""Who watches the core of a name: 'half' is judged, 'core' is kept."""

CORE_FILES = ("half.safetensors", "core.safetensors")
"""Names of the checkpoints: of the core that is judged, and of the one that is kept."""

TARGET_BITS = 15
"""Resolution of the residual targets: 2^-15 label units."""

DEFAULT_STRONG_CONVEXITY = 1.0
"""lambda where there are no foundation or calibration rows to choose it on."""


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


@dataclass(frozen=True, eq=False)
class _Candidate:
    """Core or none, with the lambda of every head as judged on people it never saw."""

    core: str
    choices: Mapping[str, Choice]

    @property
    def loss(self) -> float:
        """Mean over the heads."""
        return float(np.mean([choice.loss for choice in self.choices.values()]))


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
    best = _choose(trainer, note)
    core = None
    if best.core == "trained":
        note("training the core on the foundation cohort")
        core = trainer.train(basis.records, "core")
    extractor = basis.extractor(core)
    policy = Policy(
        training_id=training_id,
        schema=_published(schema),
        core=best.core,
        core_digest=None if core is None else core_digest(core),
        seed=recipe.seed,
        scaler=basis.scaler.to_json(),
        base=basis.prior,
        heads=_heads(basis, extractor, best.choices),
        provenance=_provenance(basis, core is not None),
        planned_rows=recipe.heads.planned_rows,
        default_epsilon=recipe.epsilon,
        default_delta=recipe.delta,
        recipe=recipe,
    )
    return Design(policy, core, extractor)


def check_design(records: Records, schema: DatasetSchema, recipe: Recipe) -> Basis:
    """Refuse what cannot be designed; what may be learned from before the heads.

    Raises:
        RefusedError: No training row; a trained core is wanted, but nobody is in the foundation
            cohort; or there are neither rows nor declared ranges to scale the inputs by.
        UsageError: More training rows than the heads are planned for, or no such device.
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
    else:
        unseen = [info.name for info in schema.modalities if info.range is None]
        why = (
            "there is no training row of foundation or calibration subjects, and no declared "
            "range of"
        )
    if unseen:
        raise RefusedError(
            f"nothing may be looked at to scale the inputs: {why} {', '.join(unseen)}",
            code="train.unscaled",
            field=f"range.{unseen[0]}",
            hint="declare `range` in the import spec, or name a foundation or calibration cohort",
        )


def _choose(trainer: _Trainer, note: Note) -> _Candidate:
    """Core or none, and lambda of every head."""
    basis = trainer.basis
    wanted, foundation = basis.recipe.core, basis.cohort == "foundation"
    first, second = _halves(basis.records)
    if wanted == "none" or not foundation or min(map(_people, (first, second))) < 2:
        core = "trained" if wanted == "trained" else "none"
        return _judge(basis, core, None, basis.records)
    note("training a core on half of the foundation cohort, to judge it on the other half")
    trained = _judge(basis, "trained", trainer.train(first, "half"), second)
    if wanted == "trained":
        return trained
    plain = _judge(basis, "none", None, second)
    note(
        f"loss on held-out foundation rows: {trained.loss:.4f} with a core, "
        f"{plain.loss:.4f} without"
    )
    # Without a core, lambda can be judged on everybody in the foundation.
    return trained if trained.loss < plain.loss else _judge(basis, "none", None, basis.records)


def _judge(basis: Basis, core: str, network: Core | None, records: Records) -> _Candidate:
    """Judge heads on each row of these people by what all the other rows say; no test rows."""
    extractor = basis.extractor(network)
    used = records.select(i for i in range(len(records)) if records.splits[i] != "test")
    rows = float_rows(extractor, used)
    choices = {}
    for p in nonempty_subsets(basis.schema.names):
        name = availability_name(p)
        choices[name] = _choice(basis, extractor, name, rows.get(name, FloatRows()), used)
    return _Candidate(core, choices)


def _choice(
    basis: Basis, extractor: Extractor, name: str, rows: FloatRows, records: Records
) -> Choice:
    fixed = basis.recipe.heads.strong_convexity
    if len(rows.records) < 2:
        return Choice(DEFAULT_STRONG_CONVEXITY if isinstance(fixed, str) else fixed, 0.0)
    design, bits = _feature_map(basis, extractor, name)
    return choose_strong_convexity(
        _integer_rows(basis, design, rows, records),
        feature_bits=bits,
        target_bits=TARGET_BITS,
        candidates=_servable(basis, name, design, bits) if isinstance(fixed, str) else (fixed,),
    )


def _servable(basis: Basis, name: str, design: FeatureMap, bits: int) -> tuple[float, ...]:
    """Candidates of lambda that a release can serve; wide inputs have long rows and need more.

    If none can be served, the largest stays: planning the head then says what to change.
    """

    def serves(candidate: float) -> bool:
        try:
            _plan(basis, name, design, bits, candidate)
        except ArithmeticRefused:
            return False
        return True

    return tuple(filter(serves, CANDIDATES)) or CANDIDATES[-1:]


def _integer_rows(basis: Basis, design: FeatureMap, rows: FloatRows, records: Records) -> Rows:
    targets = targets_of(basis.schema.task, records.labels)[rows.records]
    q = design.expand(quantise(np.stack(rows.features), design.clip))
    return Rows(q, quantise_targets(targets - np.stack(rows.core), TARGET_BITS))


def _heads(
    basis: Basis, extractor: Extractor, choices: Mapping[str, Choice]
) -> dict[str, HeadDesign]:
    """The constants of every head; the tolerance must be reachable with room."""
    heads = {}
    for p in nonempty_subsets(basis.schema.names):
        name = availability_name(p)
        design, bits = _feature_map(basis, extractor, name)
        constants = _plan(basis, name, design, bits, choices[name].strong_convexity)
        heads[name] = HeadDesign(feature_map=design, constants=constants)
    return heads


def _plan(
    basis: Basis, name: str, design: FeatureMap, bits: int, strong_convexity: float
) -> HeadPolicy:
    """The constants of one head.

    Raises:
        ArithmeticRefused: Its tolerance is out of reach.
    """
    recipe, task = basis.recipe, basis.schema.task
    return plan_head(
        head=name,
        dimension=design.width,
        outputs=task.outputs,
        norm_squared=design.norm_squared,
        scale=HeadScale(
            feature_bits=bits, target_bits=TARGET_BITS, strong_convexity=strong_convexity
        ),
        noise=recipe.heads.noise,
        range_width=task.range_width,
        planned_rows=recipe.heads.planned_rows,
        selected=2 ** len(basis.schema.names) - 1,
        epsilon=recipe.epsilon,
        delta=recipe.delta,
    )


def _feature_map(basis: Basis, extractor: Extractor, name: str) -> tuple[FeatureMap, int]:
    """The integer features of a head, and the bits of their unit."""
    heads: HeadSettings = basis.recipe.heads
    p = parse_availability(name)
    inputs = extractor.width(p)
    if inputs >= heads.width:
        raise UsageError(
            f"head {name!r} has {inputs} inputs, more than heads.width = {heads.width}",
            field="heads.width",
            hint=f"set heads.width to at least {width_for(inputs, heads.width)}",
        )
    return design_feature_map(
        inputs=inputs,
        width=heads.width,
        frequency_std=heads.frequency_std / sqrt(extractor.blocks(p)),
        clip=extractor.clip(p),
        seed=f"{basis.recipe.seed} {name}",
    )


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
