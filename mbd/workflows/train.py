"""Training: design on the foundation, announce the policy, sum everybody's rows, release.

The order matters. The policy is in the ledger before the first row is added, and the new
model becomes current in one transaction: killed before it, training has changed nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from mbd.canonical.ulid import new_ulid
from mbd.data.prepared import Bucket, PreparedStore
from mbd.data.store import Store
from mbd.database import models, pointers
from mbd.deletion.parameters import head_parameters
from mbd.errors import RefusedError
from mbd.head.state import HeadState
from mbd.ledger.entry import unsigned_entry
from mbd.model.snapshot import save_core
from mbd.training.settings import CoreSettings
from mbd.values import HeadParameters
from mbd.workflows.design import Design, DesignOptions, design_model
from mbd.workflows.leftovers import remove_leftovers
from mbd.workflows.policy import Policy
from mbd.workflows.release import release_with_noise
from mbd.workflows.rows import learning_rows, prepare
from mbd.workflows.session import Session
from mbd.workflows.snapshots import (
    ModelSnapshot,
    StateSnapshot,
    write_model,
    write_state,
)
from mbd.workflows.sums import contributions, sum_states
from mbd.workspace.settings import load_settings

Progress = Callable[[int, int], None]
Note = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What the command line says about a training run."""

    core: str = "auto"
    overrides: Mapping[str, str]
    """Dotted setting to text."""
    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """A finished training run."""

    model: str
    state: str
    """Digest of the state."""
    core: str
    width: int
    heads: tuple[tuple[str, HeadParameters, int], ...]
    """(name, parameters at the default request, rows) of each head."""
    policy_entry: int
    seconds: float


def train_model(
    session: Session,
    options: TrainOptions,
    *,
    note: Note = lambda text: None,
    progress: Progress = lambda done, total: None,
) -> TrainReport:
    """Train a model on what the workspace holds and make it current.

    Raises:
        NotFoundError: There is no data.
        RefusedError: Nothing may be learned from: no training rows.
        UsageError: A setting is unknown or out of range.
    """
    started = time.perf_counter()
    settings = load_settings(session.workspace, options.overrides)
    CoreSettings().with_overrides(settings.core)  # refused even if no core is going to be trained
    store, suppressed = session.store(), session.suppressions
    # In one order whatever the order of imports: float sums of the scaler depend on it.
    records = store.read(suppressions=suppressed).sorted()
    if not len(records.where(split="train")):
        raise RefusedError(
            "there is no training row: every record is in another split, or revoked",
            code="train.no_rows",
        )
    design = design_model(
        records,
        store.schema,
        settings,
        DesignOptions(core=options.core, seed=options.seed, device=options.device),
        note=note,
        progress=progress,
    )
    policy_entry = _announce(session, design.policy)
    note("preparing rows and summing the state")
    states = _build_state(session, store, design, progress)
    parameters = head_parameters(
        [head.constants for head in design.policy.heads.values()],
        settings.deletion.epsilon,
        settings.deletion.delta,
    )
    model, state = _release(session, design, states, parameters)
    _activate(session, model, state, policy_entry)
    return TrainReport(
        model=model.model_id,
        state=state.digest,
        core=design.policy.core,
        width=max(head.constants.dimension for head in design.policy.heads.values()),
        heads=tuple((head.head, head, states[head.head].rows) for head in parameters),
        policy_entry=policy_entry,
        seconds=time.perf_counter() - started,
    )


def _announce(session: Session, policy: Policy) -> int:
    """Log the policy before any state is built; its entry's index."""
    body = policy.to_bytes()
    with session.database.transaction() as connection:
        index = session.log.append(
            connection, unsigned_entry("policy", datetime.now(UTC), body), body
        )
    session.log.publish()
    return index


def _build_state(
    session: Session, store: Store, design: Design, progress: Progress
) -> dict[str, HeadState]:
    """Prepare and store every training row, bucket by bucket, and sum them."""
    policy, suppressed = design.policy, session.suppressions
    folder = session.prepared_folder(policy.training_id)
    total = sum_states(policy, ())

    def buckets() -> Iterator[tuple[int, Bucket]]:
        for bucket in store.buckets():
            progress(bucket, len(store.buckets()))
            records = store.read_bucket(bucket).unsuppressed(suppressed)
            rows = prepare(design.extractor, policy, learning_rows(policy, records))
            yield bucket, rows
            for head, state in contributions(policy, rows).items():
                total[head] = total[head] + state

    PreparedStore.create(folder, session.key, len(store.buckets()), buckets())
    return total


def _release(
    session: Session,
    design: Design,
    states: Mapping[str, HeadState],
    parameters: tuple[HeadParameters, ...],
) -> tuple[ModelSnapshot, StateSnapshot]:
    heads = release_with_noise(design.policy, states, parameters)
    core = design.core
    model = write_model(
        session.workspace.models,
        new_ulid(datetime.now(UTC)),
        design.policy.to_bytes(),
        None if core is None else lambda folder: save_core(core, folder),
        heads,
    )
    state = write_state(session.workspace.state, new_ulid(datetime.now(UTC)), states)
    return model, state


def _activate(
    session: Session, model: ModelSnapshot, state: StateSnapshot, policy_entry: int
) -> None:
    """Make them current, then remove what no pointer names any more."""
    with session.database.transaction() as connection:
        pointers.set(connection, "model", model.to_pointer())
        pointers.set(connection, "state", state.to_pointer())
        models.add(connection, model.model_id, policy_entry, model.digest, datetime.now(UTC))
    remove_leftovers(session)
