"""From the outcome of a deletion to the statement that is signed.

Pure: clocks, salts, identifiers and the ledger's state are arguments. What an outcome says in
digests of personal data leaves this module only as commitments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from mbd.canonical.digest import files_root
from mbd.canonical.numbers import to_decimal
from mbd.certificate.claims import REGISTRY, claims_for
from mbd.certificate.fields import format_time, validate
from mbd.certificate.guarantee_class import REPRODUCE
from mbd.certificate.rules import check_class_rules
from mbd.certificate.statement import (
    PREDICATE_TYPE,
    STATEMENT_TYPE,
    SUBJECT_NAME,
    Statement,
)
from mbd.certificate.theorems import theorem_of, wording_of
from mbd.errors import RefusedError
from mbd.privacy.accountant import account
from mbd.signing.commitment import commit, new_salt
from mbd.values import DeletionOutcome, HeadParameters

COMMITMENTS = ("datasetBefore", "datasetAfter", "stateAfter", "deletedSet")
"""What a certificate commits to; the salts carry the same names."""


@dataclass(frozen=True, kw_only=True)
class Salts:
    """One independent salt of 32 bytes per commitment."""

    dataset_before: bytes = field(default_factory=new_salt)
    dataset_after: bytes = field(default_factory=new_salt)
    state_after: bytes = field(default_factory=new_salt)
    deleted_set: bytes = field(default_factory=new_salt)

    def named(self) -> dict[str, bytes]:
        """By the names of `COMMITMENTS`."""
        values = (self.dataset_before, self.dataset_after, self.state_after, self.deleted_set)
        return dict(zip(COMMITMENTS, values, strict=True))


@dataclass(frozen=True, kw_only=True)
class LoggedPolicy:
    """Where the ledger holds the policy: its index, leaf hash and digest (hex)."""

    index: int
    leaf_hash: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class LogHead:
    """The latest checkpoint when the certificate is issued."""

    origin: str
    size: int
    root: str
    """Hex."""


@dataclass(frozen=True, kw_only=True)
class Issuance:
    """Everything a certificate says that the deletion itself does not know."""

    certificate_id: str
    salt: bytes
    """32 random bytes that make the statement unguessable."""
    issued_at: datetime
    issuer: str
    received_on: date
    completed_on: date
    due_by: date
    basis: str
    subject_commitment: str
    """From `signing.commitment.subject_commitment`."""
    policy_entry: LoggedPolicy
    ledger: LogHead
    salts: Salts
    delta: float | None
    """Slack of a certified claim; ignored for other classes."""
    supersedes: str | None = None


def build_statement(outcome: DeletionOutcome, issuance: Issuance) -> Statement:
    """The statement of a finished deletion, checked as a verifier will check it.

    Raises:
        RefusedError: A dry run or a failed deletion; nothing may be stated about it.
        ArithmeticRefused: The constants of a certified release do not support a claim.
        DataError: A field or a rule does not hold; the code is the verifier's.
    """
    if outcome.guarantee_class == "none":
        raise RefusedError("nothing may be stated about a dry run or a failed deletion")
    files = [
        {"path": file.path, "sha256": file.sha256}
        for file in sorted(outcome.model_after, key=lambda file: file.path)
    ]
    digest = files_root(outcome.model_after)
    content = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": SUBJECT_NAME, "digest": {"sha256": digest}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": _predicate(outcome, issuance, {"digest": digest, "files": files}),
    }
    statement = validate(Statement, content, code="statement.schema")
    check_class_rules(statement)
    return statement


def openings(outcome: DeletionOutcome) -> dict[str, str]:
    """The digests behind the commitments, by the names of `COMMITMENTS`."""
    digests = (
        outcome.dataset_before,
        outcome.dataset_after,
        outcome.state_after,
        outcome.deleted_set,
    )
    return dict(zip(COMMITMENTS, digests, strict=True))


def _predicate(
    outcome: DeletionOutcome, issuance: Issuance, model_after: dict[str, Any]
) -> dict[str, Any]:
    policy, ledger = issuance.policy_entry, issuance.ledger
    return {
        "certificateId": issuance.certificate_id,
        "salt": issuance.salt.hex(),
        "issuedAt": format_time(issuance.issued_at),
        "issuer": issuance.issuer,
        "request": {
            "receivedOn": issuance.received_on.isoformat(),
            "completedOn": issuance.completed_on.isoformat(),
            "dueBy": issuance.due_by.isoformat(),
            "basis": issuance.basis,
        },
        "subjectCommitment": issuance.subject_commitment,
        "deletion": {
            "modalities": sorted(outcome.modalities),
            "modelAfter": model_after,
            "commitments": _commitments(outcome, issuance.salts),
            "stores": list(outcome.stores),
            "outOfScope": list(outcome.out_of_scope),
        },
        "guarantee": {
            **_guarantee(outcome, issuance.delta),
            "policyEntry": {
                "index": policy.index,
                "leafHash": policy.leaf_hash,
                "digest": policy.digest,
            },
        },
        "claims": _claims(outcome),
        "ledger": {"origin": ledger.origin, "size": ledger.size, "root": ledger.root},
        "supersedes": issuance.supersedes,
    }


def _claims(outcome: DeletionOutcome) -> list[dict[str, str]]:
    names = claims_for(
        outcome.guarantee_class,
        replaced=bool(outcome.selected_heads),
        kept=set(outcome.selected_heads) != set(outcome.all_heads),
        retrained=outcome.retrained,
    )
    return [
        {"id": name, "status": REGISTRY[name].status, "text": REGISTRY[name].text} for name in names
    ]


def _commitments(outcome: DeletionOutcome, salts: Salts) -> dict[str, str]:
    named = salts.named()
    return {kind: commit(named[kind], kind, digest) for kind, digest in openings(outcome).items()}


def _guarantee(outcome: DeletionOutcome, delta: float | None) -> dict[str, Any]:
    theorem = theorem_of(outcome.guarantee_class, retrained=outcome.retrained)
    wording = wording_of(theorem.id if theorem else None)
    return {
        "class": outcome.guarantee_class,
        "theorem": theorem.id if theorem else None,
        "comparator": wording.comparator,
        "neighbouring": wording.neighbouring,
        "arithmetic": wording.arithmetic,
        "notCovered": list(wording.not_covered),
        "heads": sorted(outcome.all_heads),
        "selectedHeads": sorted(outcome.selected_heads),
        "parameters": [_parameters(head) for head in sorted(outcome.heads, key=lambda h: h.head)],
        "attempts": outcome.attempts,
        "reproduce": REPRODUCE if theorem else None,
        **_loss(outcome, delta),
    }


def _loss(outcome: DeletionOutcome, delta: float | None) -> dict[str, str | None]:
    if outcome.guarantee_class == "exact":
        return {"rho": "0", "epsilon": "0", "delta": "0"}
    if outcome.guarantee_class == "empirical":
        return {"rho": None, "epsilon": None, "delta": None}
    if delta is None:
        raise RefusedError("a certified claim needs a delta", field="delta")
    loss = account(outcome.heads, delta, outcome.attempts)
    return {
        "rho": to_decimal(loss.rho),
        "epsilon": to_decimal(loss.epsilon),
        "delta": to_decimal(loss.delta),
    }


def _parameters(head: HeadParameters) -> dict[str, str | int]:
    return {
        "head": head.head,
        "dimension": head.dimension,
        "outputs": head.outputs,
        "strongConvexity": to_decimal(head.strong_convexity),
        "tolerance": to_decimal(head.tolerance),
        "sensitivity": to_decimal(head.sensitivity),
        "sigma": to_decimal(head.sigma),
        "grid": to_decimal(head.grid),
    }
