"""What a model learned without training again: state and heads catch up with the stored rows.

An addition says that it begins, stores its rows, then its records, then makes the new model and
state current, each at once or not at all. Killed between, it is settled by the next command:
rows without a record are of an addition that did not happen and go; all others are learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from mbd.canonical.json import dumps
from mbd.canonical.ulid import new_ulid
from mbd.data.prepared import Bucket, PreparedRows, PreparedStore
from mbd.database import models, pointers
from mbd.deletion.parameters import head_parameters
from mbd.head.state import HeadState
from mbd.ledger.entry import unsigned_entry
from mbd.signing.commitment import commit, new_salt
from mbd.values import Availability, parse_availability
from mbd.workflows.current import CurrentModel
from mbd.workflows.leftovers import remove_leftovers
from mbd.workflows.release import release_with_noise
from mbd.workflows.session import Session
from mbd.workflows.snapshots import ModelSnapshot, StateSnapshot, derive_model, derive_state
from mbd.workflows.sums import sum_rows

GROWTH = "growth"
STATE_AFTER = "stateAfter"
"""What a growth entry commits to, as a certificate does."""

Backing = Mapping[str, tuple[str, Availability]]
"""Subject and channels of each training record."""


@dataclass(frozen=True)
class Growth:
    """What learned more, written beside the old and not current yet."""

    before: ModelSnapshot
    model: ModelSnapshot
    state: StateSnapshot
    heads: tuple[str, ...]
    """Released anew; all others are the same files."""


@dataclass(frozen=True)
class Settled:
    """What became of an interrupted addition; empty if there was none."""

    learned: tuple[str, ...] = ()
    """Heads that learned the rest of it."""
    undone: int = 0
    """Rows that were taken back: their records never arrived."""


def begin_growth(session: Session) -> None:
    """Say that rows are about to be added: until `end_growth` they may not be the state's."""
    with session.database.transaction() as connection:
        pointers.set(connection, GROWTH, new_ulid(datetime.now(UTC)))


def unsettled(session: Session) -> bool:
    """Whether an addition has begun and not ended."""
    return _growth_id(session) is not None


def settle(session: Session) -> Settled:
    """Finish what a killed addition left, or undo it. Call it with the workspace's lock held.

    Raises:
        MbdError: The disk refused, or a file is damaged; nothing is in force that was not.
    """
    if not unsettled(session):
        return Settled()
    undone = _undo(session)
    growth = stage_growth(session, session.model(), {})
    end_growth(session, growth)
    return Settled(() if growth is None else growth.heads, undone)


def stage_growth(
    session: Session, model: CurrentModel, added: Mapping[str, HeadState]
) -> Growth | None:
    """State and heads of the stored rows, with fresh noise; None if nothing was added.

    Args:
        session: The workspace.
        model: The current model.
        added: What the new rows add to each head, if that is known: the state is then the
            old one plus this. Otherwise it is summed anew.

    Raises:
        ArithmeticRefused: A head cannot be released within its tolerance.
    """
    state, policy = session.state(), model.policy
    prepared = session.prepared(policy.training_id)
    heads = _differing(prepared, state)
    if not heads:
        return None
    rows = prepared.counts()
    states = {head: state.load(head) + added[head] for head in heads if head in added}
    unknown = {head for head in heads if head not in states or states[head].rows != rows[head]}
    if unknown:
        parts = ({h: r for h, r in b.items() if h in unknown} for b in prepared.all_rows())
        summed = sum_rows(policy, parts)
        states |= {head: summed[head] for head in unknown}
    constants = [head.constants for head in policy.heads.values()]
    parameters = head_parameters(constants, policy.default_epsilon, policy.default_delta)
    now = datetime.now(UTC)
    new_state = derive_state(state, new_ulid(now), states)
    released = release_with_noise(policy, states, [p for p in parameters if p.head in states])
    new_model = derive_model(model.snapshot, new_ulid(now), released)
    return Growth(model.snapshot, new_model, new_state, heads)


def end_growth(session: Session, growth: Growth | None) -> None:
    """One transaction: model, state and the ledger's entry; then what was before goes."""
    growth_id, salt, now = _growth_id(session), new_salt(), datetime.now(UTC)
    assert growth_id is not None, "it was begun"
    if growth is None:
        with session.database.transaction() as connection:
            pointers.clear(connection, GROWTH)
        return
    session.secrets.put_salts(growth_id, {STATE_AFTER: salt})
    body = dumps(
        {
            "growthId": growth_id,
            "heads": list(growth.heads),
            "modelAfter": growth.model.digest,
            STATE_AFTER: commit(salt, STATE_AFTER, growth.state.digest),
        }
    )
    with session.database.transaction() as connection:
        index = models.policy_index(connection, growth.before.model_id)
        pointers.set(connection, "model", growth.model.to_pointer())
        pointers.set(connection, "state", growth.state.to_pointer())
        models.add(connection, growth.model.model_id, index, growth.model.digest, now)
        session.log.append(connection, unsigned_entry("growth", now, body), body)
        pointers.clear(connection, GROWTH)
    session.log.publish()
    remove_leftovers(session)


def _growth_id(session: Session) -> str | None:
    with session.database.read() as connection:
        return pointers.get(connection, GROWTH)


def _differing(prepared: PreparedStore, state: StateSnapshot) -> tuple[str, ...]:
    rows = prepared.counts()
    return tuple(h for h, (_, known) in sorted(state.heads.items()) if rows.get(h, 0) != known)


def _undo(session: Session) -> int:
    """Remove rows that no training record stands behind; how many."""
    prepared = session.prepared(session.model().policy.training_id)
    backing, undone = _backing(session), 0
    changed: list[tuple[int, Bucket]] = []
    for bucket in prepared.buckets():
        held = prepared.read_bucket(bucket)
        kept = {head: _backed(head, rows, backing) for head, rows in held.items()}
        lost = sum(len(rows) - len(kept[head]) for head, rows in held.items())
        if lost:
            changed.append((bucket, kept))
            undone += lost
    if changed:
        prepared.write_buckets(changed)
    return undone


def _backing(session: Session) -> Backing:
    return {
        record_id: (subject, available)
        for _, one in session.store().outlines()
        for record_id, subject, split, available in zip(
            one.record_ids, one.subjects, one.splits, one.available, strict=True
        )
        if split == "train"
    }


def _backed(head: str, rows: PreparedRows, backing: Backing) -> PreparedRows:
    needed, nobody = parse_availability(head), ("", frozenset[str]())
    found = (backing.get(record_id, nobody) for record_id in rows.record_ids)
    keep = [
        owner == subject and needed <= available
        for subject, (owner, available) in zip(rows.subjects, found, strict=True)
    ]
    return rows.select(np.flatnonzero(keep))
