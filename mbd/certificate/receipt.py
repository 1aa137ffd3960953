"""The receipt: what the subject gets, and nobody else.

It opens the commitments of one certificate. Whoever holds it can link the certificate to
the subject, so it is handed over and then deleted by the issuer.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from mbd.canonical.json import dumps, loads_strict
from mbd.certificate.fields import Closed, Digest, Modality, Ulid, validate
from mbd.certificate.issue import COMMITMENTS
from mbd.certificate.statement import Predicate
from mbd.errors import DataError, IntegrityError
from mbd.signing.commitment import commit, subject_commitment

MAX_RECEIPT_BYTES = 64 * 1024


class Opening(Closed):
    """A salt and the digest that the certificate commits to under it (hex)."""

    salt: Digest
    digest: Digest


class Openings(Closed):
    """One opening per commitment."""

    dataset_before: Opening
    dataset_after: Opening
    state_after: Opening
    deleted_set: Opening


class Receipt(Closed):
    """Opens what one certificate says about one subject."""

    receipt: Literal["urn:mbd:receipt:v1"]
    certificate_id: Ulid
    subject: Annotated[str, Field(min_length=1, max_length=1000)]
    """The subject's id in the data set."""
    modalities: Annotated[tuple[Modality, ...], Field(strict=False, min_length=1)]
    subject_key: Digest
    """From `signing.commitment.subject_key`; it opens this certificate only (hex)."""
    openings: Openings

    def to_bytes(self) -> bytes:
        """RFC 8785 bytes."""
        return dumps(self.model_dump(mode="json", by_alias=True))


def make_receipt(
    predicate: Predicate,
    *,
    subject: str,
    subject_key: bytes,
    salts: Mapping[str, bytes],
    digests: Mapping[str, str],
) -> Receipt:
    """The receipt of a certificate; it is opened once here, so a wrong one is never issued.

    Args:
        predicate: The certificate.
        subject: The subject's id.
        subject_key: What `signing.commitment.subject_key` gave for this certificate.
        salts: By the names of `COMMITMENTS`, see `Salts.named`.
        digests: By the same names, see `issue.openings`.

    Raises:
        IntegrityError: It does not open the certificate.
    """
    content = {
        "receipt": "urn:mbd:receipt:v1",
        "certificateId": predicate.certificate_id,
        "subject": subject,
        "modalities": list(predicate.deletion.modalities),
        "subjectKey": subject_key.hex(),
        "openings": {
            kind: {"salt": salts[kind].hex(), "digest": digests[kind]} for kind in COMMITMENTS
        },
    }
    receipt = validate(Receipt, content, code="receipt.schema")
    open_commitments(receipt, predicate)
    return receipt


def parse_receipt(data: bytes) -> Receipt:
    """Read a receipt.

    Raises:
        DataError: Not strict JSON (`json.*`) or a field at fault (`receipt.schema`).
    """
    value = loads_strict(data, max_bytes=MAX_RECEIPT_BYTES, max_depth=4)
    return validate(Receipt, value, code="receipt.schema")


def open_commitments(receipt: Receipt, predicate: Predicate) -> None:
    """Return if the receipt opens every commitment of this certificate.

    Raises:
        DataError: It is the receipt of another certificate (`receipt.other`).
        IntegrityError: A commitment does not open (`receipt.subject`, `receipt.opening`).
    """
    if receipt.certificate_id != predicate.certificate_id:
        raise DataError(f"this receipt is for {receipt.certificate_id}", code="receipt.other")
    key = bytes.fromhex(receipt.subject_key)
    opened = subject_commitment(key, receipt.certificate_id, receipt.subject)
    if not hmac.compare_digest(opened, predicate.subject_commitment):
        raise IntegrityError("the subject does not open the commitment", code="receipt.subject")
    if receipt.modalities != predicate.deletion.modalities:
        raise IntegrityError("the modalities are not the certificate's", code="receipt.modalities")
    offered = receipt.openings.model_dump(by_alias=True)
    stated = predicate.deletion.commitments.model_dump(by_alias=True)
    for kind in COMMITMENTS:
        opening = offered[kind]
        if commit(bytes.fromhex(opening["salt"]), kind, opening["digest"]) != stated[kind]:
            raise IntegrityError(f"{kind} does not open its commitment", code="receipt.opening")
