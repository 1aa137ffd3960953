"""The statement of a certificate: its fields, and what a well-formed one looks like.

An in-toto Statement v1 whose predicate is ours. Every field is required, so that a
certificate has one shape; what does not apply is null or empty. Numbers that are not small
integers are decimal strings in their one spelling.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from mbd.canonical.digest import files_root
from mbd.canonical.json import MAX_MARKS, dumps, loads_strict, loads_written_back
from mbd.canonical.numbers import from_decimal
from mbd.certificate.fields import (
    Ascending,
    Closed,
    Count,
    Day,
    Digest,
    Head,
    Items,
    Modality,
    Moment,
    Number,
    RelativePath,
    Size,
    Text,
    Ulid,
    validate,
)
from mbd.certificate.shared_parts import remembered
from mbd.errors import DataError
from mbd.values import HeadParameters

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_FAMILY = "urn:mbd:modality-deletion-certificate:"
PREDICATE_TYPE = PREDICATE_FAMILY + "v1"
SUBJECT_NAME = "model-after"

MAX_STATEMENT_BYTES = 1 << 20
_MAX_DEPTH = 16


class Request(Closed):
    """The legal side, in days."""

    received_on: Day
    completed_on: Day
    due_by: Day
    basis: Text


class ModelFile(Closed):
    """One file of the released model."""

    path: RelativePath
    sha256: Digest


class Model(Closed):
    """The released model: its files in the order of their paths, and the root over them."""

    digest: Digest
    files: Annotated[Items[ModelFile], Field(min_length=1)]


class Commitments(Closed):
    """Digests of personal data, each hidden under a salt of its own."""

    dataset_before: Digest
    dataset_after: Digest
    state_after: Digest
    deleted_set: Digest


class Store(Closed):
    """What was erased where, and what a scan afterwards found."""

    store: Text
    action: Text
    scan: Text


class OutOfScope(Closed):
    """A place that erasure cannot reach."""

    what: Text
    reason: Text


class Deletion(Closed):
    """What was removed, and what the model is now."""

    modalities: Annotated[Ascending[Modality], Field(min_length=1), remembered()]
    model_after: Model
    commitments: Commitments
    stores: Annotated[Items[Store], remembered()]
    out_of_scope: Annotated[Items[OutOfScope], remembered()]


class Parameters(Closed):
    """The constants of one released head; see `HeadParameters`."""

    head: Head
    dimension: Size
    outputs: Size
    strong_convexity: Number
    tolerance: Number
    sensitivity: Number
    sigma: Number
    grid: Number

    def values(self) -> HeadParameters:
        """The same as floats; every decimal is the exact float it was written from."""
        return HeadParameters(
            head=self.head,
            dimension=self.dimension,
            outputs=self.outputs,
            strong_convexity=from_decimal(self.strong_convexity),
            tolerance=from_decimal(self.tolerance),
            sensitivity=from_decimal(self.sensitivity),
            sigma=from_decimal(self.sigma),
            grid=from_decimal(self.grid),
        )


class PolicyEntry(Closed):
    """Where the ledger holds the choices made before any state was built."""

    index: Count
    leaf_hash: Digest
    digest: Digest


class Guarantee(Closed):
    """What is promised about the released heads."""

    guarantee_class: Literal["certified", "exact", "empirical"] = Field(alias="class")
    theorem: Text | None
    comparator: Text
    neighbouring: Text
    not_covered: Items[Text]
    policy_entry: PolicyEntry
    heads: Annotated[Ascending[Head], Field(min_length=1)]
    """Every head of the model."""
    selected_heads: Ascending[Head]
    """The heads that this request replaced."""
    parameters: Items[Parameters]
    """One object per selected head, in the same order; empty without noise."""
    rho: Number | None
    epsilon: Number | None
    delta: Number | None
    arithmetic: Text
    attempts: Count
    """How many releases from this state rho adds up."""
    reproduce: Text | None
    """Command that rebuilds the state from the retained data and compares."""


def few_heads(guarantee: Guarantee, *_: Any) -> bool:
    """For `shared_parts.once`: whether a guarantee is small enough to be held."""
    return len(guarantee.heads) <= 64


class Claim(Closed):
    """One sentence, and how far it can be trusted."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z-]{0,60}\z")]
    status: Literal["asserted", "checked", "measured", "reproducible"]
    text: Text


class LedgerHead(Closed):
    """The checkpoint when the certificate was issued: its own entry comes after."""

    origin: Text
    size: Count
    root: Digest


class Predicate(Closed):
    """The certificate."""

    certificate_id: Ulid
    salt: Digest
    """Random, so that nobody can guess a statement from its hash in the ledger."""
    issued_at: Moment
    issuer: Text
    request: Request
    subject_commitment: Digest
    deletion: Deletion
    guarantee: Annotated[Guarantee, remembered()]
    claims: Annotated[Items[Claim], remembered()]
    ledger: LedgerHead
    supersedes: Ulid | None


class DigestSet(Closed):
    """in-toto DigestSet with the one algorithm used here."""

    sha256: Digest


class Resource(Closed):
    """in-toto ResourceDescriptor: what the statement is about."""

    name: Literal["model-after"]
    digest: DigestSet


class Statement(Closed):
    """in-toto Statement v1."""

    statement_type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: Annotated[tuple[Resource, ...], Field(strict=False, min_length=1, max_length=1)]
    predicate_type: Literal["urn:mbd:modality-deletion-certificate:v1"]
    predicate: Predicate

    def to_bytes(self) -> bytes:
        """RFC 8785 bytes: what an issuer signs."""
        return dumps(self.model_dump(mode="json", by_alias=True))


def parse_statement(payload: bytes) -> Statement:
    """Read the bytes that were signed.

    Raises:
        DataError: Not strict JSON (`json.*`), another format (`statement.type`), a newer
            version of ours (`statement.version`), or a field at fault (`statement.schema`).
    """
    quick = _parse_quickly(payload)
    if quick is not None:
        return quick
    return _statement(
        loads_strict(
            payload, max_bytes=MAX_STATEMENT_BYTES, max_depth=_MAX_DEPTH, max_marks=MAX_MARKS
        )
    )


def _parse_quickly(payload: bytes) -> Statement | None:
    """The statement in bytes that are written back as they were; None leaves it to the strict way.

    The schema takes no number but integers in its own range, and no -0 is written back.
    """
    try:
        return _statement(
            loads_written_back(payload, max_bytes=MAX_STATEMENT_BYTES, max_marks=MAX_MARKS)
        )
    except (ValueError, DataError):
        return None


def _statement(value: Any) -> Statement:
    kind = value.get("predicateType") if isinstance(value, dict) else None
    if isinstance(kind, str) and kind != PREDICATE_TYPE:
        ours = kind.startswith(PREDICATE_FAMILY)
        raise DataError(
            f"predicateType {kind[:100]!r}: this version reads {PREDICATE_TYPE}",
            code="statement.version" if ours else "statement.type",
            field="predicateType",
        )
    return validate(Statement, value, code="statement.schema")


def manifest_digest(files: Sequence[ModelFile]) -> str:
    """The root over the files of a model (hex), see `canonical.digest.files_root`.

    Raises:
        DataError: The paths are not ascending, or one comes twice.
    """
    paths = [file.path for file in files]
    if paths != sorted(set(paths)):
        raise DataError("files: want ascending paths without repetition", code="model.digest")
    return files_root(files)
