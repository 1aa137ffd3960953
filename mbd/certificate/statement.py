"""The statement of a certificate: its fields, and what a well-formed one looks like.

An in-toto Statement v1 whose predicate is ours. Every field is required, so that a
certificate has one shape; what does not apply is null or empty. Numbers that are not small
integers are decimal strings in their one spelling.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from mbd.canonical.digest import sha256_hex
from mbd.canonical.json import dumps, loads_strict
from mbd.canonical.numbers import from_decimal
from mbd.canonical.ulid import is_ulid
from mbd.errors import DataError
from mbd.values import HeadParameters, availability_name, check_modality_name, parse_availability

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_FAMILY = "urn:mbd:modality-deletion-certificate:"
PREDICATE_TYPE = PREDICATE_FAMILY + "v1"
SUBJECT_NAME = "model-after"

MAX_STATEMENT_BYTES = 1 << 20
_SMALL = 2**31 - 1
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_SEGMENT = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9._+-]*", re.ASCII)

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


def _day(text: str) -> str:
    if date.fromisoformat(text).isoformat() != text:
        raise ValueError("want YYYY-MM-DD")
    return text


def _time(text: str) -> str:
    if parse_time(text).strftime(_TIME) != text:
        raise ValueError("want YYYY-MM-DDThh:mm:ssZ")
    return text


def _ulid(text: str) -> str:
    if not is_ulid(text):
        raise ValueError("want a ULID")
    return text


def _number(text: str) -> str:
    try:
        negative = from_decimal(text) < 0
    except DataError as error:
        raise ValueError(error.message) from error
    if negative:
        raise ValueError("want a number that is not negative")
    return text


def _head(name: str) -> str:
    try:
        canonical = availability_name(parse_availability(name))
    except DataError as error:
        raise ValueError(error.message) from error
    if canonical != name:
        raise ValueError(f"{name!r} is not a canonical availability")
    return name


def _modality(name: str) -> str:
    try:
        return check_modality_name(name)
    except DataError as error:
        raise ValueError(error.message) from error


def _relative(path: str) -> str:
    if not all(_SEGMENT.fullmatch(part) for part in path.split("/")):
        raise ValueError("want a plain relative path")
    return path


def _ascending(values: tuple[T, ...]) -> tuple[T, ...]:
    """Sorted, and nothing twice: a list that is a set has one spelling."""
    if list(values) != sorted(set(values)):  # type: ignore[type-var]
        raise ValueError("want ascending order without repetition")
    return values


Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}\z")]
Text = Annotated[str, Field(min_length=1, max_length=2000)]
Number = Annotated[str, AfterValidator(_number)]
Count = Annotated[int, Field(ge=0, le=_SMALL)]
Ulid = Annotated[str, AfterValidator(_ulid)]
Day = Annotated[str, AfterValidator(_day)]
Head = Annotated[str, AfterValidator(_head)]
Modality = Annotated[str, AfterValidator(_modality)]
# JSON has arrays, Python has tuples; nothing else is converted.
Items = Annotated[tuple[T, ...], Field(strict=False, max_length=5000)]
Ascending = Annotated[
    tuple[T, ...], Field(strict=False, max_length=5000), AfterValidator(_ascending)
]


class Closed(BaseModel):
    """camelCase in JSON, every field required and of its exact type, none unknown."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)


class Request(Closed):
    """The legal side, in days."""

    received_on: Day
    completed_on: Day
    due_by: Day
    basis: Text


class ModelFile(Closed):
    """One file of the released model."""

    path: Annotated[str, Field(max_length=400), AfterValidator(_relative)]
    sha256: Digest


class Model(Closed):
    """The released model: its files in the order of their paths, and the root over them."""

    digest: Digest
    files: Annotated[tuple[ModelFile, ...], Field(strict=False, min_length=1, max_length=5000)]


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

    modalities: Annotated[Ascending[Modality], Field(min_length=1)]
    model_after: Model
    commitments: Commitments
    stores: Items[Store]
    out_of_scope: Items[OutOfScope]


class Parameters(Closed):
    """The constants of one released head; see `HeadParameters`."""

    head: Head
    dimension: Annotated[int, Field(ge=1, le=_SMALL)]
    outputs: Annotated[int, Field(ge=1, le=_SMALL)]
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
    issued_at: Annotated[str, AfterValidator(_time)]
    issuer: Text
    request: Request
    subject_commitment: Digest
    deletion: Deletion
    guarantee: Guarantee
    claims: Items[Claim]
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
    value = loads_strict(payload, max_bytes=MAX_STATEMENT_BYTES, max_depth=16)
    kind = value.get("predicateType") if isinstance(value, dict) else None
    if isinstance(kind, str) and kind != PREDICATE_TYPE:
        ours = kind.startswith(PREDICATE_FAMILY)
        raise DataError(
            f"predicateType {kind[:100]!r}: this version reads {PREDICATE_TYPE}",
            code="statement.version" if ours else "statement.type",
            field="predicateType",
        )
    return validate(Statement, value, code="statement.schema")


def validate(model: type[M], value: Any, *, code: str) -> M:
    """Build a model from parsed JSON; the first thing wrong becomes our error."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{first['msg']} at {field or 'top'}", code=code, field=field) from error


def manifest_digest(files: Iterable[ModelFile]) -> str:
    """The root over a model: SHA-256 of the RFC 8785 form of `[{path, sha256}, ...]`.

    Sizes stay out: a certificate holds none.

    Raises:
        DataError: The paths are not ascending, or one comes twice.
    """
    manifest = [{"path": file.path, "sha256": file.sha256} for file in files]
    paths = [entry["path"] for entry in manifest]
    if paths != sorted(set(paths)):
        raise DataError("files: want ascending paths without repetition", code="model.digest")
    return sha256_hex(dumps(manifest))


def format_time(moment: datetime) -> str:
    """An aware time as certificates write it: UTC, whole seconds."""
    if moment.tzinfo is None:
        raise DataError(f"time without a zone: {moment}", code="statement.time")
    return moment.astimezone(UTC).strftime(_TIME)


def parse_time(text: str) -> datetime:
    """Inverse of `format_time`; ValueError for another form."""
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)
