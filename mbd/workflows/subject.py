"""Which certificates are about one person: told by that person's secret, and by nothing else.

Each certificate commits to its subject under a key of its own. The keys follow from one secret
per subject, so whoever holds the secret finds all of them by trying each certificate; whoever
holds one receipt, and no secret, finds the certificate that it opens.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection

from mbd.canonical.json import loads_strict
from mbd.certificate.receipt import Receipt
from mbd.database.suppressions import keyed_hash
from mbd.errors import MbdError
from mbd.ledger.binding import MAX_BODY_BYTES, envelope_payload
from mbd.ledger.bodies import open_body
from mbd.ledger.queries import Filter, body_of, iterate_entries
from mbd.signing.commitment import subject_commitment, subject_key
from mbd.workflows.session import Session


@dataclass(frozen=True, kw_only=True)
class SubjectCertificates:
    """The certificates of one person, as far as they can be told."""

    ids: frozenset[str]
    secret: bool
    """Whether the person's secret is here: then these are all of the readable ones."""
    unreadable: int = 0
    """Certificates whose bodies are erased or sealed, so that nobody can tell whose they are."""


def secret_name(session: Session, subject: str) -> str:
    """Under which name the secret of a subject is kept."""
    return keyed_hash(session.key, "subject secret", subject)


def certificates_of(session: Session, receipt: Receipt) -> SubjectCertificates:
    """The certificate that a receipt belongs to, and the others of the same person.

    The others only where the workspace has its key and the person's secret, and the receipt is
    a whole one that was issued here: somebody who made it up learns nothing from its answer.
    """
    only = SubjectCertificates(ids=frozenset({receipt.certificate_id}), secret=False)
    if not receipt.whole or not _has_secrets(session):
        return only
    secret = session.secrets.find_subject_secret(secret_name(session, receipt.subject))
    if secret is None or not _is_ours(receipt, secret):
        return only
    with session.database.read() as connection:
        found = find_certificates(session, connection, receipt.subject, secret)
    return SubjectCertificates(ids=found.ids | only.ids, secret=True, unreadable=found.unreadable)


def find_certificates(
    session: Session, connection: Connection, subject: str, secret: bytes
) -> SubjectCertificates:
    """Every certificate whose commitment a secret opens; each one is tried."""
    ids, unreadable = set[str](), 0
    for certificate_id, commitment in _commitments(session, connection):
        if commitment is None:
            unreadable += 1
            continue
        key = subject_key(secret, certificate_id)
        if hmac.compare_digest(subject_commitment(key, certificate_id, subject), commitment):
            ids.add(certificate_id)
    return SubjectCertificates(ids=frozenset(ids), secret=True, unreadable=unreadable)


def _has_secrets(session: Session) -> bool:
    workspace = session.workspace
    return workspace.workspace_key.is_file() and workspace.secrets_db.is_file()


def _is_ours(receipt: Receipt, secret: bytes) -> bool:
    """Whether the receipt's key follows from the secret; nobody else could make it."""
    key = subject_key(secret, receipt.certificate_id)
    return hmac.compare_digest(key, bytes.fromhex(receipt.subject_key))


def _commitments(session: Session, connection: Connection) -> Iterator[tuple[str, str | None]]:
    """Id and commitment of each certificate; None where its body cannot be read."""
    key_of = session.body_keys()
    for entry in iterate_entries(connection, Filter(type="certificate")):
        stored = body_of(connection, entry.index)
        body = None if stored is None else open_body(entry.index, entry.leaf, stored, key_of)
        yield str(entry.certificate_id), None if body is None else _commitment(body)


def _commitment(body: bytes) -> str | None:
    try:
        statement = loads_strict(envelope_payload(body)[1], max_bytes=MAX_BODY_BYTES)
        return str(statement["predicate"]["subjectCommitment"])
    except (MbdError, KeyError, TypeError):
        return None
