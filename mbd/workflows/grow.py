"""Data that arrives while a model serves: held, learned by the heads, served; no retraining."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from mbd.data.columns import Outline
from mbd.data.intake import Intake, take_in
from mbd.data.prepared import Bucket, PreparedRows, PreparedStore
from mbd.data.records import Records
from mbd.data.schema import DatasetSchema
from mbd.errors import MbdError, NotFoundError, RefusedError
from mbd.head.state import HeadState
from mbd.values import Availability, parse_availability
from mbd.workflows.growth import Growth, begin_growth, end_growth, settle, stage_growth
from mbd.workflows.model import ServedModel
from mbd.workflows.policy import Policy
from mbd.workflows.rows import core_cohorts, learning_rows, prepare
from mbd.workflows.session import Session
from mbd.workflows.sums import contributions

Learned = frozenset[tuple[str, str]]
"""(head, record id) of every row that is stored."""


@dataclass(frozen=True, kw_only=True)
class Added:
    """What became of data that was added."""

    intake: Intake
    learned: Mapping[str, int]
    """New rows of each head that has any."""
    model: str | None
    """Id of the current model; None without one."""
    state: str | None
    """Digest of the current state; None without a model."""


def add_data(session: Session, records: Records, schema: DatasetSchema) -> Added:
    """Hold `records`, and let the heads learn every training record they have no row of.

    The state is the one that training on everything would have summed under the same policy:
    contributions are added to it. Killed at any instant, all of it has happened after the
    next command, or none of it. Call it with the workspace's lock held.

    Raises:
        NotFoundError: Nothing was imported yet.
        DataError: The records cannot be held. Nothing changed.
        ConflictError: A record is held already, or they are of another data set.
        RefusedError: The heads are planned for fewer rows. Nothing changed.
    """
    if not session.has_data():
        raise NotFoundError(
            "this workspace holds no data yet that more could be added to",
            code="data.not_found",
            hint="`mbd data import SRC --spec SPEC` takes the first",
        )
    learning = None if session.find_model() is None else Learning(session)
    try:
        intake = take_in(
            session.store_folder,
            session.key,
            records,
            schema,
            session.suppressions,
            before=learning or (lambda kept, held: None),
        )
    except MbdError:
        with suppress(MbdError):  # what failed matters more; the next writer settles it
            settle(session)
        raise
    if learning is None:
        return Added(intake=intake, learned={}, model=None, state=None)
    end_growth(session, learning.growth)
    model, state = session.model().snapshot, session.state()
    return Added(intake=intake, learned=learning.learned, model=model.model_id, state=state.digest)


@dataclass
class Learning:
    """Learns what is about to be held: rows, state and heads, none of them current yet."""

    session: Session
    growth: Growth | None = None
    learned: dict[str, int] = field(default_factory=dict)

    def __call__(self, arriving: Records, held: Sequence[Outline]) -> None:
        """Store the rows and write what the model becomes.

        Args:
            arriving: Found good, and not held yet.
            held: What is.

        Raises:
            RefusedError: The heads are planned for fewer rows.
            ArithmeticRefused: A head cannot be released within its tolerance.
        """
        current = self.session.model()
        policy = current.policy
        prepared = self.session.prepared(policy.training_id)
        known: Learned = frozenset()
        wanted = learning_rows(policy, arriving)
        if _expected(policy, held) != prepared.counts():
            known = _learned(prepared)
            wanted = Records.concat([wanted, _forgotten(self.session, policy, known)])
        _refuse_overflow(policy, prepared.counts(), wanted)
        prepared.spread(len(self.session.store().buckets()))  # files of rows stay small too
        begin_growth(self.session)
        model = ServedModel(current.snapshot, policy)
        added: dict[str, HeadState] = {}
        prepared.add(self._rows(model, prepared, wanted, known, added))
        self.growth = stage_growth(self.session, current, added)

    def _rows(
        self,
        model: ServedModel,
        prepared: PreparedStore,
        wanted: Records,
        known: Learned,
        added: dict[str, HeadState],
    ) -> Iterator[tuple[int, Bucket]]:
        """New rows, bucket by bucket, summed while they pass."""
        buckets: dict[int, list[int]] = {}
        for index, subject in enumerate(wanted.subjects):
            buckets.setdefault(prepared.bucket_of(subject), []).append(index)
        for bucket in sorted(buckets):
            found = prepare(model.extractor, model.policy, wanted.select(buckets[bucket]))
            rows = {head: _without(head, one, known) for head, one in found.items()}
            for head, state in contributions(model.policy, rows).items():
                added[head] = added[head] + state if head in added else state
                self.learned[head] = self.learned.get(head, 0) + state.rows
            yield bucket, rows


def _expected(policy: Policy, held: Sequence[Outline]) -> dict[str, int]:
    """Rows per head once everything held is learned."""
    seen = core_cohorts(policy)
    learning = [
        available
        for one in held
        for cohort, split, available in zip(one.cohorts, one.splits, one.available, strict=True)
        if split == "train" and cohort not in seen
    ]
    return _rows_per_head(policy, learning)


def _rows_per_head(policy: Policy, learning: Sequence[Availability]) -> dict[str, int]:
    needed = {head: parse_availability(head) for head in policy.heads}
    rows = {head: sum(p <= available for available in learning) for head, p in needed.items()}
    return {head: count for head, count in rows.items() if count}


def _learned(prepared: PreparedStore) -> Learned:
    return frozenset(
        (head, record_id)
        for bucket in prepared.all_rows()
        for head, rows in bucket.items()
        for record_id in rows.record_ids
    )


def _forgotten(session: Session, policy: Policy, known: Learned) -> Records:
    """Records that were imported without being learned."""
    store, parts = session.store(), []
    for bucket in store.buckets():
        records = store.read_bucket(bucket).unsuppressed(session.suppressions)
        learning = learning_rows(policy, records)
        parts.append(learning.select(_unknown(policy, learning, known)))
    return Records.concat(parts, store.schema.names)


def _unknown(policy: Policy, records: Records, known: Learned) -> Iterator[int]:
    needed = {head: parse_availability(head) for head in policy.heads}
    for index, record_id in enumerate(records.record_ids):
        available = records.availability(index)
        if any(p <= available and (head, record_id) not in known for head, p in needed.items()):
            yield index


def _without(head: str, rows: PreparedRows, known: Learned) -> PreparedRows:
    new = [(head, record_id) not in known for record_id in rows.record_ids]
    return rows if all(new) else rows.select(np.flatnonzero(new))


def _refuse_overflow(policy: Policy, rows: Mapping[str, int], wanted: Records) -> None:
    """Heads are released within their tolerance for so many rows, as was announced."""
    new = _rows_per_head(policy, [wanted.availability(i) for i in range(len(wanted))])
    most = max((rows.get(head, 0) + count for head, count in new.items()), default=0)
    if most > policy.planned_rows:
        raise RefusedError(
            f"a head would learn {most} rows, but the heads are planned for {policy.planned_rows}",
            code="data.planned_rows",
            field="heads.planned_rows",
            hint="`mbd data import` takes the data; then train with a larger heads.planned_rows",
        )
