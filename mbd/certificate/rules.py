"""What a statement must fulfil beyond its form: the issuer and the verifier ask the same.

Each rule raises a DataError with a stable code; nothing is returned.
"""

from __future__ import annotations

import re
from datetime import timedelta
from functools import lru_cache
from typing import Any

from mbd.canonical.numbers import from_decimal
from mbd.canonical.ulid import ulid_time
from mbd.certificate.characters import as_read, is_shown
from mbd.certificate.claims import REGISTRY, claims_for
from mbd.certificate.fields import parse_time
from mbd.certificate.memory import once
from mbd.certificate.scope import check_out_of_scope, check_stores
from mbd.certificate.statement import (
    Claim,
    Guarantee,
    OutOfScope,
    Predicate,
    Statement,
    Store,
    manifest_digest,
)
from mbd.certificate.theorems import RETRAINING, THEOREMS, wording_of
from mbd.errors import ArithmeticRefused, DataError, UsageError
from mbd.privacy.accountant import account
from mbd.values import MAX_DELTA, parse_availability

REPRODUCE = "mbd state check"
"""The one command that `reproduce` may name."""

POLICY_FILE = "policy.json"
_CORE_FILES = {"core.json", "core.safetensors"}
_OTHER_FILES = {POLICY_FILE, *_CORE_FILES}
_HEAD_FILE = re.compile(r"heads/([^/]+)\.safetensors")

YEARS = ("2020", "2200")
"""Dates outside these years are slips or lies."""
_ONE_MOMENT = timedelta(minutes=1)
"""How far the time inside a certificate's id may be from `issuedAt`: they are made together."""

# Without \w, \b and look-behind, which differ between languages or are missing in some.
_LETTER = r"[^\x00-/:-@\[-^`{-\x7f]"
"""What may begin a name: letters, digits and `_` of ASCII, and everything beyond ASCII."""
_BEFORE = "(^|[\\x00-/:-@\\[-^`{-\\x7f\u00a1-\u00bf\u2010-\u205e\u3001-\u303f])"
"""What may stand before a place: nothing, a sign of ASCII, or quotation marks and dashes."""
_WHERE = re.compile(rf"{_BEFORE}(/|[A-Za-z]:\\|\\\\){_LETTER}|{_LETTER}://")
_PROMISES = re.compile(
    r"[Cc][Ee][Rr][Tt][Ii][Ff]([Yy]|[Ii][Ee])|[Gg][Uu][Aa][Rr][Aa][Nn][Tt]"
    r"|(^|[^A-Za-z0-9_])[Pp][Rr][Oo]([Oo][Ff]|[Vv][Ee])"
)


def _few_heads(guarantee: Guarantee, *_: Any) -> bool:
    return len(guarantee.heads) <= 64


@lru_cache(maxsize=512)  # paths are short, and those of all models much alike
def _head_of(path: str) -> str | None:
    """The head that a file of the model holds, if it holds one."""
    found = _HEAD_FILE.fullmatch(path)
    return found[1] if found else None


def check_class_rules(statement: Statement) -> None:
    """Every rule below, in order; the first that does not hold is raised."""
    check_model(statement)
    check_class(statement.predicate)
    check_words(statement.predicate)
    check_wording(statement.predicate.guarantee)
    check_heads(statement.predicate)
    check_privacy(statement.predicate.guarantee)
    check_order(statement.predicate)


def check_model(statement: Statement) -> None:
    """Subject, digest and root over the files agree; the policy among them is the logged one."""
    model = statement.predicate.deletion.model_after
    if statement.subject[0].digest.sha256 != model.digest:
        raise DataError("subject[0] is not the digest of modelAfter", code="model.subject")
    if manifest_digest(model.files) != model.digest:
        raise DataError("modelAfter.digest is not the root over its files", code="model.digest")
    files = {file.path: file.sha256 for file in model.files}
    for path in files:
        if path not in _OTHER_FILES and _head_of(path) is None:
            raise DataError(f"{path[:100]} is no part of a model", code="model.file")
    if POLICY_FILE not in files:
        raise DataError(f"a model without {POLICY_FILE}", code="model.policy")
    if files[POLICY_FILE] != statement.predicate.guarantee.policy_entry.digest:
        raise DataError("policyEntry is of another policy than the model's", code="policy.digest")


def check_class(predicate: Predicate) -> None:
    """What may be stated under the class of the guarantee."""
    _RULES[predicate.guarantee.guarantee_class](predicate)
    expected = None if predicate.guarantee.theorem is None else REPRODUCE
    if predicate.guarantee.reproduce != expected:
        raise DataError(f"reproduce: want {expected or 'null'}", code="class.reproduce")
    check_basis(predicate.request.basis)


@lru_cache(maxsize=64)  # an issuer has few of them
def check_basis(basis: str) -> None:
    """The one sentence of a certificate that its issuer words: short, plain, without places."""
    if not 0 < len(basis) <= 2000 or not is_shown(basis):
        raise DataError("basis: want one line of text", code="class.basis", field="basis")
    if _WHERE.search(as_read(basis)):
        raise DataError(
            f"basis: a path or address in {basis[:60]!r}", code="class.private", field="basis"
        )


def check_words(predicate: Predicate) -> None:
    """Claims, stores and what is out of scope: what must be there, in words of the registries."""
    deletion = predicate.deletion
    _check_words(predicate.guarantee, predicate.claims, deletion.stores, deletion.out_of_scope)


@once(_few_heads)
def _check_words(
    guarantee: Guarantee,
    claims: tuple[Claim, ...],
    stores: tuple[Store, ...],
    out_of_scope: tuple[OutOfScope, ...],
) -> None:
    retrained = is_retrained(guarantee)
    names = claims_for(
        guarantee.guarantee_class,
        replaced=bool(guarantee.selected_heads),
        kept=guarantee.selected_heads != guarantee.heads,
        retrained=retrained,
    )
    if tuple(claim.id for claim in claims) != names:
        raise DataError(f"claims: want {', '.join(names)}", code="claims.set")
    for claim in claims:
        words = REGISTRY[claim.id]
        if (claim.status, claim.text) != (words.status, words.text):
            raise DataError(f"claim {claim.id!r} in other words", code="claims.wording")
    check_stores(
        [(row.store, row.action, row.scan) for row in stores],
        replaced=bool(guarantee.selected_heads),
        retrained=retrained,
    )
    check_out_of_scope([(place.what, place.reason) for place in out_of_scope])


def is_retrained(guarantee: Guarantee) -> bool:
    """Whether the certificate says that the whole model was trained again."""
    return guarantee.theorem == RETRAINING.id


@once(_few_heads)
def check_wording(guarantee: Guarantee) -> None:
    """The theorem is known, belongs to the class, and is repeated in its own words."""
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
    if guarantee.not_covered != wording.not_covered:
        raise DataError("notCovered is not the theorem's", code="theorem.wording")


def check_heads(predicate: Predicate) -> None:
    """No head is left out: of the model, of those that read a revoked modality, of parameters."""
    _check_head_files(predicate)
    _check_selected(predicate.guarantee, predicate.deletion.modalities)


@once(_few_heads)
def _check_selected(guarantee: Guarantee, modalities: tuple[str, ...]) -> None:
    selected = guarantee.selected_heads
    if not set(selected) <= set(guarantee.heads):
        raise DataError("selectedHeads names a head that the model lacks", code="heads.unknown")
    inputs = {head: parse_availability(head) for head in guarantee.heads}
    revoked = set(modalities)
    for modality in sorted(revoked.difference(*inputs.values())):
        raise DataError(f"no head of the model reads {modality}", code="heads.modality")
    retrained = is_retrained(guarantee)
    touched = tuple(head for head, names in inputs.items() if names & revoked or retrained)
    nothing_to_do = guarantee.guarantee_class == "exact" and not selected and not retrained
    if selected != touched and not nothing_to_do:
        which = "all heads" if retrained else "the heads with a revoked modality"
        raise DataError(
            f"selected {list(selected)}, but {which} are {list(touched)}", code="heads.incomplete"
        )
    if guarantee.guarantee_class != "certified":
        return
    if tuple(item.head for item in guarantee.parameters) != selected:
        raise DataError("want one parameters object per selected head", code="heads.incomplete")


def _check_head_files(predicate: Predicate) -> None:
    paths = [file.path for file in predicate.deletion.model_after.files]
    found = set(map(_head_of, paths)) - {None}
    if found != set(predicate.guarantee.heads):
        other = sorted(filter(None, found ^ set(predicate.guarantee.heads)))
        raise DataError(
            f"heads and the files of the model differ by {', '.join(other)[:200]}",
            code="heads.files",
        )


@once(_few_heads)
def check_privacy(guarantee: Guarantee) -> None:
    """Recompute the claim from the constants: stated rho and epsilon are not below it.

    The formula is the issuer's own (`mbd.privacy.accountant`), rounded up. A claim with a
    delta above `MAX_DELTA` is refused whatever it costs.
    """
    if guarantee.guarantee_class != "certified":
        return
    rho, epsilon, delta = _stated(guarantee)
    if delta > MAX_DELTA:
        raise DataError(
            f"delta {delta}: above {MAX_DELTA} a claim promises nothing", code="claim.delta"
        )
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
    """Received, then completed, then issued; the policy is in the log before all of them.

    The id carries the time of issuing too, and a certificate supersedes older ones only.
    """
    request, first, last = predicate.request, *YEARS
    days = (request.received_on, request.completed_on, request.due_by, predicate.issued_at)
    if not first <= min(days)[:4] <= max(days)[:4] <= last:
        raise DataError(f"a date outside {first} to {last}", code="time.year")
    if not request.received_on <= request.completed_on <= predicate.issued_at[:10]:
        raise DataError("want receivedOn <= completedOn <= issuedAt", code="time.order")
    if request.due_by < request.received_on:
        raise DataError("dueBy is before receivedOn", code="time.order")
    if predicate.guarantee.policy_entry.index >= predicate.ledger.size:
        raise DataError("the policy was logged after the checkpoint", code="policy.index")
    if predicate.supersedes is not None and predicate.supersedes >= predicate.certificate_id:
        raise DataError("a certificate supersedes older ones only", code="class.supersedes")
    try:
        made = ulid_time(predicate.certificate_id)
    except UsageError as error:
        raise DataError(error.message, code="time.id") from error
    if abs(made - parse_time(predicate.issued_at)) > _ONE_MOMENT:
        raise DataError(
            f"certificateId is of {made:%Y-%m-%d %H:%M}, issuedAt says {predicate.issued_at}",
            code="time.id",
        )


def _certified(predicate: Predicate) -> None:
    guarantee = predicate.guarantee
    if guarantee.theorem is None or None in (guarantee.rho, guarantee.epsilon, guarantee.delta):
        raise DataError("certified needs a theorem, rho, epsilon, delta", code="class.certified")
    if not guarantee.parameters or guarantee.attempts < 1:
        raise DataError("certified needs parameters and an attempt", code="class.certified")


def _exact(predicate: Predicate) -> None:
    guarantee = predicate.guarantee
    if (guarantee.rho, guarantee.epsilon, guarantee.delta) != ("0", "0", "0"):
        raise DataError("exact means rho = epsilon = delta = 0", code="class.exact")
    if guarantee.theorem is None or guarantee.reproduce is None or guarantee.parameters:
        raise DataError(
            "exact needs a theorem and a reproduce command, and has no noise parameters",
            code="class.exact",
        )
    if guarantee.attempts != 0:
        raise DataError("exact draws no noise, so there are no attempts", code="class.exact")


def _empirical(predicate: Predicate) -> None:
    guarantee = predicate.guarantee
    if (guarantee.rho, guarantee.epsilon, guarantee.delta) != (None, None, None):
        raise DataError("empirical states no privacy loss", code="class.empirical")
    if guarantee.theorem is not None or guarantee.parameters:
        raise DataError("empirical names no theorem and no parameters", code="class.empirical")
    if not guarantee.selected_heads:
        raise DataError("empirical is about heads, and none is selected", code="class.empirical")
    if _PROMISES.search(as_read(predicate.request.basis)):
        raise DataError(
            f"empirical may not say {predicate.request.basis[:60]!r}", code="class.empirical"
        )


_RULES = {"certified": _certified, "exact": _exact, "empirical": _empirical}


def _stated(guarantee: Guarantee) -> tuple[float, float, float]:
    if guarantee.rho is None or guarantee.epsilon is None or guarantee.delta is None:
        raise DataError("certified states rho, epsilon and delta", code="class.certified")
    values = (guarantee.rho, guarantee.epsilon, guarantee.delta)
    rho, epsilon, delta = (from_decimal(text) for text in values)
    return rho, epsilon, delta
