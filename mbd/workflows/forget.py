"""Forgetting who a person's certificates are about, once they have their receipts.

The person's secret is destroyed, and so is what else in the workspace leads from a person to
a certificate: the keyed hashes of their requests, and the requests that their suppressions
stand on. Certificates, proofs and suppressions stay. After that only a receipt tells whose its
certificate is, and nothing tells that two of them are of one person.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time
from pathlib import Path

from sqlalchemy import Connection

from mbd.canonical.times import timestamp
from mbd.canonical.ulid import new_ulid
from mbd.certificate.receipt import Receipt
from mbd.database import suppressions
from mbd.database.journal import STAGES, Journal, Request
from mbd.errors import ConflictError, DataError, NotFoundError
from mbd.ledger.entry import unsigned_entry
from mbd.workflows.destruction import SUBJECT_SECRET, decide, erasure_body, finish_destruction
from mbd.workflows.papers import receipt_path
from mbd.workflows.session import Session
from mbd.workflows.subject import certificates_of, find_certificates, secret_name


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """What is not known any more."""

    certificates: int
    """How many could be told to be this person's until now."""
    logged: int | None
    """Ledger entry of the erasure, which names nobody; None if there was nothing to forget."""
    receipts: tuple[Path, ...]
    """Receipts of theirs that still lie in the workspace, and name them."""


def subject_of(session: Session, receipt: Receipt) -> str:
    """The person that a receipt of this workspace names.

    Raises:
        DataError: Nobody here can tell that it is not made up.
    """
    if not certificates_of(session, receipt).secret:
        raise DataError(
            "this receipt was not issued here, is an excerpt, or its secret is gone already",
            code="receipt.elsewhere",
            field="--receipt",
            hint="name the person with --user",
        )
    return receipt.subject


def forget_subject(session: Session, subject: str) -> Forgotten:
    """Destroy what links a person's certificates; again is fine.

    Call it with the workspace's lock held.

    Raises:
        NotFoundError: There is nothing about anybody of that name.
        ConflictError: A request of theirs is open: its certificate needs the secret.
        TemporaryError: A reader keeps old bytes alive; the next command finishes.
    """
    name, now = secret_name(session, subject), datetime.now(UTC)
    secret = session.secrets.find_subject_secret(name)
    with session.database.transaction() as connection:
        _refuse_open(connection, subject)
        ids: frozenset[str] = frozenset()
        if secret is not None:
            ids = find_certificates(session, connection, subject, secret).ids
        known = _requests_of(session, connection, subject, ids)
        if secret is None and not known:
            raise NotFoundError(
                f"no certificate is known to be of a user {subject!r}",
                code="user.not_found",
                field="--user",
            )
        linked = [one.request_id for one in known if not one.forgotten]
        logged = None
        if secret is not None or linked:
            logged = _log(session, connection, now)
            _unlink(connection, linked, logged, now)
            decide(connection, subjects=[name])
    session.log.publish()
    finish_destruction(session)
    paths = (receipt_path(session, one) for one in sorted(ids))
    return Forgotten(
        certificates=len(ids),
        logged=logged,
        receipts=tuple(path for path in paths if path.is_file()),
    )


def _refuse_open(connection: Connection, subject: str) -> None:
    for request in Journal(connection).open_requests():
        if (request.detail or {}).get("subject") == subject:
            raise ConflictError(
                f"request {request.request_id} of this user is {request.stage}: "
                "its certificate needs the secret",
                code="request.open",
                field="--user",
                hint="`mbd resume` finishes it, `mbd revoke --cancel` gives it up",
            )


def _requests_of(
    session: Session, connection: Connection, subject: str, certificates: frozenset[str]
) -> list[Request]:
    """Every request that can be told to be this person's."""
    journal = Journal(connection)
    names = session.store().schema.names if session.has_data() else ()
    stood_on = suppressions.requests_of(connection, session.key, subject, names)
    by_certificate = (journal.find_by_certificate(one) for one in certificates)
    found = {one.request_id: one for one in by_certificate if one is not None}
    return list((found | {name: journal.get(name) for name in stood_on}).values())


def _log(session: Session, connection: Connection, now: datetime) -> int:
    body = erasure_body(SUBJECT_SECRET, now)
    return session.log.append(connection, unsigned_entry("erasure", now, body), body)


def _unlink(connection: Connection, linked: list[str], entry: int, now: datetime) -> None:
    """The suppressions stand on this erasure from now on, as if they were of this day."""
    if not linked:
        return
    day = datetime.combine(now.date(), time(), UTC)
    stand_in = Request(
        request_id=f"forgotten-{new_ulid(now)}",
        fingerprint="",
        received_at=timestamp(day),
        due_by=timestamp(day),
        stage=STAGES[-1],
        entry_index=entry,
        completed_at=timestamp(day),
    )
    Journal(connection).unlink(linked, stand_in)
    suppressions.unlink(connection, linked, stand_in.request_id, day)
