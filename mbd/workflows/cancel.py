"""Giving a request up before anything was erased: service is as it was."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection

from mbd.canonical.json import dumps
from mbd.canonical.times import from_timestamp
from mbd.canonical.ulid import ulid_time
from mbd.database import models, pointers, suppressions
from mbd.database.batches import Batch, Batches
from mbd.database.journal import CANCELLABLE, CANCELLED, Journal, Request
from mbd.errors import ConflictError, NotFoundError
from mbd.ledger.bodies import erase_body
from mbd.ledger.entry import unsigned_entry
from mbd.signing.commitment import commit, new_salt
from mbd.workflows.batch import ERASING, staged_folders
from mbd.workflows.session import Session
from mbd.workflows.snapshots import ModelSnapshot, remove_folder
from mbd.workflows.staging import StagedRelease


def cancel_request(session: Session, request_id: str) -> Request:
    """Give one request up; others of its batch are staged anew when they are carried out.

    Args:
        session: A workspace, with its lock held; nothing interrupted needs to be finished.
        request_id: Which.

    Returns:
        The request as it was before.

    Raises:
        NotFoundError: There is no such request.
        ConflictError: It was completed, or erasure has begun.
    """
    with session.database.read() as connection:
        known = Journal(connection).find(request_id)
        if known is None:
            raise NotFoundError(
                f"no request {request_id}",
                code="request.not_found",
                field="--cancel",
                hint="`mbd doctor` lists those that are open",
            )
        batch = None if known.batch_id is None else Batches(connection).find(known.batch_id)
    if known.stage == CANCELLED:
        return known
    if batch is None or known.stage not in CANCELLABLE or batch.detail.get(ERASING):
        begun = "completed" if known.completed_at else f"{known.stage}, and erasure has begun"
        raise ConflictError(
            f"request {request_id} is {begun}: it can no longer be cancelled",
            code="request.stage",
            field="--cancel",
            hint=None if known.completed_at else "`mbd resume` finishes it",
        )
    _cancel(session, batch, [request_id])
    return known


def cancel_batch(session: Session, batch_id: str) -> None:
    """Give every request of a batch up."""
    with session.database.read() as connection:
        batch = Batches(connection).get(batch_id)
    _cancel(session, batch, [member.request_id for member in batch.members])


def _cancel(session: Session, batch: Batch, request_ids: list[str]) -> None:
    now = datetime.now(UTC)
    with session.database.transaction() as connection:
        _return(session, connection, batch)
        erased = _erase_policy(connection, batch)
        for request_id in request_ids:
            suppressions.remove_of(connection, request_id)
            body = dumps({"request": commit(new_salt(), "request", request_id)})
            session.log.append(connection, unsigned_entry("cancel", now, body), body)
            Journal(connection).cancel(request_id, now)
    session.log.publish()
    for folder in staged_folders(session, batch):
        remove_folder(folder)
    session.database.purge(bodies=erased)


def _erase_policy(connection: Connection, batch: Batch) -> bool:
    """A policy that was announced and is given up shows, beside the old one, who was left out.

    Returns:
        Whether there was one, whose body is erased now.
    """
    if "release" not in batch.detail:
        return False
    announced = StagedRelease.from_json(batch.detail["release"]).policy_entry
    if announced is not None:
        erase_body(connection, announced)
    return announced is not None


def learned_without(session: Session, known: Request) -> bool:
    """Whether a model was trained since a request switched its channels off."""
    found = session.model()
    return ulid_time(found.policy.training_id) > from_timestamp(known.received_at)


def _return(session: Session, connection: Connection, batch: Batch) -> None:
    """Back to what was before anything was staged: it is still there until erasure begins."""
    if batch.stage == "activated":
        before = ModelSnapshot.from_pointer(session.workspace.models, batch.detail["modelBefore"])
        if StagedRelease.from_json(batch.detail["release"]).model_pointer != before.to_pointer():
            index = models.policy_index(connection, before.model_id)
            pointers.set(connection, "model", batch.detail["modelBefore"])
            pointers.set(connection, "state", batch.detail["stateBefore"])
            models.add(connection, before.model_id, index, before.digest, datetime.now(UTC))
    if batch.stage in ("staged", "activated"):
        Batches(connection).step_back(batch.batch_id, "suppressed", forget=STAGED)


STAGED = (
    "release",
    "modelBefore",
    "stateBefore",
    "policyEntry",
    "trainingBefore",
    "datasetBefore",
    "datasetPlanned",
    "items",
    "engineSeconds",
)
"""What staging adds to a batch's detail."""
