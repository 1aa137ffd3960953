"""The walk of a batch up to its certificates: one function per step, each safe to repeat.

`received -> suppressed -> staged -> activated -> erased -> scanned`. A step does its work
first and records itself last, in one transaction with whatever must become visible together
with it. So a process killed anywhere leaves requests at a step whose work may be repeated,
and nothing happens twice that must happen once: noise is drawn again only if no release was
staged, and then counts as another attempt.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mbd.canonical.json import dumps
from mbd.certificate.scope import store_row
from mbd.data.erasure import BucketErasure, Erasing, erase_bucket, plan_bucket
from mbd.data.needles import ScanResult, scan, scan_for
from mbd.data.prepared import PreparedRows, PreparedStore
from mbd.data.schema import DatasetSchema
from mbd.data.store import Store
from mbd.database import models, pointers, suppressions
from mbd.database.batches import Batch, Batches
from mbd.database.journal import Request
from mbd.database.suppressions import keyed_hash
from mbd.deletion.plan import DeletionPlan, Method, plan
from mbd.errors import IntegrityError
from mbd.ledger.entry import unsigned_entry
from mbd.signing.commitment import commit, new_salt
from mbd.values import parse_availability
from mbd.workflows.current import CurrentModel
from mbd.workflows.session import Session
from mbd.workflows.snapshots import ModelSnapshot, StateSnapshot, remove_folder
from mbd.workflows.staging import Release, StagedRelease, stage_release
from mbd.workspace.files import storage_errors

Progress = Callable[[int], None]
"""Told how many more requests a step is done with."""


def suppress(session: Session, batch: Batch, progress: Progress) -> None:
    """From here on nobody uses the channels, whatever arrives."""
    now = datetime.now(UTC)
    with session.database.transaction() as connection:
        for member in batch.members:
            detail = detail_of(member)
            for modality in detail["modalities"]:
                suppressions.add(
                    connection, session.key, detail["subject"], modality, now, member.request_id
                )
        Batches(connection).advance(batch.batch_id, "suppressed")
    progress(len(batch.members))


def stage(session: Session, batch: Batch, progress: Progress) -> None:
    """New state, released heads and the lists of what to erase, written beside the old."""
    started = time.perf_counter()
    model, state, store = session.model(), session.state(), session.store()
    prepared = session.prepared(model.policy.training_id)
    folder = staging_folder(session, batch.batch_id)
    remove_folder(folder)
    with storage_errors(folder):
        folder.mkdir(mode=0o700)
    decided: dict[str, DeletionPlan] = {}
    details: dict[str, dict[str, Any]] = {}
    roots: dict[int, str] = {}
    method: Method = batch.detail["method"]
    for bucket, members in by_bucket(store, batch.members):
        planned = plan_bucket(store, [prepared], bucket, [_erasing(one) for one in members])
        planned.save(erasure_path(session, batch.batch_id, bucket))
        roots[bucket] = planned.root_after
        counts = count_rows(prepared, [detail_of(member)["subject"] for member in members])
        for member in members:
            one = plan_request(model, store.schema, detail_of(member), counts, method)
            decided[member.request_id] = one
            details[member.request_id] = {
                "bucket": bucket,
                "class": one.guarantee_class,
                "selected": list(one.selected),
                "deletedSet": planned.plan_of(member.request_id).deleted_set,
            }
        progress(len(members))
    release = _release_of(session, batch, model, prepared, decided)
    with session.database.read() as connection:
        policy_entry = models.policy_index(connection, model.snapshot.model_id)
    outcome = {
        "release": release.to_json(),
        "modelBefore": model.snapshot.to_pointer(),
        "stateBefore": state.to_pointer(),
        "policyEntry": policy_entry if release.policy_entry is None else release.policy_entry,
        "datasetBefore": store.root(),
        "datasetPlanned": store.root(roots),
        "engineSeconds": time.perf_counter() - started,
    }
    with session.database.transaction() as connection:
        Batches(connection).advance(batch.batch_id, "staged", detail=outcome, details=details)


def activate(session: Session, batch: Batch, progress: Progress) -> None:
    """One transaction: model, state and requests move together."""
    release = StagedRelease.from_json(batch.detail["release"])
    model = ModelSnapshot.from_pointer(session.workspace.models, release.model_pointer)
    with session.database.transaction() as connection:
        if release.model_pointer != batch.detail["modelBefore"]:
            pointers.set(connection, "model", release.model_pointer)
            pointers.set(connection, "state", release.state_pointer)
            entry = batch.detail["policyEntry"]
            models.add(connection, model.model_id, entry, model.digest, datetime.now(UTC))
        Batches(connection).advance(batch.batch_id, "activated")
    progress(len(batch.members))


def erase(session: Session, batch: Batch, progress: Progress) -> None:
    """Rewrite the buckets without the data; destroy the old state and the old model."""
    with session.database.transaction() as connection:  # from here on nobody can cancel
        Batches(connection).note(batch.batch_id, {ERASING: True})
    store, prepared = session.store(), current_rows(session)
    for bucket, members in _members_by_bucket(batch):
        erase_bucket(store, [prepared], erasure_of(session, batch, bucket))
        progress(len(members))
    for folder in folders_before(session, batch):
        remove_folder(folder)
    session.database.truncating_checkpoint()
    after = {"datasetAfter": _checked_root(session, batch)}
    with session.database.transaction() as connection:
        Batches(connection).advance(batch.batch_id, "erased", detail=after)


def search(session: Session, batch: Batch, progress: Progress) -> None:
    """Search what was rewritten for the erased values."""
    store, prepared = session.store(), current_rows(session)
    for bucket, members in _members_by_bucket(batch):
        needles = erasure_of(session, batch, bucket).needles()
        _refuse_found("records", scan(store.bucket_files(bucket), needles))
        subjects = {detail_of(member)["subject"] for member in members}
        rows = {path for who in subjects for path in prepared.bucket_files(prepared.bucket_of(who))}
        _refuse_found("prepared rows", scan(sorted(rows), needles))
        progress(len(members))
    listed = (erasure_of(session, batch, b).needles() for b, _ in _members_by_bucket(batch))
    _refuse_found("state, model, journal or ledger", scan_for(_common_files(session), listed))
    details = {
        member.request_id: {"stores": _stores(bool(detail_of(member)["selected"]))}
        for member in batch.members
    }
    with session.database.transaction() as connection:
        Batches(connection).advance(batch.batch_id, "scanned", details=details)


STEPS: dict[str, Callable[[Session, Batch, Progress], None]] = {
    "received": suppress,
    "suppressed": stage,
    "staged": activate,
    "activated": erase,
    "erased": search,
}
"""From each shared stage to the step that leaves it."""

ERASING = "erasing"
"""Set in a batch's detail when erasure begins."""


RowCounts = Mapping[str, Mapping[str, int]]
"""Prepared rows by head and subject."""


def count_rows(prepared: PreparedStore, subjects: Iterable[str]) -> RowCounts:
    """How many rows each head has of these subjects (and of those beside them)."""
    found: dict[str, Counter[str]] = {}
    for bucket in sorted({prepared.bucket_of(subject) for subject in subjects}):
        for head, rows in prepared.read_bucket(bucket).items():
            found.setdefault(head, Counter()).update(rows.subjects)
    return found


def plan_request(
    model: CurrentModel,
    schema: DatasetSchema,
    detail: Mapping[str, Any],
    counts: RowCounts,
    method: Method,
) -> DeletionPlan:
    """The plan of one request, from declared provenance and the subject's rows per head.

    Raises:
        RefusedError: A block saw the data that cannot subtract it.
    """
    subject = detail["subject"]
    return plan(
        model.policy.provenance,
        subject_cohort=schema.cohorts.cohort_of(subject),
        modalities=frozenset(detail["modalities"]),
        rows={head: found.get(subject, 0) for head, found in counts.items()},
        method=method,
    )


def _release_of(
    session: Session,
    batch: Batch,
    model: CurrentModel,
    prepared: PreparedStore,
    decided: Mapping[str, DeletionPlan],
) -> StagedRelease:
    """One release for all of them: every head that one of them selects."""
    detail = batch.detail
    classes = {found.guarantee_class for found in decided.values()}
    release = Release(
        selected=sorted({head for found in decided.values() for head in found.selected}),
        noise="certified" in classes,
        epsilon=detail["epsilon"],
        delta=detail["delta"],
        model_id=detail["modelAfter"],
        state_id=detail["stateAfter"],
    )
    state = session.state()
    origins = {
        member.request_id: keyed_hash(
            session.key, "origin", state.state_id, detail_of(member)["subject"]
        )
        for member in batch.members
        if decided[member.request_id].guarantee_class == "certified"
    }
    return stage_release(
        model,
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


def removed_rows(
    prepared: PreparedStore, details: Iterable[Mapping[str, Any]]
) -> Iterator[dict[str, PreparedRows]]:
    """The prepared rows that go, bucket by bucket: those of heads that read what is revoked."""
    gone: dict[int, dict[str, set[str]]] = {}
    for detail in details:
        subject = detail["subject"]
        near = gone.setdefault(prepared.bucket_of(subject), {})
        near.setdefault(subject, set()).update(detail["modalities"])
    for bucket, revoked in sorted(gone.items()):
        found = {
            head: rows.select(_going(rows, parse_availability(head), revoked))
            for head, rows in prepared.read_bucket(bucket).items()
        }
        yield {head: rows for head, rows in found.items() if len(rows)}


def _going(
    rows: PreparedRows, reads: frozenset[str], revoked: Mapping[str, set[str]]
) -> npt.NDArray[np.intp]:
    """Indices of the rows of people who revoked something that the head reads."""
    return np.flatnonzero([not reads.isdisjoint(revoked.get(who, ())) for who in rows.subjects])


def by_bucket(store: Store, members: Iterable[Request]) -> Iterator[tuple[int, list[Request]]]:
    """Requests by the bucket of their subject, in its order."""
    found: dict[int, list[Request]] = {}
    for member in members:
        found.setdefault(store.bucket_of(detail_of(member)["subject"]), []).append(member)
    return iter(sorted(found.items()))


def current_rows(session: Session) -> PreparedStore:
    """The prepared rows of the current model."""
    return session.prepared(session.model().policy.training_id)


def folders_before(session: Session, batch: Batch) -> list[Path]:
    """Model and state that the batch replaced; none if it replaced nothing."""
    release, workspace = StagedRelease.from_json(batch.detail["release"]), session.workspace
    before = ModelSnapshot.from_pointer(workspace.models, batch.detail["modelBefore"])
    state = StateSnapshot.from_pointer(workspace.state, batch.detail["stateBefore"])
    if release.model_pointer == batch.detail["modelBefore"]:
        return []
    return [before.folder, state.folder]


def staged_folders(session: Session, batch: Batch) -> list[Path]:
    """Where staging writes, whether it did yet or not."""
    workspace, detail = session.workspace, batch.detail
    return [
        staging_folder(session, batch.batch_id),
        workspace.models / detail["modelAfter"],
        workspace.state / detail["stateAfter"],
        session.prepared_folder(detail["trainingAfter"]),
    ]


def folders_needed(session: Session, batch: Batch) -> list[Path]:
    """Every folder that an interrupted batch may still need, whether it is there or not."""
    found = staged_folders(session, batch)
    return found if "release" not in batch.detail else [*found, *folders_before(session, batch)]


def _checked_root(session: Session, batch: Batch) -> str:
    """The root of the data as it is now on disk, which must be the one that was planned.

    The search looks for bytes and can only find what is distinctive; this looks at the records.
    """
    root = session.store().root()
    if root != batch.detail["datasetPlanned"] or root == batch.detail["datasetBefore"]:
        raise IntegrityError(
            "the data set after erasure is not the one that was planned",
            code="erasure.incomplete",
            hint="the request stays open; run `mbd resume`",
        )
    return root


def _refuse_found(store: str, result: ScanResult) -> None:
    if result.found:
        first = result.found[0]
        raise IntegrityError(
            f"{first.file}: {first.what} is still there after erasure ({store})",
            code="scan.found",
            hint="the request stays open; remove the leftover, then run `mbd resume`",
        )


def _common_files(session: Session) -> list[Path]:
    """Files of everybody: state, model, journal and ledger."""
    state, model = session.state(), session.model().snapshot
    return [
        *sorted(state.folder.iterdir()),
        *sorted(path for path in model.folder.rglob("*") if path.is_file()),
        *sorted(session.workspace.root.glob("ledger.db*")),
    ]


def _stores(replaced: bool) -> list[dict[str, str]]:
    """What was done to each store; reached only if the search found nothing."""
    found = [
        store_row("records", "rewritten"),
        store_row("prepared rows", "rewritten" if replaced else "none"),
    ]
    if replaced:
        found += [store_row("state", "replaced"), store_row("model", "replaced")]
    return [*found, store_row("journal and ledger", "never-held")]


def _members_by_bucket(batch: Batch) -> list[tuple[int, list[Request]]]:
    found: dict[int, list[Request]] = {}
    for member in batch.members:
        found.setdefault(detail_of(member)["bucket"], []).append(member)
    return sorted(found.items())


def _erasing(member: Request) -> Erasing:
    detail = detail_of(member)
    return Erasing(
        request=member.request_id,
        subject=detail["subject"],
        modalities=tuple(detail["modalities"]),
    )


def staging_folder(session: Session, batch_id: str) -> Path:
    """Where a batch keeps what it needs until it is completed."""
    return session.workspace.staging / batch_id


def erasure_path(session: Session, batch_id: str, bucket: int) -> Path:
    """The list of what is erased in one bucket."""
    return staging_folder(session, batch_id) / f"erase-{bucket:06d}.json"


def erasure_of(session: Session, batch: Batch, bucket: int) -> BucketErasure:
    """What is erased in one bucket."""
    return BucketErasure.load(erasure_path(session, batch.batch_id, bucket))


def detail_of(member: Request) -> dict[str, Any]:
    """What the steps know about an open request."""
    assert member.detail is not None, "an open request has its detail"
    return member.detail
