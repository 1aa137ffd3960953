"""Erasing the body of one ledger entry: the leaf stays, and with it every proof."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection

from mbd.database import models
from mbd.errors import RefusedError
from mbd.ledger import bodies
from mbd.ledger.entry import unsigned_entry
from mbd.ledger.queries import LogEntry, find_entry
from mbd.workflows.destruction import BODY, decide, erasure_body, finish_destruction
from mbd.workflows.papers import bundle_path
from mbd.workflows.session import Session
from mbd.workspace.files import remove_file

ERASABLE = frozenset({"policy", "certificate", "supersede"})


@dataclass(frozen=True, kw_only=True)
class ErasedBody:
    """What is gone, and what is not."""

    index: int
    type: str
    certificate_id: str | None
    logged: int | None
    """Ledger entry of this erasure; None if there was nothing left to erase."""
    bundle: Path | None
    """The certificate's file, if there is one: it has the body too."""
    bundle_removed: bool


def find_erasable(session: Session, reference: str) -> LogEntry:
    """The entry with this index or certificate id, if its body may be erased.

    Raises:
        NotFoundError: There is none.
        RefusedError: The service, or whoever checks it, cannot do without that body.
    """
    with session.database.read() as connection:
        found = find_entry(connection, reference)
        in_force = _policy_in_force(session, connection)
    if found.type not in ERASABLE:
        raise RefusedError(
            f"entry {found.index} is a {found.type}: its body says nothing of anybody, "
            "and the log cannot be understood without it",
            code="ledger.body_kept",
            hint="certificates and policies that are not in force can be erased",
        )
    if found.index == in_force:
        raise RefusedError(
            f"entry {found.index} is the policy in force: the model is checked against it",
            code="ledger.body_in_force",
            hint="`mbd train` announces another; a retraining erases the old ones",
        )
    return found


def erase_body(session: Session, reference: str, *, with_bundle: bool = False) -> ErasedBody:
    """Erase the body of an entry and the key that it is sealed under; again is fine.

    The ledger gets an entry that says so: a body that somebody erased is told from one that
    got lost. Call it with the workspace's lock held.

    Args:
        session: The workspace.
        reference: Index or certificate id.
        with_bundle: Remove the certificate's file in `certs/`, too.

    Raises:
        NotFoundError, RefusedError: See `find_erasable`; nothing was changed.
        TemporaryError: A reader keeps old bytes alive; the next command finishes.
    """
    found, now = find_erasable(session, reference), datetime.now(UTC)
    body = erasure_body(BODY, now, entry=found.index)
    logged = None
    with session.database.transaction() as connection:
        held = bodies.has_body(connection, found.index)
        if held:
            bodies.erase_body(connection, found.index)
            logged = session.log.append(connection, unsigned_entry("erasure", now, body), body)
        if held or session.secrets.body_keys(found.index, found.index):
            decide(connection, bodies=[found.index])
    session.log.publish()
    finish_destruction(session)
    path = None
    if found.certificate_id is not None:
        path = bundle_path(session, found.certificate_id)
    if path is not None and with_bundle:
        remove_file(path)
    return ErasedBody(
        index=found.index,
        type=found.type,
        certificate_id=found.certificate_id,
        logged=logged,
        bundle=path if path is not None and path.is_file() else None,
        bundle_removed=path is not None and with_bundle,
    )


def _policy_in_force(session: Session, connection: Connection) -> int | None:
    model = session.find_model()
    return None if model is None else models.policy_index(connection, model.model_id)
