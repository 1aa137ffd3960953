"""From the recorded outcome of a revocation to its signed certificate, bundle and receipt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from mbd.canonical.digest import b64decode_strict, b64encode
from mbd.canonical.items import Item, prove_items
from mbd.canonical.ulid import new_ulid
from mbd.certificate.envelope import Envelope, parse_envelope, sign_statement
from mbd.certificate.escrow import ESCROWED
from mbd.certificate.issue import Issuance, LoggedPolicy, LogHead, Salts, build_statement, openings
from mbd.certificate.receipt import Receipt, make_receipt
from mbd.data.needles import Needles
from mbd.data.traces import make_traces
from mbd.database.journal import Request
from mbd.database.suppressions import keyed_hash
from mbd.ledger import queries
from mbd.ledger.entry import parse_entry
from mbd.ledger.note import Checkpoint
from mbd.signing.commitment import new_salt, subject_commitment, subject_key
from mbd.values import DeletionOutcome
from mbd.verify.extras import check_items
from mbd.workflows.session import Session


@dataclass(frozen=True)
class SignedCertificate:
    """What signing leaves in the journal until the request is completed."""

    certificate_id: str
    envelope: Envelope
    receipt: Receipt
    salts: Mapping[str, bytes]

    def to_json(self) -> dict[str, Any]:
        """Plain values for the journal."""
        return {
            "envelope": self.envelope.to_json(),
            "receipt": b64encode(self.receipt.to_bytes()),
            "salts": {name: salt.hex() for name, salt in self.salts.items()},
        }


@dataclass(frozen=True)
class Erased:
    """What the subject's receipt says of the data that is gone."""

    items: Sequence[Item]
    vanished: Sequence[str]
    """Ids of records that had nothing left."""
    needles: Needles


@dataclass(frozen=True)
class Issuing:
    """What certificates that are issued together share."""

    checkpoint: Checkpoint
    policy: LoggedPolicy
    secrets: Mapping[str, bytes]
    """By subject."""
    now: datetime
    delta: float


def prepare_issuing(
    session: Session, subjects: Iterable[str], *, policy_entry: int, delta: float, now: datetime
) -> Issuing:
    """Look up what certificates of these subjects need; secrets are made on first use.

    Args:
        session: The workspace.
        subjects: Whom the certificates are for.
        policy_entry: Ledger entry of the policy of the model after.
        delta: Slack of certified claims.
        now: When they are issued.
    """
    names = {subject: keyed_hash(session.key, "subject secret", subject) for subject in subjects}
    found = session.secrets.subject_secrets(names.values())
    return Issuing(
        checkpoint=session.log.latest(),
        policy=_logged_policy(session, policy_entry),
        secrets={subject: found[name] for subject, name in names.items()},
        now=now,
        delta=delta,
    )


def sign_certificate(
    session: Session, request: Request, outcome: DeletionOutcome, erased: Erased, issuing: Issuing
) -> SignedCertificate:
    """State the outcome, check it as a verifier will, sign it; write the receipt.

    Raises:
        DataError: The outcome breaks a rule of its class: nothing is signed.
    """
    assert request.detail is not None, "an open request has its detail"
    subject = request.detail["subject"]
    certificate_id = new_ulid(issuing.now)
    key = subject_key(issuing.secrets[subject], certificate_id)
    salts, checkpoint = Salts(), issuing.checkpoint
    issuance = Issuance(
        certificate_id=certificate_id,
        salt=new_salt(),
        issued_at=issuing.now,
        issuer=session.settings.issuer,
        received_on=_day(request.received_at),
        completed_on=issuing.now.date(),
        due_by=_day(request.due_by),
        basis=request.detail["basis"],
        subject_commitment=subject_commitment(key, certificate_id, subject),
        policy_entry=issuing.policy,
        ledger=LogHead(origin=checkpoint.origin, size=checkpoint.size, root=checkpoint.root.hex()),
        salts=salts,
        delta=issuing.delta,
    )
    statement = build_statement(outcome, issuance)
    receipt = make_receipt(
        statement.predicate,
        subject=subject,
        subject_key=key,
        salts=salts.named(),
        digests=openings(outcome),
        items=prove_items(erased.items),
        traces={**make_traces(erased.needles).to_json(), "vanished": list(erased.vanished)},
    )
    check_items(receipt)
    envelope = sign_statement(statement, [session.issuer_key])
    return SignedCertificate(certificate_id, envelope, receipt, salts.named())


def stored_envelope(detail: Mapping[str, Any]) -> Envelope:
    """The envelope that signing left in the journal."""
    return parse_envelope(detail["signed"]["envelope"])


def stored_receipt(detail: Mapping[str, Any]) -> bytes:
    """The receipt's bytes that signing left in the journal."""
    return b64decode_strict(detail["signed"]["receipt"])


def escrowed_salts(detail: Mapping[str, Any]) -> dict[str, bytes]:
    """The salts kept for the auditor; the others are destroyed, but for the receipt."""
    salts = detail["signed"]["salts"]
    return {name: bytes.fromhex(salts[name]) for name in ESCROWED}


def _logged_policy(session: Session, index: int) -> LoggedPolicy:
    with session.database.read() as connection:
        found = queries.find_entry(connection, str(index))
    digest = parse_entry(found.leaf).digest
    return LoggedPolicy(index=index, leaf_hash=found.leaf_hash.hex(), digest=digest)


def _day(timestamp: str) -> date:
    return datetime.fromisoformat(timestamp).astimezone(UTC).date()
