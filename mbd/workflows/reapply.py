"""A backup made fit to serve again: what was revoked since is subtracted and erased from it.

All of it happens in the staged copy. Rows are subtracted from the staged state, the heads are
released anew, then rows and records are rewritten: what comes into force never held them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sqlalchemy import select

from mbd.data.buckets import MANIFEST
from mbd.data.prepared import PreparedRows, PreparedStore
from mbd.data.store import Store
from mbd.database import models, pointers
from mbd.database.engine import Database
from mbd.database.journal import FINISHED
from mbd.database.suppressions import Suppressions
from mbd.database.tables import request, suppression
from mbd.database.upgrade import upgrade_database
from mbd.deletion.plan import plan
from mbd.errors import RefusedError
from mbd.head.state import HeadState
from mbd.values import parse_availability
from mbd.workflows.current import CurrentModel
from mbd.workflows.release import release_exactly
from mbd.workflows.session import Session
from mbd.workflows.snapshots import (
    ModelSnapshot,
    StateSnapshot,
    derive_model,
    derive_state,
    remove_folder,
)
from mbd.workflows.sums import contributions


@dataclass(frozen=True, kw_only=True)
class Staged:
    """A staged copy of data, model and state."""

    folder: Path
    store: Store | None
    """None: nothing was imported when the backup was made."""
    model: CurrentModel | None = None
    """None: nothing was trained; then there are no state and no rows either."""
    state: StateSnapshot | None = None
    prepared: PreparedStore | None = None
    policy_index: int | None = None


@dataclass
class Doomed:
    """What the staged copy holds and may not be served."""

    channels: dict[str, set[str]] = field(default_factory=dict)
    """Modalities by subject."""
    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    """Prepared rows by subject and head."""
    state: dict[str, HeadState] = field(default_factory=dict)
    """What those rows add to each head."""

    def hold(self, subject: str, modality: str) -> None:
        """Note a channel that is there."""
        self.channels.setdefault(subject, set()).add(modality)

    def __len__(self) -> int:
        return sum(len(found) for found in self.channels.values())


def open_staged(folder: Path, key: bytes) -> Staged:
    """Open a staged copy; its `ledger.db` says which model and state were current.

    Raises:
        IntegrityError: A file is damaged, or the key is another workspace's.
    """
    data = folder / "data" / "store"
    store = Store.open(data, key) if (data / MANIFEST).is_file() else None
    upgrade_database(folder / "ledger.db")  # an older version may have made the backup
    with Database.open(folder / "ledger.db").read() as connection:
        model_pointer = pointers.get(connection, "model")
        state_pointer = pointers.get(connection, "state")
        if model_pointer is None or state_pointer is None:
            return Staged(folder=folder, store=store)
        snapshot = ModelSnapshot.from_pointer(folder / "models", model_pointer)
        index = models.policy_index(connection, snapshot.model_id)
    snapshot.check()
    model = CurrentModel.load(snapshot)
    return Staged(
        folder=folder,
        store=store,
        model=model,
        state=StateSnapshot.from_pointer(folder / "state", state_pointer),
        prepared=PreparedStore.open(folder / "data" / "prepared" / model.policy.training_id, key),
        policy_index=index,
    )


def forbidden(session: Session, ledger_size: int) -> Suppressions:
    """Channels that a backup made when the log had `ledger_size` entries may not bring back.

    All that are suppressed, but for open requests, which erase theirs themselves. And those
    that consent was granted for again, if the revocation came after the backup: consent is for
    what arrives later, never for old data.
    """
    query = select(
        suppression.c.key_hash, suppression.c.lifted_at, request.c.stage, request.c.entry_index
    ).join(request)
    with session.database.read() as connection:
        rows = connection.execute(query).all()
    hashes = frozenset(
        row.key_hash
        for row in rows
        if row.stage in FINISHED
        and (row.lifted_at is None or (row.entry_index or 0) >= ledger_size)
    )
    return Suppressions(session.key, hashes, frozenset(row.key_hash for row in rows) - hashes)


def find_doomed(staged: Staged, off: Suppressions) -> Doomed:
    """Everything of the forbidden channels in a staged copy."""
    doomed = Doomed()
    for _, outline in staged.store.outlines() if staged.store is not None else ():
        for subject, available in zip(outline.subjects, outline.available, strict=True):
            for modality in available:
                if off.blocks(subject, modality):
                    doomed.hold(subject, modality)
    if staged.prepared is None or staged.model is None:
        return doomed
    for rows_of in staged.prepared.all_rows():
        gone = {head: _split(head, rows, off)[1] for head, rows in rows_of.items()}
        for head, rows in gone.items():
            for subject in rows.subjects:
                counts = doomed.rows.setdefault(subject, {})
                counts[head] = counts.get(head, 0) + 1
        for head, part in contributions(staged.model.policy, gone).items():
            doomed.state[head] = doomed.state[head] + part if head in doomed.state else part
    return doomed


def heads_to_release(staged: Staged, doomed: Doomed) -> tuple[str, ...]:
    """The heads that learned from what is doomed, as a revocation would choose them.

    Raises:
        RefusedError: A block saw the data that cannot subtract it.
    """
    if staged.model is None or staged.store is None:
        return ()
    cohorts, chosen = staged.store.schema.cohorts, set[str]()
    for subject, modalities in doomed.channels.items():
        try:
            decided = plan(
                staged.model.policy.provenance,
                subject_cohort=cohorts.cohort_of(subject),
                modalities=frozenset(modalities),
                rows=doomed.rows.get(subject, {}),
            )
        except RefusedError as error:
            error.hint = (
                "restore a backup that was made after that retraining; or begin a new workspace "
                "with the data that may still be used"
            )
            raise
        chosen.update(decided.selected)
    return tuple(sorted(chosen | doomed.state.keys()))


def rebuild(
    staged: Staged, doomed: Doomed, heads: tuple[str, ...], model_id: str, state_id: str
) -> tuple[ModelSnapshot, StateSnapshot]:
    """State without the doomed rows and heads of that state, under new names; the old go.

    The heads are released exactly, without noise: a function of the state of a system that
    never held the rows. So a restore draws nothing that certificates would have to count.

    Raises:
        ArithmeticRefused: The rows cannot have been in the state.
    """
    assert staged.model is not None
    assert staged.state is not None
    policy, old = staged.model.policy, staged.model.snapshot
    after = _subtract(staged.state, doomed.state, heads)
    state = derive_state(staged.state, state_id, after)
    released = release_exactly(policy, after)
    model = derive_model(old, model_id, released)
    remove_folder(staged.state.folder)
    remove_folder(old.folder)
    return model, state


def erase_doomed(staged: Staged, off: Suppressions) -> None:
    """Rewrite every bucket of records and rows that holds something forbidden."""
    if staged.prepared is not None:
        for bucket in staged.prepared.buckets():
            rows = staged.prepared.read_bucket(bucket)
            kept = {head: _split(head, part, off)[0] for head, part in rows.items()}
            if any(len(kept[head]) != len(rows[head]) for head in rows):
                staged.prepared.write_bucket(bucket, kept)
    if staged.store is not None:
        for bucket, outline in list(staged.store.outlines()):
            held = zip(outline.subjects, outline.available, strict=True)
            if any(off.blocks(subject, name) for subject, names in held for name in names):
                records = staged.store.read_bucket(bucket)
                staged.store.replace_bucket(bucket, records.without(off.blocks))


def _split(head: str, rows: PreparedRows, off: Suppressions) -> tuple[PreparedRows, PreparedRows]:
    """The rows that may stay, and those that read a forbidden channel."""
    needed = parse_availability(head)
    bad = {who for who in set(rows.subjects) if any(off.blocks(who, name) for name in needed)}
    goes = np.array([who in bad for who in rows.subjects], np.bool_)
    return rows.select(np.flatnonzero(~goes)), rows.select(np.flatnonzero(goes))


def _subtract(
    state: StateSnapshot, gone: Mapping[str, HeadState], heads: tuple[str, ...]
) -> dict[str, HeadState]:
    held = {name: state.load(name) for name in heads}
    return {name: held[name] - gone[name] if name in gone else held[name] for name in heads}
