"""The receipt: what the subject gets, and nobody else.

It opens the commitments of one certificate, shows each item that was erased with the proof
that it was in the deleted set, and holds fingerprints by which a later scan would find an
erased value again. Whoever holds it can link the certificate to the subject, so it is handed
over and then deleted by the issuer. An excerpt shows one item and nothing about the others.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import FailFast, Field, model_validator

from mbd.canonical.items import Item, ProvedItem
from mbd.canonical.json import dumps, loads_strict
from mbd.certificate.fields import (
    Closed,
    Count,
    Digest,
    Items,
    Modality,
    Size,
    Text,
    Ulid,
    validate,
)
from mbd.certificate.issue import COMMITMENTS
from mbd.certificate.statement import Predicate
from mbd.errors import DataError, IntegrityError, NotFoundError
from mbd.signing.commitment import commit, subject_commitment

MAX_RECEIPT_BYTES = 1 << 26
"""Some fifty thousand items: one person's, in one certificate."""
BOUNDED_RECEIPT_BYTES = 1 << 22
"""Up to here, some three thousand items, reading takes at most 64 MB of memory and a second,
whatever the content. Beyond, both grow with the size: an honest receipt has to be readable."""
_BYTES_PER_MARK = 8
"""At least, in files larger than that; receipts have about 13. See `canonical.json.MAX_MARKS`."""

WHOLE = "urn:mbd:receipt:v1"
EXCERPT = "urn:mbd:receipt-excerpt:v1"

Name = Annotated[str, Field(min_length=1, max_length=1000)]
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{16}\z")]


class Opening(Closed):
    """A salt and the digest that the certificate commits to under it (hex)."""

    salt: Digest
    digest: Digest


class Openings(Closed):
    """One opening per commitment; an excerpt opens the deleted set only."""

    dataset_before: Opening | None
    dataset_after: Opening | None
    state_after: Opening | None
    deleted_set: Opening


class ItemProof(Closed):
    """One channel of one record that was erased, and its place in the deleted set."""

    record: Name
    cohort: Text
    split: Text
    label: Text
    modality: Modality
    steps: Size
    features: Digest
    """SHA-256 of the values that were erased."""
    salt: Digest
    index: Count
    proof: Annotated[tuple[Digest, ...], Field(strict=False, max_length=64), FailFast()]
    """From the sibling of the leaf up to the root, RFC 6962, section 2.1.1."""

    def leaf(self, subject: str) -> bytes:
        """The leaf hash, from what the item is."""
        fields = self.model_dump(exclude={"index", "proof"})
        return Item(subject=subject, **fields).leaf()


class TraceGroup(Closed):
    """Fingerprints of erased values of one kind and length, see `mbd.data.traces`."""

    kind: Text
    length: Size
    entries: Annotated[str, Field(max_length=MAX_RECEIPT_BYTES)]


class Traces(Closed):
    """What `mbd data scan` looks for, beside the salts of the items."""

    base: Hex64
    salt: Digest
    groups: Annotated[tuple[TraceGroup, ...], Field(strict=False, max_length=100), FailFast()]
    left_out: Count
    vanished: Annotated[tuple[Name, ...], Field(strict=False, max_length=1_000_000), FailFast()]
    """Ids of the records that had nothing left."""


class Receipt(Closed):
    """Opens what one certificate says about one subject."""

    receipt: Literal["urn:mbd:receipt:v1", "urn:mbd:receipt-excerpt:v1"]
    certificate_id: Ulid
    subject: Annotated[str, Field(min_length=1, max_length=1000)]
    """The subject's id in the data set."""
    modalities: Annotated[Items[Modality], Field(min_length=1)]
    subject_key: Digest
    """From `signing.commitment.subject_key`; it opens this certificate only (hex)."""
    openings: Openings
    tree_size: Count
    """Items in the deleted set."""
    items: Annotated[tuple[ItemProof, ...], Field(strict=False, max_length=1_000_000), FailFast()]
    traces: Traces | None

    @property
    def whole(self) -> bool:
        """Whether this is all of it, not an excerpt."""
        return self.receipt == WHOLE

    @model_validator(mode="after")
    def _check_kind(self) -> Receipt:
        opened = [name for name, one in self.openings if one is not None]
        complete = len(opened) == len(COMMITMENTS) and self.traces is not None
        if self.whole and not (complete and len(self.items) == self.tree_size):
            raise ValueError("a receipt opens every commitment and has every item")
        if not self.whole and (len(opened) > 1 or self.traces or len(self.items) != 1):
            raise ValueError("an excerpt has one item and opens the deleted set only")
        return self

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
    items: Sequence[ProvedItem],
    traces: Mapping[str, Any],
) -> Receipt:
    """The receipt of a certificate; it is opened once here, so a wrong one is never issued.

    Args:
        predicate: The certificate.
        subject: The subject's id.
        subject_key: What `signing.commitment.subject_key` gave for this certificate.
        salts: By the names of `COMMITMENTS`, see `Salts.named`.
        digests: By the same names, see `issue.openings`.
        items: What was erased, all of it, see `canonical.items.prove_items`.
        traces: What a later scan looks for; the fields of `Traces` in camelCase.

    Raises:
        IntegrityError: It does not open the certificate.
    """
    content = {
        "receipt": WHOLE,
        "certificateId": predicate.certificate_id,
        "subject": subject,
        "modalities": list(predicate.deletion.modalities),
        "subjectKey": subject_key.hex(),
        "openings": {
            kind: {"salt": salts[kind].hex(), "digest": digests[kind]} for kind in COMMITMENTS
        },
        "treeSize": len(items),
        "items": [_item_json(one) for one in items],
        "traces": dict(traces),
    }
    receipt = validate(Receipt, content, code="receipt.schema")
    open_commitments(receipt, predicate)
    return receipt


def excerpt(receipt: Receipt, record: str, modality: str) -> Receipt:
    """What proves that one item was in the deleted set, and shows none of the others.

    Raises:
        NotFoundError: The receipt has no such item.
    """
    found = [one for one in receipt.items if (one.record, one.modality) == (record, modality)]
    if not found:
        raise NotFoundError(
            f"no {modality} of record {record!r} in this receipt",
            code="receipt.no_item",
            field="--record",
            hint="`mbd receipt show` lists what it holds",
        )
    only = Openings.model_construct(
        dataset_before=None,
        dataset_after=None,
        state_after=None,
        deleted_set=receipt.openings.deleted_set,
    )
    changes = {"receipt": EXCERPT, "openings": only, "items": tuple(found), "traces": None}
    return receipt.model_copy(update=changes)


def parse_receipt(data: bytes) -> Receipt:
    """Read a receipt.

    Raises:
        DataError: Not strict JSON (`json.*`) or a field at fault (`receipt.schema`).
    """
    most = max(len(data), BOUNDED_RECEIPT_BYTES) // _BYTES_PER_MARK
    value = loads_strict(data, max_bytes=MAX_RECEIPT_BYTES, max_depth=6, max_marks=most)
    return validate(Receipt, value, code="receipt.schema")


def open_commitments(receipt: Receipt, predicate: Predicate) -> None:
    """Return if what the receipt opens is what this certificate commits to.

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
        if opening is None:
            continue
        if commit(bytes.fromhex(opening["salt"]), kind, opening["digest"]) != stated[kind]:
            raise IntegrityError(f"{kind} does not open its commitment", code="receipt.opening")


def _item_json(proved: ProvedItem) -> dict[str, Any]:
    item = proved.item.to_json()
    del item["subject"]  # the receipt names its subject once
    return {**item, "index": proved.index, "proof": [digest.hex() for digest in proved.proof]}
