"""Retraining: every block and every choice that saw the revoked data is made again without it.

The requests are suppressed already, so what is held and not suppressed is the data without
them. Recipe and training id are given and the program is deterministic, so the result is a
function of that data on one machine and build; heads are released exactly, without noise.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mbd.canonical.times import timestamp
from mbd.canonical.ulid import ulid_time
from mbd.database.batches import Batches
from mbd.database.suppressions import Suppressions
from mbd.errors import DataError, RefusedError, UsageError
from mbd.head.state import digest_of_heads
from mbd.workflows.batch import detail_of
from mbd.workflows.design import check_design, design_model
from mbd.workflows.fit import (
    Note,
    Progress,
    fit,
    last_duration,
    record_duration,
    rows_without,
    usable,
    write_fitted,
)
from mbd.workflows.policy import Policy
from mbd.workflows.recipe import Recipe
from mbd.workflows.release import release_exactly
from mbd.workflows.session import Session
from mbd.workflows.snapshots import write_state
from mbd.workflows.sums import sum_rows
from mbd.workspace.files import storage_errors

CHECKPOINTS = "checkpoints"
"""Folder inside that of a batch where cores are kept while they are trained."""

Channel = tuple[str, Collection[str]]
"""A subject, and modalities of theirs."""


@dataclass(frozen=True, kw_only=True)
class Retrained:
    """A retraining as it was written: what to flip to."""

    model_pointer: str
    state_pointer: str
    policy_entry: int
    """Ledger entry of the new policy."""
    selected: tuple[str, ...]
    """All heads."""
    learned_from: str
    """Root (hex) of the items of the records that it was given."""


@dataclass(frozen=True, kw_only=True)
class RetrainPreview:
    """What a retraining would do."""

    blocks: tuple[str, ...]
    """Blocks made again: all of them, in the order of the policy."""
    choices: tuple[str, ...]
    """What is chosen again, in words."""
    estimated_seconds: float | None
    """What the last whole training took here; None if that is not known."""


def stage_retraining(
    session: Session,
    batch_folder: Path,
    *,
    training_id: str,
    model_id: str,
    state_id: str,
    note: Note = lambda text: None,
    progress: Progress = lambda done, total: None,
) -> Retrained:
    """Train again by the current model's recipe, without what is suppressed; write it beside.

    Killed and called again with the same arguments it gives the same files: cores go on from
    checkpoints in the batch's folder, half-written folders are replaced, and the policy is
    announced once. No pointer moves.

    Args:
        session: The workspace, with its lock held; the requests are suppressed.
        batch_folder: Where the batch keeps what it needs; it exists.
        training_id, model_id, state_id: Names of the prepared rows and of the new folders.
        note: Told what is going on.
        progress: Told how far it is.

    Raises:
        RefusedError: Nothing can be trained on what is left; nothing was written.
    """
    started = time.perf_counter()
    recipe = recipe_of(session.model().policy)
    check_retrainable(session)
    checkpoints = batch_folder / CHECKPOINTS
    repeated = checkpoints.exists()
    with storage_errors(checkpoints):
        checkpoints.mkdir(mode=0o700, exist_ok=True)
    fitted = fit(
        session, recipe, training_id, checkpoints=checkpoints, note=note, progress=progress
    )
    note("solving the heads from the state alone")
    state = write_state(session.workspace.state, state_id, fitted.states)
    model = write_fitted(session, fitted, model_id, release_exactly(fitted.policy, fitted.states))
    if not repeated:
        record_duration(session, time.perf_counter() - started)
    return Retrained(
        model_pointer=model.to_pointer(),
        state_pointer=state.to_pointer(),
        policy_entry=fitted.policy_entry,
        selected=tuple(sorted(fitted.policy.heads)),
        learned_from=fitted.learned_from,
    )


def check_retrainable(session: Session, revoked: Iterable[Channel] = ()) -> None:
    """Refuse a retraining that would have nothing to learn from; nothing is written.

    Args:
        session: The workspace.
        revoked: Channels that are not suppressed yet and would be.

    Raises:
        RefusedError: The model has no recipe, no training row is left, or its design cannot
            be made on what is left.
    """
    recipe, store = recipe_of(session.model().policy), session.store()
    off = {(subject, name) for subject, names in revoked for name in names}
    records = usable(session, store).without(lambda subject, name: (subject, name) in off)
    with _refusals():
        check_design(records, store.schema, recipe)


def preview_retraining(session: Session, revoked: Iterable[Channel]) -> RetrainPreview:
    """What a retraining without these channels would make again, and how long it takes.

    Raises:
        RefusedError: As `check_retrainable`.
    """
    check_retrainable(session, revoked)
    policy = session.model().policy
    return RetrainPreview(
        blocks=tuple(block.name for block in policy.provenance),
        choices=_choices(recipe_of(policy)),
        estimated_seconds=last_duration(session),
    )


def check_training(
    session: Session,
    *,
    note: Note = lambda text: None,
    progress: Progress = lambda done, total: None,
) -> tuple[str, ...]:
    """Train again by the current model's recipe, in memory, and hold the model against it.

    This is what a certificate of a retraining says can be repeated: with the same build and
    on the same machine nothing is found, unless the records changed since. Nothing is written.
    What waits for a retraining counts as the model in force found it.

    Returns:
        What differs, in words.

    Raises:
        RefusedError: The model has no recipe, nothing can be trained on what is held, or it
            cannot be told whether the model was trained before or after a request that waits.
    """
    current, store = session.model().policy, session.store()
    off = _Off(session.suppressions, _seen_though_queued(session, current.training_id))
    with _refusals():
        design = design_model(
            store.read(suppressions=off).sorted(),
            store.schema,
            recipe_of(current),
            training_id=current.training_id,
            note=note,
            progress=progress,
        )
    rows = (found for _, found in rows_without(off, store, design, progress))
    states = sum_rows(design.policy, rows)
    digest = digest_of_heads({name: state.digest() for name, state in states.items()})
    return (
        *(["core, scaling or choices differ"] if design.policy.digest != current.digest else []),
        *(["the state differs"] if digest != session.state().digest else []),
    )


@dataclass(frozen=True)
class _Off:
    """What was off when a model was trained: what is off now, less what was revoked since."""

    suppressed: Suppressions
    since: Collection[tuple[str, str]]

    def blocks(self, subject: str, modality: str) -> bool:
        """Whether the training did not see `modality` of `subject`."""
        return (subject, modality) not in self.since and self.suppressed.blocks(subject, modality)


def _seen_though_queued(session: Session, training_id: str) -> set[tuple[str, str]]:
    """Channels that wait for a retraining, and that a training saw: they were asked for later.

    Raises:
        RefusedError: Which was first cannot be told.
    """
    trained_at, seen = timestamp(ulid_time(training_id)), set()
    with session.database.read() as connection:
        batches = Batches(connection)
        members = [one for name in batches.open(queued=True) for one in batches.get(name).members]
    for member in members:
        detail = detail_of(member)
        if member.received_at == trained_at:
            raise RefusedError(
                f"request {member.request_id} waits for a retraining, and was made within a "
                "second of the last one: which of them was first cannot be told",
                code="request.queued",
                hint="`mbd resume` carries out what waits; check again then",
            )
        if member.received_at > trained_at:
            seen |= {(detail["subject"], name) for name in detail["modalities"]}
    return seen


def recipe_of(policy: Policy) -> Recipe:
    """How a model was trained.

    Raises:
        RefusedError: An earlier version made its policy, which does not say.
    """
    if policy.recipe is None:
        raise RefusedError(
            "this model was trained by an earlier version, which did not record how",
            code="retrain.no_recipe",
            hint="train it anew with `mbd train`, then revoke",
        )
    return policy.recipe


def _choices(recipe: Recipe) -> tuple[str, ...]:
    choices = ["the scaling of the inputs and the weight of each feature"]
    if recipe.core == "auto":
        choices.append("whether there is a core")
    if recipe.core != "none":
        choices.append("when core training stops")
    if recipe.heads.strong_convexity == "auto":
        choices.append("lambda of every head")
    return (*choices, "sigma and grid of every head", "every prepared row")


@contextmanager
def _refusals() -> Iterator[None]:
    """What would be bad input to a training is a retraining that policy cannot allow."""
    try:
        yield
    except (DataError, UsageError) as error:
        raise RefusedError(
            f"nothing can be trained without this: {error.message}",
            code=error.code,
            field=error.field,
            hint=error.hint,
        ) from error
