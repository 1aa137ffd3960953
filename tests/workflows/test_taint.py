"""What one person's channel moves in a released model: nothing outside the declared blocks.

The real design, training and sums run again with other values in one channel of one person,
from the same seed, and every released number is compared bit for bit: outside the declared
blocks the finite difference is exactly zero, inside it is not. Pipelines that are tainted on
purpose show what this finds: a sum over everybody (a scaler, a buffer) moves with anybody's
values; a choice among few (an early stop) moves only if the values tip it, so for choices it
is also shown that the design touches no value of a revocable person at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mbd.data.cohorts import CohortRules
from mbd.data.prepared import PreparedRows
from mbd.data.records import Records
from mbd.data.schema import DatasetSchema
from mbd.data.store import Store
from mbd.data.synthetic import synthesise
from mbd.deletion.exact import exact_update
from mbd.deletion.plan import plan
from mbd.deletion.taint import ModelFacts, Removal, check_declared, check_taint, reached
from mbd.errors import ArithmeticRefused
from mbd.head.state import HeadState
from mbd.model.core import Core
from mbd.model.inference import Extractor
from mbd.model.snapshot import double, freeze, save_core
from mbd.training.batches import to_tensors
from mbd.values import Cohort, availability_name, nonempty_subsets
from mbd.workflows import design as design_module
from mbd.workflows.design import Design, design_model
from mbd.workflows.recipe import Recipe
from mbd.workflows.retrain import Retrained
from mbd.workflows.rows import learning_rows, prepare
from mbd.workflows.session import Session
from mbd.workflows.snapshots import ModelSnapshot, ReleasedHead, derive_model, write_model
from mbd.workflows.sums import contributions, sum_rows
from mbd.workspace.settings import HeadSettings, Settings
from tests.model.builders import CLASSES, INFOS, SCORES, random_core, random_record, ranges
from tests.workspaces import TrainedWorkspace, must_run, run_mbd

RECORDS, SCHEMA = synthesise(users=10, records=100, seed=2)
NAMES = SCHEMA.names
FAMILY = tuple(nonempty_subsets(NAMES))
HEADS = frozenset(map(availability_name, FAMILY))
FROZEN = frozenset({"scaler", "policy"})

Moved = frozenset[tuple[str, str]]
"""(block, number) of everything that differs."""


def recipe(core: str, **network: int | float) -> Recipe:
    small = {"epochs": 2, "hidden": 4, "activations": 4, "property_width": 2, **network}
    chosen = Settings(
        format=1, id="x", issuer="x", origin="x", heads=HeadSettings(width=128), core=small
    )
    return Recipe.of(chosen, core=core, seed=0, device="cpu")


@dataclass(frozen=True)
class Made:
    """A model and its state, and every number of them by block."""

    design: Design
    rows: dict[str, PreparedRows]
    states: dict[str, HeadState]
    numbers: dict[tuple[str, str], bytes]

    def moved_to(self, other: Made) -> Moved:
        """Where two models differ."""
        names = self.numbers.keys() | other.numbers.keys()
        return frozenset(n for n in names if self.numbers.get(n) != other.numbers.get(n))

    def rows_of(self, subject: str) -> dict[str, int]:
        return {head: rows.subjects.count(subject) for head, rows in self.rows.items()}

    def declared(self, subject: str, modality: str) -> frozenset[str]:
        """The blocks that depend on a channel of a person, by declaration."""
        return reached(
            self.design.policy.provenance,
            SCHEMA.cohorts.cohort_of(subject),
            frozenset({modality}),
            self.rows_of(subject),
        )


def make(records: Records, chosen: Recipe) -> Made:
    """Everything that `mbd train` computes, without noise, under one training id."""
    design = design_model(records, SCHEMA, chosen, training_id="same")
    rows = prepare(design.extractor, design.policy, learning_rows(design.policy, records))
    states = sum_rows(design.policy, [rows])
    return Made(design, rows, states, dict(every_number(design, states)))


def every_number(
    design: Design, states: dict[str, HeadState]
) -> Iterator[tuple[tuple[str, str], bytes]]:
    """((block, name), bits) of every tensor, buffer and number that is released."""
    for name, leaf in leaves(json.loads(design.policy.to_bytes())):
        yield ("scaler" if name.startswith("scaler.") else "policy", name), repr(leaf).encode()
    if design.core is not None:
        tensors = {**design.core.state_dict(), **dict(design.core.named_buffers())}
        for name, value in tensors.items():
            yield ("core", name), value.numpy().tobytes()
    for head, state in states.items():
        constants = design.policy.heads[head].constants
        yield (head, "gram"), state.gram.tobytes()
        yield (head, "cross"), state.cross.tobytes()
        yield (head, "rows"), repr(state.rows).encode()
        yield (head, "weights"), exact_update(state, constants.scale, constants.grid).tobytes()


def leaves(content: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a JSON document with its path."""
    if isinstance(content, dict | list):
        pairs: Iterable = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in pairs:
            yield from leaves(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, content


def blocks(moved: Moved) -> set[str]:
    return {block for block, _ in moved}


def other_values(records: Records, subject: str, modality: str, seed: int = 0) -> Records:
    """Random vectors in place of what this channel of this person holds."""
    rng = np.random.default_rng(seed)
    column = tuple(
        (2 * rng.standard_normal(value.shape)).astype(np.float32)
        if value is not None and owner == subject
        else value
        for owner, value in zip(records.subjects, records.x[modality], strict=True)
    )
    return replace(records, x={**records.x, modality: column})


def removed(records: Records, subject: str, modality: str) -> Records:
    return records.without(lambda owner, name: (owner, name) == (subject, modality))


CHANGES = {"other values": other_values, "removed": removed}


@cache
def original(core: str) -> Made:
    return make(RECORDS, recipe(core))


def unlearned(before: Made, after: Made, subject: str, modality: str) -> set[str]:
    """Heads whose state, less this person's rows, is not that of a training without them."""
    mine = {
        head: rows.of_subject(subject)
        for head, rows in before.rows.items()
        if modality in head.split("+")
    }
    parts = contributions(before.design.policy, mine)
    return {
        head
        for head, part in parts.items()
        if (before.states[head] - part).digest() != after.states[head].digest()
    }


def people(cohort: Cohort) -> list[str]:
    return sorted(set(RECORDS.where(cohort=cohort, split="train").subjects))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("modality", NAMES)
@pytest.mark.parametrize("core", ["none", "trained"])
def test_a_revocable_person_moves_the_heads_that_read_the_channel_and_nothing_else(
    core: str, modality: str, change: str
) -> None:
    before, subject = original(core), people("revocable")[0]
    declared = before.declared(subject, modality)

    moved = before.moved_to(make(CHANGES[change](RECORDS, subject, modality), recipe(core)))

    assert declared == {head for head in HEADS if modality in head.split("+")}
    assert blocks(moved) == declared
    for head in declared:
        assert {(head, "gram"), (head, "cross"), (head, "weights")} <= moved


@pytest.mark.parametrize("core", ["none", "trained"])
def test_inside_the_declared_heads_nothing_is_left_once_the_rows_are_subtracted(core: str) -> None:
    """Other people's rows there do not depend on this person either."""
    before, subject = original(core), people("revocable")[1]
    for modality in NAMES:
        after = make(removed(RECORDS, subject, modality), recipe(core))
        assert sum(before.rows_of(subject).values()) > 0
        assert unlearned(before, after, subject, modality) == set()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("core", ["none", "trained"])
def test_a_foundation_person_moves_every_frozen_block_that_declares_it(
    core: str, change: str
) -> None:
    before, subject, modality = original(core), people("foundation")[0], "audio"
    declared = before.declared(subject, modality)

    moved = before.moved_to(make(CHANGES[change](RECORDS, subject, modality), recipe(core)))

    everything = HEADS | FROZEN | ({"core"} if core == "trained" else set())
    assert declared == everything
    if core == "trained":
        assert blocks(moved) == everything
        assert before.rows_of(subject) == dict.fromkeys(before.rows, 0)
    else:  # nothing mixes channels before the heads do
        reading = {head for head in HEADS if modality in head.split("+")}
        assert blocks(moved) == FROZEN | reading
        assert all(name.startswith("scaler.audio.") for block, name in moved if block == "scaler")


@pytest.mark.parametrize("core", ["none", "trained"])
def test_the_files_of_such_a_release_pass_the_check_before_issuance(
    core: str, tmp_path: Path
) -> None:
    before, subject, modality = original(core), people("revocable")[0], "text"
    after = make(removed(RECORDS, subject, modality), recipe(core))
    decided = plan(
        before.design.policy.provenance,
        subject_cohort="revocable",
        modalities=frozenset({modality}),
        rows=before.rows_of(subject),
        method="exact",
    )
    request = Removal(cohort="revocable", rows=before.rows_of(subject), plan=decided)
    old, new = facts(before, tmp_path, "before"), facts(after, tmp_path, "after")

    check_declared(old)
    check_taint(old, new, [request])

    for head in decided.selected:
        path = f"heads/{head}.safetensors"
        kept = {file.path: file for file in old.files}[path]
        lazy = tuple(kept if file.path == path else file for file in new.files)
        with pytest.raises(ArithmeticRefused) as refused:
            check_taint(old, replace(new, files=lazy), [request])
        assert (refused.value.code, refused.value.field) == ("taint.untouched", head)


def facts(made: Made, folder: Path, name: str) -> ModelFacts:
    """What the manifest of such a model says once it is written."""
    heads = {
        head: ReleasedHead(
            exact_update(
                state,
                made.design.policy.heads[head].constants.scale,
                made.design.policy.heads[head].constants.grid,
            ),
            0,
        )
        for head, state in made.states.items()
    }
    core, policy = made.design.core, made.design.policy
    write_core = None if core is None else (lambda into: save_core(core, into))
    snapshot = write_model(folder, name, policy.to_bytes(), write_core, heads)
    return ModelFacts(
        provenance=policy.provenance,
        files=snapshot.files,
        states={head: (state.digest(), state.rows) for head, state in made.states.items()},
        training_id=policy.training_id,
        policy_entry=0,
    )


# ---- the design reads nothing of revocable people


class Poison:
    """A value that may be carried about, and that nothing may look at."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"the design looked at a revocable person's data: {name}")

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise AssertionError("the design looked at a revocable person's data")

    def __len__(self) -> int:
        raise AssertionError("the design looked at a revocable person's data")


def poisoned(records: Records, free: frozenset[Cohort]) -> Records:
    """Values and labels of everybody but `free` cohorts cannot be looked at unnoticed."""
    learned = np.array([cohort in free for cohort in records.cohorts])
    x: dict[str, Any] = {
        name: tuple(
            value if value is None or may else Poison()
            for value, may in zip(column, learned, strict=True)
        )
        for name, column in records.x.items()
    }
    return replace(records, x=x, labels=np.where(learned, records.labels, np.nan))


def calibrated() -> tuple[Records, DatasetSchema]:
    """The same people, those of the foundation as a calibration cohort."""
    cohorts: tuple[Cohort, ...] = tuple(
        "calibration" if cohort == "foundation" else cohort for cohort in RECORDS.cohorts
    )
    rules = CohortRules(calibration=SCHEMA.cohorts.foundation)
    return replace(RECORDS, cohorts=cohorts), replace(SCHEMA, cohorts=rules)


@pytest.mark.parametrize(
    ("core", "cohort"),
    [("none", "foundation"), ("trained", "foundation"), ("auto", "foundation"),
     ("none", "calibration")],
)  # fmt: skip
def test_the_design_reads_the_cohorts_that_it_declares_and_nobody_else(
    core: str, cohort: Cohort
) -> None:
    """Not a value, not a label, not who is there: the policy and the core are the same bits."""
    records, schema = (RECORDS, SCHEMA) if cohort == "foundation" else calibrated()

    def designed(given: Records) -> dict[tuple[str, str], bytes]:
        made = design_model(given, schema, recipe(core), training_id="same")
        frozen = [block for block in made.policy.provenance if block.kind != "head"]
        assert {block.cohorts for block in frozen} == {frozenset({cohort})}
        return dict(every_number(made, {}))

    plain = designed(records)

    assert designed(poisoned(records, frozenset({cohort}))) == plain
    assert designed(records.where(cohort=cohort)) == plain


# ---- pipelines tainted on purpose


class NormalisedCore(Core):
    """A core with a buffer that follows the batches it was shown while training."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.register_buffer("running", torch.zeros(len(config.widths), config.hidden))
        self.running: torch.Tensor

    def encode(self, *args: Any) -> Any:
        encoded = super().encode(*args)
        if self.training:
            self.running.lerp_(encoded.samples.detach().mean(dim=0), 0.1)
        return encoded

    def fuse(self, samples: Any, available: Any) -> Any:
        return super().fuse(samples - self.running, available)


Patch = Callable[[pytest.MonkeyPatch, Records], None]


def scale_on_everybody(patch: pytest.MonkeyPatch, records: Records) -> None:
    real, everybody = design_module.fit_scaler, records.where(split="train")
    patch.setattr(
        design_module,
        "fit_scaler",
        lambda x, infos, labels, task: real(everybody.x, infos, everybody.labels, task),
    )


def normalise_with_own_buffer(patch: pytest.MonkeyPatch, records: Records) -> None:
    """Not tainted: the buffer follows foundation batches alone."""
    patch.setattr("mbd.training.loop.Core", NormalisedCore)
    patch.setattr("mbd.model.snapshot.Core", NormalisedCore)


def normalise_over_everybody(patch: pytest.MonkeyPatch, records: Records) -> None:
    """After training, the buffer is settled on everybody's batches; no weight is touched."""
    normalise_with_own_buffer(patch, records)
    real = design_module.train_core

    def train(train: Any, valid: Any, schema: Any, scaler: Any, *rest: Any, **more: Any) -> Any:
        trained = real(train, valid, schema, scaler, *rest, **more)
        rows = to_tensors(records.where(split="train"), scaler, schema.task, torch.device("cpu"))
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            trained.core.train()
            trained.core.encode(rows.x, rows.lengths, rows.available)
        freeze(trained.core)
        return trained

    patch.setattr(design_module, "train_core", train)


def stop_by_everybody(patch: pytest.MonkeyPatch, records: Records) -> None:
    real, held_out = design_module.train_core, records.where(split="valid")
    patch.setattr(
        design_module,
        "train_core",
        lambda train, valid, *rest, **more: real(train, held_out, *rest, **more),
    )


def made_with(taint: Patch, records: Records, chosen: Recipe | None = None) -> Made:
    with pytest.MonkeyPatch.context() as patch:
        taint(patch, records)
        return make(records, chosen or recipe("trained"))


def test_a_scaler_fitted_on_everybody_is_found() -> None:
    subject = people("revocable")[0]
    before = made_with(scale_on_everybody, RECORDS)
    for change in CHANGES.values():
        after = made_with(scale_on_everybody, change(RECORDS, subject, "audio"))
        moved = before.moved_to(after)

        outside = blocks(moved) - before.declared(subject, "audio")
        assert outside >= {"scaler", "core", "text"}
        assert ("scaler", "scaler.audio.steps.mean.0") in moved
    assert unlearned(before, after, subject, "audio")


def test_a_normalisation_buffer_over_everybody_is_found_though_no_weight_moves() -> None:
    subject = people("revocable")[0]
    before = made_with(normalise_over_everybody, RECORDS)
    for change in CHANGES.values():
        after = made_with(normalise_over_everybody, change(RECORDS, subject, "audio"))
        moved = before.moved_to(after)

        assert {name for block, name in moved if block == "core"} == {"running"}
        assert blocks(moved) - before.declared(subject, "audio") == {"core", "policy"}
    assert unlearned(before, after, subject, "audio")


def test_a_normalisation_buffer_of_the_foundation_is_clean() -> None:
    """What is found is the taint, not that there is a buffer."""
    subject = people("revocable")[0]
    before = made_with(normalise_with_own_buffer, RECORDS)
    changed = other_values(RECORDS, subject, "audio")

    moved = before.moved_to(made_with(normalise_with_own_buffer, changed))

    assert ("core", "running") in before.numbers
    assert blocks(moved) == before.declared(subject, "audio")


def test_an_early_stop_that_looks_at_everybody_is_found_where_values_tip_it() -> None:
    """One choice hears everybody, and few people decide it: a limit of any finite difference."""
    chosen = recipe("trained", epochs=8, learning_rate=0.05)
    before = made_with(stop_by_everybody, RECORDS, chosen)
    outcomes: dict[bool, Moved] = {}
    for subject, modality in product(people("revocable"), NAMES):
        changed = removed(RECORDS, subject, modality)
        moved = before.moved_to(made_with(stop_by_everybody, changed, chosen))
        outside = frozenset(
            found for found in moved if found[0] not in before.declared(subject, modality)
        )
        outcomes[bool(outside)] = outside
        if len(outcomes) == 2:
            break
    assert outcomes.keys() == {True, False}
    assert blocks(outcomes[True]) >= {"core", "policy"}


@pytest.mark.parametrize("taint", [scale_on_everybody, normalise_over_everybody, stop_by_everybody])
def test_looking_at_a_revocable_person_is_noticed_whether_or_not_it_tips_a_choice(
    taint: Patch,
) -> None:
    with pytest.raises(AssertionError, match="looked at a revocable"):
        made_with(taint, poisoned(RECORDS, frozenset({"foundation"})))


# ---- gradients: a channel that is not in p has none


@pytest.mark.parametrize(
    "p", list(nonempty_subsets(info.name for info in INFOS)), ids=availability_name
)
@pytest.mark.parametrize("task", [SCORES, CLASSES], ids=["regression", "classification"])
def test_the_gradient_of_every_output_by_an_absent_channel_is_exactly_zero(task, p) -> None:
    core = double(random_core(task))
    generator = torch.Generator().manual_seed(4)
    x = {
        info.name: torch.randn(
            3, info.max_length, info.width, dtype=torch.float64, generator=generator
        ).requires_grad_()
        for info in INFOS
    }
    lengths = {info.name: torch.full((3,), info.max_length) for info in INFOS}
    available = torch.tensor([[info.name in p for info in INFOS]] * 3)

    encoded, output = core.encode(x, lengths, available), core(x, lengths, available)

    for name, part in {**encoded._asdict(), **output._asdict()}.items():
        if name == "reliability":  # is of the flags alone: no value moves it
            assert not part.requires_grad
            continue
        weights = torch.randn(part.shape, dtype=part.dtype, generator=generator)
        found = torch.autograd.grad(
            (part * weights).sum(), list(x.values()), retain_graph=True, allow_unused=True
        )
        for channel, gradient in zip(x, found, strict=True):
            moves = gradient is not None and bool(gradient.any())
            assert moves <= (channel in p), (name, channel)
            if name in ("scores", "prediction", "embeddings", "activations"):
                assert moves == (channel in p), (name, channel)


@pytest.mark.parametrize("modality", [info.name for info in INFOS])
def test_the_gradient_of_a_prepared_row_by_a_channel_outside_its_head_is_exactly_zero(
    modality: str,
) -> None:
    """All heads at once, as rows are prepared: one record that has every channel.

    The record reaches the core's part of a row through its sample embeddings alone.
    """
    family = tuple(nonempty_subsets(info.name for info in INFOS))
    extractor = Extractor(ranges(), family, random_core(), (0.0,))
    record = random_record(np.random.default_rng(1))
    steps = {name: ranges().channels[name].standardise(value) for name, value in record.items()}
    names = sorted(record)
    core = double(random_core())
    samples = extractor._samples(steps)[:1].clone().requires_grad_()
    flags = torch.tensor([[name in p for name in names] for p in family])
    output = core.fuse(samples.expand(len(family), -1, -1), flags)
    row = torch.cat([output.embeddings.flatten(1), output.activations, output.prediction], dim=1)

    for index, p in enumerate(family):
        weights = torch.randn(row.shape[1], generator=torch.Generator().manual_seed(index)).double()
        (gradient,) = torch.autograd.grad(row[index] @ weights, samples, retain_graph=True)
        assert bool(gradient[0, names.index(modality)].any()) == (modality in p)


def test_stored_rows_of_a_head_do_not_move_with_a_channel_outside_it() -> None:
    """The integers themselves, in the heads of the same frozen core."""
    design, subject = original("trained").design, people("revocable")[0]
    for modality in NAMES:
        changed = learning_rows(design.policy, other_values(RECORDS, subject, modality))
        rows = prepare(design.extractor, design.policy, changed)
        for head, found in original("trained").rows.items():
            same = np.array_equal(found.v, rows[head].v) and np.array_equal(found.t, rows[head].t)
            assert same == (modality not in head.split("+")), head


# ---- the check stands between an engine and its certificate


def keep_a_head(old: ModelSnapshot, model_id: str, heads: Mapping[str, ReleasedHead]) -> Any:
    return derive_model(old, model_id, {name: heads[name] for name in sorted(heads)[1:]})


def touch_another(old: ModelSnapshot, model_id: str, heads: Mapping[str, ReleasedHead]) -> Any:
    return derive_model(old, model_id, {**heads, "text": next(iter(heads.values()))})


@pytest.mark.parametrize(
    ("engine", "code"), [(keep_a_head, "taint.untouched"), (touch_another, "taint.changed")]
)
@pytest.mark.parametrize("method", ["surgical", "exact"])
def test_a_careless_engine_gets_no_certificate_and_the_channel_stays_in_service(
    trained_workspace: TrainedWorkspace, engine: Any, code: str, method: str
) -> None:
    before = trained_workspace.session().find_model()
    request = ("--user", trained_workspace.revocable[0], "--modality", "audio")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mbd.workflows.staging.derive_model", engine)
        ran = run_mbd(trained_workspace.root, "revoke", *request, "--method", method, "--json")

    assert (ran.code, ran.json["error"]["code"]) == (1, code)
    assert not list((trained_workspace.root / "certs").iterdir())
    assert trained_workspace.session().find_model() == before
    must_run(trained_workspace.root, "revoke", *request)


def test_a_retraining_that_did_not_happen_gets_no_certificate(
    trained_workspace: TrainedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def idle(session: Session, folder: Path, **names: Any) -> Retrained:
        return Retrained(
            model_pointer=session.model().snapshot.to_pointer(),
            state_pointer=session.state().to_pointer(),
            policy_entry=99,
            selected=tuple(session.model().policy.heads),
            learned_from="",
        )

    monkeypatch.setattr("mbd.workflows.retrain.stage_retraining", idle)
    request = ("--user", trained_workspace.foundation[0], "--modality", "audio")

    ran = run_mbd(trained_workspace.root, "revoke", *request, "--method", "retrain", "--json")

    assert (ran.code, ran.json["error"]["code"]) == (1, "taint.untouched")
    assert not list((trained_workspace.root / "certs").iterdir())


def everybody(session: Session, store: Store) -> Records:
    """What a training would learn from that forgets to leave anything out."""
    return store.read().sorted()


def rows_of_everybody(
    session: Session, store: Store, design: Design, progress: Any
) -> Iterator[tuple[int, Any]]:
    for bucket in store.buckets():
        learned = learning_rows(design.policy, store.read_bucket(bucket))
        yield bucket, prepare(design.extractor, design.policy, learned)


FORGETFUL = {"usable": everybody, "training_rows": rows_of_everybody}


@pytest.mark.parametrize(
    ("core", "forgets", "block"),
    [
        ("none", ["usable"], "policy"),
        ("none", ["training_rows"], "audio"),
        ("trained", ["usable", "training_rows"], "policy"),
    ],
    ids=["design", "rows", "design and rows under a core"],
)
def test_a_retraining_that_leaves_nothing_out_gets_no_certificate(
    trained_workspace: TrainedWorkspace, core: str, forgets: list[str], block: str
) -> None:
    """Every check of ids and digests passes: what was learned from is what gives it away."""
    root = trained_workspace.root
    if core == "trained":
        small = ("core.epochs=1", "core.hidden=4", "core.activations=4", "heads.width=160")
        must_run(root, "train", "--core", core, *(word for one in small for word in ("--set", one)))
    before = trained_workspace.session().find_model()
    request = ("--user", trained_workspace.foundation[0], "--modality", "audio")

    with pytest.MonkeyPatch.context() as patch:
        for name in forgets:
            patch.setattr(f"mbd.workflows.fit.{name}", FORGETFUL[name])
        ran = run_mbd(root, "revoke", *request, "--method", "retrain", "--json")

    assert (ran.code, ran.json["error"]["code"]) == (1, "taint.untouched")
    assert ran.json["error"]["field"] == block
    assert "did not leave the data out" in ran.json["error"]["message"]
    assert not list((root / "certs").iterdir())
    assert trained_workspace.session().find_model() == before
    assert len(must_run(root, "resume", "--json").json["finished"]) == 1, "honestly, it goes on"
