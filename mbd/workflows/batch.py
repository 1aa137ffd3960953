"""What a batch keeps where: its requests by bucket, its folders, its lists of what to erase."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbd.data.erasure import BucketErasure
from mbd.data.prepared import PreparedStore
from mbd.data.store import Store
from mbd.database.batches import Batch
from mbd.database.journal import Request
from mbd.workflows.session import Session
from mbd.workflows.snapshots import ModelSnapshot, StateSnapshot
from mbd.workflows.staging import StagedRelease


@dataclass(frozen=True)
class Report:
    """Who is told how a step is getting on."""

    done: Callable[[int], None]
    """With how many more requests it is done."""
    note: Callable[[str], None]
    """What it is doing, where that takes long."""
    taken_up: bool = False
    """Whether the step before was taken by another process: its files may have come to harm."""


QUEUE = "queue"
"""Set in a batch's detail if it is to wait once its channels are suppressed."""

ERASING = "erasing"
"""Set in a batch's detail when erasure begins."""


def detail_of(member: Request) -> dict[str, Any]:
    """What the steps know about an open request."""
    assert member.detail is not None, "an open request has its detail"
    return member.detail


def by_bucket(store: Store, members: Iterable[Request]) -> Iterator[tuple[int, list[Request]]]:
    """Requests by the bucket of their subject, in its order."""
    found: dict[int, list[Request]] = {}
    for member in members:
        found.setdefault(store.bucket_of(detail_of(member)["subject"]), []).append(member)
    return iter(sorted(found.items()))


def members_by_bucket(batch: Batch) -> list[tuple[int, list[Request]]]:
    """The requests of a staged batch by the bucket of their subject."""
    found: dict[int, list[Request]] = {}
    for member in batch.members:
        found.setdefault(detail_of(member)["bucket"], []).append(member)
    return sorted(found.items())


def current_rows(session: Session) -> PreparedStore:
    """The prepared rows of the current model."""
    return session.prepared(session.model().policy.training_id)


def staging_folder(session: Session, batch_id: str) -> Path:
    """Where a batch keeps what it needs until it is completed."""
    return session.workspace.staging / batch_id


def staged_folders(session: Session, batch: Batch) -> list[Path]:
    """Where staging writes, whether it did yet or not."""
    workspace, detail = session.workspace, batch.detail
    return [
        staging_folder(session, batch.batch_id),
        workspace.models / detail["modelAfter"],
        workspace.state / detail["stateAfter"],
        session.prepared_folder(detail["trainingAfter"]),
    ]


def folders_before(session: Session, batch: Batch) -> list[Path]:
    """Model, state and rows that the batch replaced; none if it replaced nothing."""
    release, workspace = StagedRelease.from_json(batch.detail["release"]), session.workspace
    before = ModelSnapshot.from_pointer(workspace.models, batch.detail["modelBefore"])
    state = StateSnapshot.from_pointer(workspace.state, batch.detail["stateBefore"])
    if release.model_pointer == batch.detail["modelBefore"]:
        return []
    found = [before.folder, state.folder]
    if batch.detail["method"] == "retrain":
        found.append(session.prepared_folder(batch.detail["trainingBefore"]))
    return found


def folders_needed(session: Session, batch: Batch) -> list[Path]:
    """Every folder that an interrupted batch may still need, whether it is there or not."""
    found = staged_folders(session, batch)
    return found if "release" not in batch.detail else [*found, *folders_before(session, batch)]


def erasure_path(session: Session, batch_id: str, bucket: int) -> Path:
    """The list of what is erased in one bucket."""
    return staging_folder(session, batch_id) / f"erase-{bucket:06d}.json"


def erasure_of(session: Session, batch: Batch, bucket: int) -> BucketErasure:
    """What is erased in one bucket."""
    return BucketErasure.load(erasure_path(session, batch.batch_id, bucket))
