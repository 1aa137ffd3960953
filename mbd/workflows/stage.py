"""The step that makes the release: new state, new heads and the lists of what to erase.

Everything is written beside the old, and looked at before it is recorded: a release that
keeps what saw the data is refused here, while nothing has changed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mbd.canonical.json import dumps
from mbd.data.erasure import Erasing, plan_bucket
from mbd.data.prepared import PreparedStore
from mbd.data.store import Store
from mbd.database import models
from mbd.database.batches import Batch, Batches
from mbd.database.journal import Request
from mbd.database.suppressions import keyed_hash
from mbd.deletion.plan import DeletionPlan, Method
from mbd.deletion.taint import ModelFacts, Removal, check_taint
from mbd.errors import IntegrityError
from mbd.ledger.entry import unsigned_entry
from mbd.signing.commitment import commit, new_salt
from mbd.workflows.batch import Report, by_bucket, detail_of, erasure_path, staging_folder
from mbd.workflows.current import CurrentModel
from mbd.workflows.left_out import check_left_out
from mbd.workflows.plans import RowCounts, count_rows, model_facts, plan_request, removed_rows
from mbd.workflows.session import Session
from mbd.workflows.snapshots import ModelSnapshot, StateSnapshot
from mbd.workflows.staging import Release, StagedRelease, stage_release
from mbd.workspace.files import storage_errors


def stage(session: Session, batch: Batch, report: Report) -> None:
    """New state, released heads and the lists of what to erase, written beside the old."""
    started = time.perf_counter()
    model, state, store = session.model(), session.state(), session.store()
    prepared = session.prepared(model.policy.training_id)
    folder = staging_folder(session, batch.batch_id)
    with storage_errors(folder):  # a killed one's lists are replaced, its checkpoints taken up
        folder.mkdir(mode=0o700, exist_ok=True)
    _refuse_in_service(session, batch)
    planned = _plan(session, batch, model, prepared, report)
    learned_from: str | None = None
    if batch.detail["method"] == "retrain":
        release, learned_from = _retrained(session, batch, report)
    else:
        release = _subtracted(session, batch, prepared, planned.removals)
    with session.database.read() as connection:
        policy_entry = models.policy_index(connection, model.snapshot.model_id)
    after = _facts_after(session, release, policy_entry)
    before = model_facts(model, state, policy_entry)
    check_taint(before, after, list(planned.removals.values()))
    if learned_from is not None:
        check_left_out(
            store,
            session.suppressions,
            batch.members,
            prepared=session.prepared(batch.detail["trainingAfter"]),
            learned_from=learned_from,
        )
    outcome = {
        "release": release.to_json(),
        "modelBefore": model.snapshot.to_pointer(),
        "stateBefore": state.to_pointer(),
        "policyEntry": after.policy_entry,
        "trainingBefore": model.policy.training_id,
        "datasetBefore": store.root(),
        "datasetPlanned": store.root(planned.roots),
        "items": planned.items,
        "engineSeconds": time.perf_counter() - started,
    }
    with session.database.transaction() as connection:
        Batches(connection).advance(
            batch.batch_id, "staged", detail=outcome, details=planned.details
        )


def _refuse_in_service(session: Session, batch: Batch) -> None:
    """What is about to be removed must be off: whatever is made next could learn it again."""
    off = session.suppressions
    for member in batch.members:
        subject = detail_of(member)["subject"]
        if not all(off.blocks(subject, name) for name in detail_of(member)["modalities"]):
            raise IntegrityError(
                f"a channel of request {member.request_id} is not switched off",
                code="request.in_service",
                hint=f"`mbd revoke --cancel {member.request_id}`, then ask again",
            )


@dataclass(frozen=True)
class _Planned:
    """What is going to happen, by request; the lists of what to erase are written."""

    removals: Mapping[str, Removal]
    details: Mapping[str, Mapping[str, Any]]
    """For the journal."""
    roots: Mapping[int, str]
    """Root (hex) of each bucket once it is rewritten."""
    items: int
    """How much there is to erase; nothing, if other requests took it."""


def _plan(
    session: Session, batch: Batch, model: CurrentModel, prepared: PreparedStore, report: Report
) -> _Planned:
    """Plan the requests bucket by bucket, each with what those before it leave."""
    store = session.store()
    removals: dict[str, Removal] = {}
    details: dict[str, dict[str, Any]] = {}
    roots: dict[int, str] = {}
    with_one: dict[str, tuple[int, str]] = {}
    items = 0
    method: Method = batch.detail["method"]
    for bucket, members in by_bucket(store, batch.members):
        planned = plan_bucket(store, [prepared], bucket, [_erasing(one) for one in members])
        planned.save(erasure_path(session, batch.batch_id, bucket))
        roots[bucket] = planned.root_after
        items += sum(len(one.items) for one in planned.plans)
        counts = count_rows(prepared, [detail_of(member)["subject"] for member in members])
        for member in members:
            decided = plan_request(model, store.schema, detail_of(member), counts, method)
            removals[member.request_id] = _removal(store, detail_of(member), counts, decided)
            own = planned.plan_of(member.request_id)
            with_one[member.request_id] = (bucket, own.root_with)
            details[member.request_id] = {
                "bucket": bucket,
                "class": decided.guarantee_class,
                "selected": list(decided.selected),
                "deletedSet": own.deleted_set,
            }
        report.done(len(members))
    # Of each alone: what the others gave stands in nobody's receipt but their own.
    before = store.roots_with_one_more(roots, with_one.values())
    for name, root in zip(with_one, before, strict=True):
        details[name]["datasetBefore"] = root
    return _Planned(removals, details, roots, items)


def _removal(
    store: Store, detail: Mapping[str, Any], counts: RowCounts, decided: DeletionPlan
) -> Removal:
    subject = detail["subject"]
    return Removal(
        cohort=store.schema.cohorts.cohort_of(subject),
        rows={head: found.get(subject, 0) for head, found in counts.items()},
        plan=decided,
    )


def _subtracted(
    session: Session, batch: Batch, prepared: PreparedStore, removals: Mapping[str, Removal]
) -> StagedRelease:
    """One release for all of them: every head that one of them selects."""
    detail, state = batch.detail, session.state()
    plans = {name: removal.plan for name, removal in removals.items()}
    release = Release(
        selected=sorted({head for decided in plans.values() for head in decided.selected}),
        noise=any(decided.guarantee_class == "certified" for decided in plans.values()),
        epsilon=detail["epsilon"],
        delta=detail["delta"],
        model_id=detail["modelAfter"],
        state_id=detail["stateAfter"],
    )
    origins = {
        member.request_id: keyed_hash(session.key, "origin", detail_of(member)["subject"])
        for member in batch.members
        if plans[member.request_id].guarantee_class == "certified"
    }
    return stage_release(
        session.model(),
        state,
        removed_rows(prepared, [detail_of(member) for member in batch.members]),
        release,
        before_noise=lambda: _count_attempt(session, batch, origins),
    )


def _count_attempt(session: Session, batch: Batch, origins: Mapping[str, str]) -> None:
    """Log that noise is about to be drawn: a drawing that is lost in a crash counts too."""
    body = dumps({"attempt": commit(new_salt(), "attempt", batch.batch_id)})
    with session.database.transaction() as connection:
        Batches(connection).count_attempt(batch.batch_id, origins)
        entry = unsigned_entry("attempt", datetime.now(UTC), body)
        session.log.append(connection, entry, body)


def _retrained(session: Session, batch: Batch, report: Report) -> tuple[StagedRelease, str]:
    """Every block anew, from what is held and not suppressed; the root of what was used."""
    from mbd.workflows.retrain import stage_retraining  # imports torch, which takes seconds

    found = stage_retraining(
        session,
        staging_folder(session, batch.batch_id),
        training_id=batch.detail["trainingAfter"],
        model_id=batch.detail["modelAfter"],
        state_id=batch.detail["stateAfter"],
        note=report.note,
    )
    release = StagedRelease(
        model_pointer=found.model_pointer,
        state_pointer=found.state_pointer,
        policy_entry=found.policy_entry,
    )
    return release, found.learned_from


def _facts_after(session: Session, release: StagedRelease, policy_entry: int) -> ModelFacts:
    """Of what was staged, as its own files declare it."""
    models_folder, states = session.workspace.models, session.workspace.state
    model = ModelSnapshot.from_pointer(models_folder, release.model_pointer)
    model.check()  # also the files that were carried over
    entry = policy_entry if release.policy_entry is None else release.policy_entry
    state = StateSnapshot.from_pointer(states, release.state_pointer)
    return model_facts(CurrentModel.load(model), state, entry)


def _erasing(member: Request) -> Erasing:
    detail = detail_of(member)
    return Erasing(
        request=member.request_id,
        subject=detail["subject"],
        modalities=tuple(detail["modalities"]),
    )
