"""What a statement must fulfil beyond its form: the issuer and the verifier ask the same.

Each rule raises a DataError with a stable code; nothing is returned.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mbd.canonical.numbers import from_decimal
from mbd.certificate.statement import Guarantee, Predicate, Statement, manifest_digest
from mbd.certificate.theorems import THEOREMS, wording_of
from mbd.errors import ArithmeticRefused, DataError
from mbd.privacy.accountant import account
from mbd.values import parse_availability

_PROMISES = re.compile(r"certif(?:y|ie)|guarant|\bproof|\bprove", re.IGNORECASE)
_WHERE = re.compile(r"(?<![\w])(/|~/|[A-Za-z]:\\|\\\\)\w|\w+://")


def check_class_rules(statement: Statement) -> None:
    """Every rule below, in order; the first that does not hold is raised."""
    check_model(statement)
    check_class(statement.predicate)
    check_wording(statement.predicate.guarantee)
    check_heads(statement.predicate)
    check_privacy(statement.predicate.guarantee)
    check_order(statement.predicate)


def check_model(statement: Statement) -> None:
    """The subject of the statement, the model's digest and the root over its files agree."""
    model = statement.predicate.deletion.model_after
    if statement.subject[0].digest.sha256 != model.digest:
        raise DataError("subject[0] is not the digest of modelAfter", code="model.subject")
    if manifest_digest(model.files) != model.digest:
        raise DataError("modelAfter.digest is not the root over its files", code="model.digest")


def check_class(predicate: Predicate) -> None:
    """What may be stated under the class of the guarantee."""
    rules = {"certified": _certified, "exact": _exact, "empirical": _empirical}
    rules[predicate.guarantee.guarantee_class](predicate)
    for text in _free_texts(predicate):
        if _WHERE.search(text):
            raise DataError(f"a path or address in {text[:60]!r}", code="class.private")


def check_wording(guarantee: Guarantee) -> None:
    """The theorem is known, belongs to the class, and is repeated in its own words.

    Further exclusions may follow those of the theorem.
    """
    known = THEOREMS.get(guarantee.theorem or "")
    if guarantee.theorem is not None and known is None:
        raise DataError(
            f"theorem {guarantee.theorem[:80]!r} is not known here", code="theorem.unknown"
        )
    if known is not None and known.guarantee_class != guarantee.guarantee_class:
        raise DataError(
            f"{known.id} is no theorem for {guarantee.guarantee_class}", code="theorem.class"
        )
    wording = wording_of(guarantee.theorem)
    stated = (guarantee.comparator, guarantee.neighbouring, guarantee.arithmetic)
    if stated != (wording.comparator, wording.neighbouring, wording.arithmetic):
        raise DataError("the words are not those of the theorem", code="theorem.wording")
    if guarantee.not_covered[: len(wording.not_covered)] != wording.not_covered:
        raise DataError("notCovered leaves something out", code="theorem.wording")


def check_heads(predicate: Predicate) -> None:
    """No head that saw a revoked modality is left out, and each selected one has parameters."""
    guarantee, revoked = predicate.guarantee, set(predicate.deletion.modalities)
    touched = tuple(head for head in guarantee.heads if parse_availability(head) & revoked)
    selected = guarantee.selected_heads
    if not set(selected) <= set(guarantee.heads):
        raise DataError("selectedHeads names a head that the model lacks", code="heads.unknown")
    if guarantee.guarantee_class != "certified":
        return
    if not touched or selected != touched:
        raise DataError(
            f"selected {list(selected)}, but the heads with a revoked modality are {list(touched)}",
            code="heads.incomplete",
        )
    if tuple(item.head for item in guarantee.parameters) != selected:
        raise DataError("want one parameters object per selected head", code="heads.incomplete")


def check_privacy(guarantee: Guarantee) -> None:
    """Recompute the claim from the constants: stated rho and epsilon are not below it.

    The formula is the issuer's own (`mbd.privacy.accountant`), rounded up.
    """
    if guarantee.guarantee_class != "certified":
        return
    rho, epsilon, delta = _stated(guarantee)
    try:
        heads = [item.values() for item in guarantee.parameters]
        loss = account(heads, delta, guarantee.attempts)
    except ArithmeticRefused as error:
        raise DataError(error.message, code=f"claim.{error.field or 'arithmetic'}") from error
    if rho < loss.rho:
        raise DataError(f"stated {rho}, recomputed {loss.rho}", code="claim.rho")
    if epsilon < loss.epsilon:
        raise DataError(f"stated {epsilon}, recomputed {loss.epsilon}", code="claim.epsilon")


def check_order(predicate: Predicate) -> None:
    """Received, then completed, then issued; the policy is in the log before all of them."""
    request = predicate.request
    if not request.received_on <= request.completed_on <= predicate.issued_at[:10]:
        raise DataError("want receivedOn <= completedOn <= issuedAt", code="time.order")
    if request.due_by < request.received_on:
        raise DataError("dueBy is before receivedOn", code="time.order")
    if predicate.guarantee.policy_entry.index >= predicate.ledger.size:
        raise DataError("the policy was logged after the checkpoint", code="policy.index")
    if predicate.supersedes == predicate.certificate_id:
        raise DataError("a certificate cannot supersede itself", code="class.supersedes")


def _certified(predicate: Predicate) -> None:
    guarantee = predicate.guarantee
    if guarantee.theorem is None or None in (guarantee.rho, guarantee.epsilon, guarantee.delta):
        raise DataError("certified needs a theorem, rho, epsilon, delta", code="class.certified")
    if not guarantee.parameters or guarantee.attempts < 1:
        raise DataError("certified needs parameters and an attempt", code="class.certified")


def _exact(predicate: Predicate) -> None:
    guarantee = predicate.guarantee
    if (guarantee.epsilon, guarantee.delta) != ("0", "0") or guarantee.rho not in (None, "0"):
        raise DataError("exact means epsilon = delta = 0", code="class.exact")
    if guarantee.theorem is None or guarantee.reproduce is None or guarantee.parameters:
        raise DataError(
            "exact needs a theorem and a reproduce command, and has no noise parameters",
            code="class.exact",
        )


def _empirical(predicate: Predicate) -> None:
    guarantee = predicate.guarantee
    if (guarantee.rho, guarantee.epsilon, guarantee.delta) != (None, None, None):
        raise DataError("empirical states no privacy loss", code="class.empirical")
    if guarantee.theorem is not None or guarantee.parameters:
        raise DataError("empirical names no theorem and no parameters", code="class.empirical")
    for text in _free_texts(predicate):
        if _PROMISES.search(text):
            raise DataError(f"empirical may not say {text[:60]!r}", code="class.empirical")


def _free_texts(predicate: Predicate) -> Iterator[str]:
    """The sentences an issuer words freely."""
    yield predicate.request.basis
    yield from predicate.guarantee.not_covered
    for claim in predicate.claims:
        yield claim.text
    for store in predicate.deletion.stores:
        yield from (store.store, store.action, store.scan)
    for place in predicate.deletion.out_of_scope:
        yield from (place.what, place.reason)


def _stated(guarantee: Guarantee) -> tuple[float, float, float]:
    if guarantee.rho is None or guarantee.epsilon is None or guarantee.delta is None:
        raise DataError("certified states rho, epsilon and delta", code="class.certified")
    values = (guarantee.rho, guarantee.epsilon, guarantee.delta)
    rho, epsilon, delta = (from_decimal(text) for text in values)
    return rho, epsilon, delta
