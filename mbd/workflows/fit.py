"""What training and retraining share: design, announce, prepare, sum.

The order matters. The policy is in the ledger before the first row is added. A call that was
killed can be repeated with the same training id: what it left half-written is replaced, a
policy that was announced is not announced again, and cores go on from their checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mbd.canonical.json import dumps, loads_strict
from mbd.data.items import items_root
from mbd.data.prepared import Bucket, PreparedStore
from mbd.data.records import Records, Suppressions
from mbd.data.store import Store
from mbd.errors import MbdError
from mbd.head.state import HeadState
from mbd.ledger.bodies import has_body
from mbd.ledger.entry import parse_entry, unsigned_entry
from mbd.ledger.queries import list_entries
from mbd.model.snapshot import save_core
from mbd.training.distributed import Ranks
from mbd.training.observer import Nobody
from mbd.workflows.design import Design, Watch, design_model
from mbd.workflows.policy import Policy
from mbd.workflows.recipe import Recipe
from mbd.workflows.rows import learning_rows, prepare
from mbd.workflows.session import Session
from mbd.workflows.snapshots import ModelSnapshot, ReleasedHead, remove_folder, write_model
from mbd.workflows.sums import sum_rows
from mbd.workspace.files import write_atomically

Progress = Callable[[int, int], None]
Note = Callable[[str], None]

_DURATION_FILE = "training.json"


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained model whose heads are not released yet: its prepared rows are stored."""

    design: Design
    states: Mapping[str, HeadState]
    policy_entry: int
    learned_from: str
    """Root (hex) of the items of the records that the design was given, see `items_root`."""

    @property
    def policy(self) -> Policy:
        """The announced policy."""
        return self.design.policy


def usable(session: Session, store: Store) -> Records:
    """Everything that may be learned from, in one order whatever the order of imports.

    Float sums of the scaler depend on that order.
    """
    return store.read(suppressions=session.suppressions).sorted()


def fit(
    session: Session,
    recipe: Recipe,
    training_id: str,
    *,
    checkpoints: Path | None = None,
    note: Note,
    progress: Progress,
    watch: Watch = lambda name: Nobody(),
    ranks: Ranks | None = None,
) -> Fitted:
    """Train on what is held and not suppressed; store the rows; nothing becomes current.

    Args:
        session: The workspace, with its lock held.
        recipe: What the operator decided.
        training_id: ULID; names the prepared rows.
        checkpoints: Folder where cores are kept while they are trained; None: nowhere.
        note: Told what is going on.
        progress: Told how far it is.
        watch: Makes an observer for each core that is trained.
        ranks: Other processes that help; this is the first of them.

    Raises:
        RefusedError, UsageError: Nothing can be trained; nothing was written.
    """
    store = session.store()
    records = usable(session, store)
    design = design_model(
        records,
        store.schema,
        recipe,
        training_id=training_id,
        checkpoints=checkpoints,
        note=note,
        progress=progress,
        watch=watch,
    )
    policy_entry = announce(session, design.policy)
    note("preparing rows and summing the state")
    states = _build_state(session, store, design, progress, ranks)
    return Fitted(design, states, policy_entry, items_root(records))


def training_rows(
    session: Session, store: Store, design: Design, progress: Progress
) -> Iterator[tuple[int, Bucket]]:
    """The integer rows of everything that the heads may learn from, made bucket by bucket."""
    return rows_without(session.suppressions, store, design, progress)


def rows_without(
    suppressed: Suppressions, store: Store, design: Design, progress: Progress
) -> Iterator[tuple[int, Bucket]]:
    """The same, without what somebody says is off."""
    for bucket in store.buckets():
        progress(bucket, len(store.buckets()))
        records = store.read_bucket(bucket).unsuppressed(suppressed)
        learned = learning_rows(design.policy, records)
        yield bucket, prepare(design.extractor, design.policy, learned)


def write_fitted(
    session: Session, fitted: Fitted, model_id: str, heads: Mapping[str, ReleasedHead]
) -> ModelSnapshot:
    """Write the model folder: policy, core, released heads."""
    core = fitted.design.core
    return write_model(
        session.workspace.models,
        model_id,
        fitted.policy.to_bytes(),
        None if core is None else lambda folder: save_core(core, folder),
        heads,
    )


def record_duration(session: Session, seconds: float) -> None:
    """Remember how long a whole training took here; the model itself must not depend on it."""
    path = session.workspace.data / _DURATION_FILE
    write_atomically(path, dumps({"seconds": round(seconds, 1)}) + b"\n")


def last_duration(session: Session) -> float | None:
    """Seconds that the last whole training took here; None if that is not known."""
    path = session.workspace.data / _DURATION_FILE
    try:
        return float(loads_strict(path.read_bytes(), allow_floats=True)["seconds"])
    except (OSError, MbdError, KeyError, TypeError, ValueError):
        return None  # an estimate is all that hangs on it


def announce(session: Session, policy: Policy) -> int:
    """Log the policy before any state is built; its entry's index.

    Once, also if repeated; anew if its body was erased when an earlier attempt was given up.
    """
    body = policy.to_bytes()
    with session.database.transaction() as connection:
        entries = list_entries(connection)
        known = [one for one in entries if one.type == "policy"]
        same = [
            one.index
            for one in known
            if parse_entry(one.leaf).digest == policy.digest and has_body(connection, one.index)
        ]
        index = (
            same[0]
            if same
            else session.log.append(
                connection, unsigned_entry("policy", datetime.now(UTC), body), body
            )
        )
    session.log.publish()
    return index


def _build_state(
    session: Session, store: Store, design: Design, progress: Progress, ranks: Ranks | None
) -> dict[str, HeadState]:
    """Prepare and store every training row, bucket by bucket; sum what is stored."""
    folder = session.prepared_folder(design.policy.training_id)
    remove_folder(folder)

    def create(rows: Iterator[tuple[int, Bucket]]) -> PreparedStore:
        return PreparedStore.create(folder, session.key, len(store.buckets()), rows)

    if ranks is not None:
        from mbd.workflows.ranks import build_with

        return build_with(ranks, session, store, design, create, progress)
    stored = create(training_rows(session, store, design, progress))
    return sum_rows(design.policy, stored.all_rows())
