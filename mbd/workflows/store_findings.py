"""What `mbd doctor` finds in data, rows and folders: revoked channels, leftovers, gaps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mbd.data.buckets import MANIFEST, BucketFolder
from mbd.data.prepared import PreparedRows
from mbd.data.store import Store
from mbd.database.batches import Batches
from mbd.database.journal import Journal
from mbd.database.suppressions import Suppressions
from mbd.values import parse_availability
from mbd.workflows.batch import folders_needed
from mbd.workflows.current import CurrentModel
from mbd.workflows.findings import Finding, error, note, warning
from mbd.workflows.restoration import staged_folder
from mbd.workflows.session import Session, interrupted
from mbd.workflows.snapshots import unlisted

_ERASED = "restore a backup, which erases it: `mbd restore DIR`; then tell the person"
_SWEPT = "the next command that changes something removes it; `mbd resume` does so now"


def store_findings(session: Session) -> Iterator[Finding]:
    """Channels that are switched off and still stored; an open request may not be there yet."""
    with session.database.read() as connection:
        if Journal(connection).open_requests() or not session.has_data():
            return
    off, folder = session.suppressions, str(session.store_folder)
    for name in sorted(_stored(session.store(), off)):
        what = f"revoked {name} of somebody is still in the data store"
        yield error("suppression.stored", what, folder, _ERASED)
    if session.find_model() is None:
        return
    model = session.model()
    prepared = session.prepared(model.policy.training_id)
    for head in sorted({h for rows in prepared.all_rows() for h in _revoked_heads(rows, off)}):
        what = f"rows of head {head} with a revoked channel are still stored"
        yield error("suppression.rows", what, str(prepared.folder), _ERASED)
    rows = prepared.counts()
    for head, (_, known) in sorted(session.state().heads.items()):
        if rows.get(head, 0) != known:
            what = f"head {head} counts {known} rows, but {rows.get(head, 0)} are stored"
            todo = "`mbd resume` finishes an interrupted addition; then `mbd state check`"
            yield error("state.rows", what, str(prepared.folder), todo)


def unlearned_findings(session: Session) -> Iterator[Finding]:
    """Training records that no head has learned from."""
    if session.find_model() is None or not session.has_data():
        return
    model = session.model()
    prepared = session.prepared(model.policy.training_id)
    learned = {
        record_id
        for bucket in prepared.all_rows()
        for rows in bucket.values()
        for record_id in rows.record_ids
    }
    missing = sum(name not in learned for name in _training(session.store(), model))
    if missing:
        what = f"{missing} training records are stored that the model has not learned from"
        yield note("rows.unlearned", what, str(prepared.folder), "run `mbd train`")


def leftover_findings(session: Session) -> Iterator[Finding]:
    """Folders and files that nothing names: they may hold what somebody revokes later."""
    workspace, keep = session.workspace, _named(session)
    parents = (workspace.models, workspace.state, workspace.staging, session.prepared_root)
    for parent in parents:
        for path in sorted(parent.iterdir()) if parent.is_dir() else ():
            if path not in keep:
                yield _leftover(path)
    stores = [session.store_folder, *(p for p in keep if p.parent == session.prepared_root)]
    for folder in stores:
        if (folder / MANIFEST).is_file():
            named = set(BucketFolder.open(folder).paths())
            yield from (_leftover(p) for p in sorted(folder.iterdir()) if p not in named)
    found = {*workspace.root.glob(".*.partial"), *workspace.root.glob("*/.*.partial")}
    yield from (_leftover(path) for path in sorted(found))
    model = session.find_model()
    for path in unlisted(model) if model is not None else ():
        what = f"{path} is in the model's folder, but not part of it"
        yield warning("model.unlisted", what, str(path), "remove it, if you know what it is")


def _leftover(path: Path) -> Finding:
    return warning("leftover", f"{path} belongs to nothing that is in force", str(path), _SWEPT)


def _named(session: Session) -> set[Path]:
    """Folders that are in force, or that an open request or restore needs."""
    keep = {staged_folder(session.workspace)}
    for batch_id in interrupted(session):
        with session.database.read() as connection:
            keep.update(folders_needed(session, Batches(connection).get(batch_id)))
    snapshot = session.find_model()
    if snapshot is not None:
        keep |= {snapshot.folder, session.state().folder}
        keep.add(session.prepared_folder(session.model().policy.training_id))
    return keep


def _stored(store: Store, off: Suppressions) -> Iterator[str]:
    for _, outline in store.outlines():
        for subject, available in zip(outline.subjects, outline.available, strict=True):
            yield from (name for name in available if off.blocks(subject, name))


def _revoked_heads(rows: dict[str, PreparedRows], off: Suppressions) -> Iterator[str]:
    for head, found in rows.items():
        needed = parse_availability(head)
        if any(off.blocks(who, name) for who in set(found.subjects) for name in needed):
            yield head


def _training(store: Store, model: CurrentModel) -> Iterator[str]:
    """Ids of the training records that are not of a core's cohort."""
    cores = [block for block in model.policy.provenance if block.kind == "core"]
    seen = {cohort for block in cores for cohort in block.cohorts}
    for _, one in store.outlines():
        for record_id, cohort, split in zip(one.record_ids, one.cohorts, one.splits, strict=True):
            if split == "train" and cohort not in seen:
                yield record_id
