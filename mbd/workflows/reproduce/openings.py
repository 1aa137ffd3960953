"""What opens a certificate's commitments: the person's receipt, or the auditor's escrow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from mbd.certificate.escrow import ESCROWED, Escrow, parse_escrow
from mbd.certificate.receipt import Receipt, open_commitments
from mbd.certificate.statement import Predicate
from mbd.errors import DataError
from mbd.signing.commitment import commit
from mbd.verify.case import Undecided
from mbd.verify.extras import check_items, read_receipt
from mbd.verify.mistaken import at_fault


@dataclass(frozen=True)
class Openings:
    """Salts of one certificate."""

    commitments: dict[str, str]
    """What the certificate commits to, by the names of `ESCROWED`."""
    salts: dict[str, bytes]
    receipt: Receipt | None
    """None where an escrow opens, which does not say whose data was removed."""
    beside: Escrow | None = None
    """Of another certificate: it opens what was there before, if that is the one before."""

    def opens(self, kind: str, digest: str) -> bool:
        """Whether the certificate commits to this digest as the `kind` it is."""
        return commit(self.salts[kind], kind, digest) == self.commitments[kind]


@dataclass(frozen=True)
class Offered:
    """The files that were given, as bytes; each is read once, whatever is verified with it."""

    receipt_bytes: bytes | None
    escrow_bytes: bytes | None

    def for_certificate(self, predicate: Predicate) -> Openings:
        """What opens this certificate.

        Raises:
            Undecided: Nothing was given (`reproduce.openings`), it belongs to another certificate
                (`reproduce.other`), opens too little (`reproduce.excerpt`), or is no escrow
                (`escrow.schema`) or no receipt (`receipt.schema`).
            MbdError: The receipt does not open the certificate.
        """
        wanted = predicate.certificate_id
        receipt, escrow = self._receipt, self._escrow
        stated = predicate.deletion.commitments.model_dump(by_alias=True)
        commitments = {kind: stated[kind] for kind in ESCROWED}
        if receipt is not None and receipt.certificate_id == wanted:
            beside = None if escrow is None or escrow.certificate_id == wanted else escrow
            return Openings(commitments, _salts(receipt, predicate), receipt, beside)
        if escrow is not None and escrow.certificate_id == wanted:
            return Openings(commitments, escrow.named(), None)
        raise _nothing(receipt, escrow)

    @cached_property
    def _receipt(self) -> Receipt | None:
        return None if self.receipt_bytes is None else read_receipt(self.receipt_bytes)

    @cached_property
    def _escrow(self) -> Escrow | None:
        if self.escrow_bytes is None:
            return None
        try:
            return parse_escrow(self.escrow_bytes)
        except DataError as error:  # says nothing against the certificate
            words = at_fault(self.escrow_bytes, error.message, "escrow")
            raise Undecided(f"--escrow: {words}", code="escrow.schema") from error


def _salts(receipt: Receipt, predicate: Predicate) -> dict[str, bytes]:
    open_commitments(receipt, predicate)
    check_items(receipt)
    if not receipt.whole:
        raise Undecided(
            "an excerpt opens the deleted set only: give the whole receipt",
            code="reproduce.excerpt",
        )
    openings = receipt.openings.model_dump(by_alias=True)
    return {kind: bytes.fromhex(openings[kind]["salt"]) for kind in ESCROWED}


def _nothing(receipt: Receipt | None, escrow: Escrow | None) -> Undecided:
    if receipt is not None:
        return Undecided(f"the receipt is for {receipt.certificate_id}", code="reproduce.other")
    if escrow is not None:
        return Undecided(f"the escrow is for {escrow.certificate_id}", code="reproduce.other")
    return Undecided(
        "neither a receipt nor an escrow opens the commitments", code="reproduce.openings"
    )
