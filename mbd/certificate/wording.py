"""The fixed words of a certificate: claims, stores and theorem, as the registries have them."""

from __future__ import annotations

from mbd.certificate.claims import REGISTRY, claims_for
from mbd.certificate.scope import check_out_of_scope, check_stores
from mbd.certificate.shared_parts import once
from mbd.certificate.statement import Claim, Guarantee, OutOfScope, Predicate, Store, few_heads
from mbd.certificate.theorems import RETRAINING, THEOREMS, wording_of
from mbd.errors import DataError


def check_words(predicate: Predicate) -> None:
    """Claims, stores and what is out of scope: what must be there, in words of the registries."""
    deletion = predicate.deletion
    _check_words(predicate.guarantee, predicate.claims, deletion.stores, deletion.out_of_scope)


@once(few_heads)
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


@once(few_heads)
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
