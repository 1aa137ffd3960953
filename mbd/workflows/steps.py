"""The walk of a batch up to its certificates: one function per step, each safe to repeat.

`received -> suppressed -> staged -> activated -> erased -> scanned`. A step does its work
first and records itself last, in one transaction with whatever must become visible together
with it. So a process killed anywhere leaves requests at a step whose work may be repeated,
and nothing happens twice that must happen once: noise is drawn again only if no release was
staged, and then counts as another attempt.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from mbd.certificate.scope import store_row
from mbd.data.erasure import bucket_files, erase_bucket
from mbd.data.needles import ScanResult, scan, scan_for
from mbd.database import models, pointers, suppressions
from mbd.database.batches import Batch, Batches
from mbd.errors import IntegrityError
from mbd.ledger.bodies import erase_policies
from mbd.workflows.batch import (
    ERASING,
    QUEUE,
    Report,
    current_rows,
    detail_of,
    erasure_of,
    folders_before,
    members_by_bucket,
)
from mbd.workflows.session import Session
from mbd.workflows.snapshots import ModelSnapshot, StateSnapshot, remove_folder, state_file
from mbd.workflows.stage import stage
from mbd.workflows.staging import StagedRelease


def suppress(session: Session, batch: Batch, report: Report) -> None:
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
        if batch.detail[QUEUE]:
            Batches(connection).queue(batch.batch_id)
    report.done(len(batch.members))


def activate(session: Session, batch: Batch, report: Report) -> None:
    """One transaction: model, state and requests move together."""
    release = StagedRelease.from_json(batch.detail["release"])
    model = ModelSnapshot.from_pointer(session.workspace.models, release.model_pointer)
    if report.taken_up:
        _check_staged(session, batch, release)
    with session.database.transaction() as connection:
        if release.model_pointer != batch.detail["modelBefore"]:
            pointers.set(connection, "model", release.model_pointer)
            pointers.set(connection, "state", release.state_pointer)
            entry = batch.detail["policyEntry"]
            models.add(connection, model.model_id, entry, model.digest, datetime.now(UTC))
        Batches(connection).advance(batch.batch_id, "activated")
    report.done(len(batch.members))


def erase(session: Session, batch: Batch, report: Report) -> None:
    """Rewrite the buckets without the data; destroy the old state and the old model."""
    if report.taken_up and not batch.detail.get(ERASING):
        _check_staged(session, batch, StagedRelease.from_json(batch.detail["release"]))
    with session.database.transaction() as connection:  # from here on nobody can cancel
        Batches(connection).note(batch.batch_id, {ERASING: True})
    store, prepared = session.store(), current_rows(session)
    for bucket, members in members_by_bucket(batch):
        erase_bucket(store, [prepared], erasure_of(session, batch, bucket))
        report.done(len(members))
    for folder in folders_before(session, batch):
        remove_folder(folder)
    retrained = batch.detail["method"] == "retrain"
    if retrained:
        with session.database.transaction() as connection:
            erase_policies(connection, keep=batch.detail["policyEntry"])
    session.database.purge(bodies=retrained)
    after = {"datasetAfter": _checked_root(session, batch)}
    with session.database.transaction() as connection:
        Batches(connection).advance(batch.batch_id, "erased", detail=after)


def search(session: Session, batch: Batch, report: Report) -> None:
    """Search what was rewritten for the erased values."""
    store, prepared = session.store(), current_rows(session)
    for bucket, members in members_by_bucket(batch):
        planned = erasure_of(session, batch, bucket)
        files = bucket_files(store, [prepared], planned)
        _refuse_found("records or prepared rows", scan(files, planned.needles()))
        report.done(len(members))
    listed = (erasure_of(session, batch, b).needles() for b, _ in members_by_bucket(batch))
    _refuse_found(
        "state, model, journal or ledger", scan_for(_common_files(session, batch), listed)
    )
    details = {
        member.request_id: {"stores": _stores(batch, bool(detail_of(member)["selected"]))}
        for member in batch.members
    }
    with session.database.transaction() as connection:
        Batches(connection).advance(batch.batch_id, "scanned", details=details)


STEPS: dict[str, Callable[[Session, Batch, Report], None]] = {
    "received": suppress,
    "suppressed": stage,
    "staged": activate,
    "activated": erase,
    "erased": search,
}
"""From each shared stage to the step that leaves it."""


def _check_staged(session: Session, batch: Batch, release: StagedRelease) -> None:
    """Refuse to go on with files that came to harm: those before can still be returned to.

    Raises:
        IntegrityError: A file is missing, torn or altered; names it.
    """
    ModelSnapshot.from_pointer(session.workspace.models, release.model_pointer).check()
    state = StateSnapshot.from_pointer(session.workspace.state, release.state_pointer)
    for head in state.heads:
        state.load(head)
    for bucket, _ in members_by_bucket(batch):
        erasure_of(session, batch, bucket)


def _checked_root(session: Session, batch: Batch) -> str:
    """The root of the data as it is now on disk, which must be the one that was planned.

    The search looks for bytes and can only find what is distinctive; this looks at the records.
    """
    root = session.store().root()
    same = root == batch.detail["datasetBefore"]
    if root != batch.detail["datasetPlanned"] or same == bool(batch.detail["items"]):
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


def _common_files(session: Session, batch: Batch) -> list[Path]:
    """Files of everybody that were written anew, and those that should never have held it."""
    state, model = session.state(), session.model().snapshot
    old = StateSnapshot.from_pointer(session.workspace.state, batch.detail["stateBefore"]).heads
    changed = [name for name, found in state.heads.items() if old.get(name) != found]
    return [
        *sorted(state.folder / state_file(name) for name in changed),
        *sorted(path for path in model.folder.rglob("*") if path.is_file()),
        *sorted(session.workspace.root.glob("ledger.db*")),
    ]


def _stores(batch: Batch, replaced: bool) -> list[dict[str, str]]:
    """What was done to each store; reached only if the search found nothing."""
    if batch.detail["method"] == "retrain":
        return [
            store_row("records", "rewritten"),
            store_row("prepared rows", "replaced"),
            store_row("state", "replaced"),
            store_row("model", "retrained"),
            store_row("journal and ledger", "policies-erased"),
        ]
    found = [
        store_row("records", "rewritten"),
        store_row("prepared rows", "rewritten" if replaced else "none"),
    ]
    if replaced:
        found += [store_row("state", "replaced"), store_row("model", "replaced")]
    return [*found, store_row("journal and ledger", "never-held")]
