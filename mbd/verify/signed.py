"""SIGNED, checks 1 to 10: the bytes, the rules, the arithmetic, the signature.

Each check returns what it wants to add to the report, or raises.
"""

from __future__ import annotations

from collections.abc import Iterator

from mbd.canonical.numbers import from_decimal
from mbd.certificate.bundle import parse_bundle
from mbd.certificate.days import check_order
from mbd.certificate.deadline import LONGEST_DAYS, days_allowed, days_late
from mbd.certificate.guarantee_class import check_class
from mbd.certificate.model_parts import check_heads, check_model
from mbd.certificate.privacy_claim import check_privacy
from mbd.certificate.statement import PAYLOAD_TYPE, Request, parse_statement
from mbd.certificate.wording import check_wording, check_words
from mbd.errors import DataError
from mbd.signing.public import verify_signature
from mbd.verify.case import Case, CheckFailed, Undecided
from mbd.verify.mistaken import recognised, respelled


def parse(case: Case) -> str:
    """1. The file is one bundle in its one spelling: strict JSON, closed schema, size cap."""
    try:
        case.found_bundle = parse_bundle(case.data)
    except DataError as error:
        if error.code == "bundle.canonical":
            raise DataError(error.message + respelled(case.data), code=error.code) from error
        broad = error.code in ("bundle.schema", "json.syntax")
        kind = recognised(case.data, "bundle") if broad else None
        if kind is None:
            raise
        raise DataError(f"this is {kind}", code=error.code) from error
    return ""


def payload_type(case: Case) -> str:
    """2. The envelope holds an in-toto statement."""
    found = case.bundle.envelope.payload_type
    if found != PAYLOAD_TYPE:
        raise CheckFailed(f"payloadType {found[:100]!r}", code="envelope.type")
    return ""


def statement(case: Case) -> str:
    """3. The payload is a certificate of this version: strict JSON, closed schema."""
    try:
        case.found_statement = parse_statement(case.bundle.envelope.payload)
    except DataError as error:
        if error.code == "statement.version":
            raise Undecided(error.message, code=error.code) from error
        raise
    return case.statement.predicate.certificate_id


def model(case: Case) -> str:
    """4. The statement is about the model whose files it lists."""
    check_model(case.statement)
    return ""


def rules(case: Case) -> str:
    """5. The class of the guarantee states what it may, in fixed words; days are in order."""
    predicate, request = case.statement.predicate, case.statement.predicate.request
    check_class(predicate)
    check_words(predicate)
    check_order(predicate)
    return predicate.guarantee.guarantee_class + "".join(_clock(request))


def _clock(request: Request) -> Iterator[str]:
    """What is odd about the days and breaks no rule."""
    late, allowed = days_late(request), days_allowed(request)
    if late > 0:
        yield f"; LATE: completed {late} days after {request.due_by}, when it was due"
    if allowed > LONGEST_DAYS:
        yield f"; LONG: due {allowed} days after {request.received_on}, when it was received"


def theorem(case: Case) -> str:
    """6. The theorem is in the registry and quoted in its own words."""
    guarantee = case.statement.predicate.guarantee
    try:
        check_wording(guarantee)
    except DataError as error:
        if error.code == "theorem.unknown":
            raise Undecided(error.message, code=error.code) from error
        raise
    return guarantee.theorem or "none, measured only"


def heads(case: Case) -> str:
    """7. Every head that saw a revoked modality was replaced."""
    check_heads(case.statement.predicate)
    return ", ".join(case.statement.predicate.guarantee.selected_heads) or "none was replaced"


def arithmetic(case: Case) -> str:
    """8. Sensitivity, rho and epsilon, recomputed from the constants, are not above the claim."""
    guarantee = case.statement.predicate.guarantee
    check_privacy(guarantee)
    if guarantee.epsilon is None:
        return "no privacy loss is stated"
    return f"epsilon {guarantee.epsilon} at delta {guarantee.delta}"


def limits(case: Case) -> str:
    """9. The loss is within what the trust file accepts."""
    if case.trust is None:
        raise Undecided("no trust file", code="trust.missing")
    guarantee, trust = case.statement.predicate.guarantee, case.trust
    accepted = {"epsilon": trust.max_epsilon, "delta": trust.max_delta}
    stated = {"epsilon": guarantee.epsilon, "delta": guarantee.delta}
    for name, limit in accepted.items():
        claim = stated[name]
        if limit is not None and (claim is None or from_decimal(claim) > limit):
            raise CheckFailed(
                f"{name} {claim or 'is not stated'}; at most {limit} is accepted",
                code=f"limit.{name}",
            )
    return "" if any(limit is not None for limit in accepted.values()) else "it sets no limits"


def signature(case: Case) -> str:
    """10. Every signature by a trusted key holds, there is one, and the key may sign this name."""
    envelope, trust = case.bundle.envelope, case.trust
    if trust is None:
        raise Undecided("no trust file", code="trust.missing")
    known = [(trust.issuer(one.key_id), one.value) for one in envelope.signatures]
    signers = [(issuer, value) for issuer, value in known if issuer is not None]
    if not signers:
        names = ", ".join(one.key_id[:16] for one in envelope.signatures)
        raise Undecided(f"signed by {names}, which is not trusted", code="key.unknown")
    for issuer, value in signers:  # first all of them: they can be judged without the statement
        verify_signature(issuer.key, envelope.signed_bytes(), value)
    for issuer, _ in signers:
        if issuer.name != case.statement.predicate.issuer:
            raise CheckFailed(
                f"the key is {issuer.name!r}, the certificate says "
                f"{case.statement.predicate.issuer!r}",
                code="issuer.mismatch",
            )
    case.signers = tuple(issuer for issuer, _ in signers)
    return ", ".join(f"{issuer.name} ({issuer.key.key_id[:16]})" for issuer, _ in signers)
