"""Beside the base level: SUBJECT (check 20) and REPRODUCED (21); ARTIFACTS is a module.

Rebuilding takes learning and retained data, of which nothing here knows: whoever verifies with
them brings a function.
"""

from __future__ import annotations

from mbd.canonical.tree import empty_root
from mbd.certificate.receipt import Receipt, open_commitments, parse_receipt
from mbd.certificate.statement import Guarantee
from mbd.errors import DataError, IntegrityError
from mbd.ledger.merkle import verify_inclusion
from mbd.values import parse_availability
from mbd.verify.case import Case, CheckFailed, Undecided
from mbd.verify.mistaken import at_fault


def subject(case: Case) -> str:
    """20. The receipt opens the commitments, and its items were in the deleted set."""
    if case.receipt is None:
        raise Undecided("no receipt was given", code="receipt.missing")
    receipt = read_receipt(case.receipt)
    predicate = case.statement.predicate
    if receipt.certificate_id != predicate.certificate_id:
        raise Undecided(f"it is for {receipt.certificate_id}", code="receipt.other")
    open_commitments(receipt, predicate)
    check_items(receipt)
    check_learned(receipt, predicate.guarantee)
    shown = f"{len(receipt.items)} erased item{'s' * (len(receipt.items) != 1)} proved"
    return f"about {receipt.subject}; {shown}" + ("" if receipt.whole else " (an excerpt)")


def read_receipt(data: bytes) -> Receipt:
    """A receipt as received.

    Raises:
        Undecided: It is none, which says nothing against the certificate (`receipt.schema`).
    """
    try:
        return parse_receipt(data)
    except DataError as error:
        words = at_fault(data, error.message, "receipt")
        raise Undecided(f"--receipt: {words}", code="receipt.schema") from error


def check_items(receipt: Receipt) -> None:
    """Return if every item of the receipt leads to the deleted set that it opens.

    Raises:
        CheckFailed: One does not, comes twice, or is of a channel that was not revoked; or a
            receipt without items opens a set that is not empty.
    """
    root = bytes.fromhex(receipt.openings.deleted_set.digest)
    if not receipt.items and root != empty_root():
        raise CheckFailed("the deleted set has items, the receipt none", code="receipt.items")
    if len({one.index for one in receipt.items}) != len(receipt.items):
        raise CheckFailed("two items in one place of the deleted set", code="receipt.items")
    for one in receipt.items:
        if one.modality not in receipt.modalities:
            raise CheckFailed(f"{one.modality} was not revoked", code="receipt.items")
        leaf, proof = one.leaf(receipt.subject), [bytes.fromhex(part) for part in one.proof]
        try:
            verify_inclusion(leaf, one.index, receipt.tree_size, proof, root)
        except IntegrityError as error:
            raise CheckFailed(
                f"{one.modality} of record {one.record!r} was not in the deleted set",
                code="receipt.item",
            ) from error


def check_learned(receipt: Receipt, guarantee: Guarantee) -> None:
    """Return unless nothing was to be subtracted, and the receipt lists what heads learn from.

    A training record of somebody who may revoke is a row of every head that reads no channel but
    the record's. A record that was stored and never learned from is the one honest reason.

    Raises:
        Undecided: With code `receipt.rows`.
    """
    if guarantee.guarantee_class != "exact" or guarantee.selected_heads:
        return
    found: dict[str, set[str]] = {}
    for one in receipt.items:
        if (one.split, one.cohort) == ("train", "revocable"):
            found.setdefault(one.record, set()).add(one.modality)
    heads = {head: parse_availability(head) for head in guarantee.heads}
    learned = [one for one, names in found.items() if any(p <= names for p in heads.values())]
    if learned:
        more = f", and {len(learned) - 1} more" if len(learned) > 1 else ""
        raise Undecided(
            f"training record {learned[0]!r}{more}, and the certificate says that no head learned "
            "from it",
            code="receipt.rows",
        )


def reproduction(case: Case) -> str:
    """21. Rebuilt from the retained data, the commitments open and the heads are its optimum."""
    if case.reproducer is None:
        raise Undecided("no retained data was given", code="reproduce.missing")
    return case.reproducer(case)
