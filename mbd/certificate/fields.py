"""Kinds of fields: how a certificate, an envelope or a receipt writes one value.

Each kind has one spelling, so that equal content has equal bytes.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Annotated, Any, TypeVar, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field, ValidationError
from pydantic.alias_generators import to_camel

from mbd.canonical.numbers import from_decimal
from mbd.canonical.times import utc
from mbd.canonical.ulid import is_ulid
from mbd.certificate.characters import is_shown
from mbd.errors import DataError
from mbd.values import availability_name, check_modality_name, parse_availability

_SMALL = 2**31 - 1
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_SEGMENT = r"[A-Za-z0-9_+][A-Za-z0-9._+-]*+"
_RELATIVE = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*+", re.ASCII)

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

_often = lru_cache(maxsize=256)
"""Decorates a check of texts that most certificates of an issuer repeat."""


@_often
def _day(text: str) -> str:
    if date.fromisoformat(text).isoformat() != text:
        raise ValueError("want YYYY-MM-DD")
    return text


def _time(text: str) -> str:
    parse_time(text)
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


@_often
def _text(text: str) -> str:
    """Refuse what a terminal would act on or hide: control characters, changes of direction."""
    if not is_shown(text):
        raise ValueError("want printable characters on one line")
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


@_often
def _relative(path: str) -> str:
    if not _RELATIVE.fullmatch(path):
        raise ValueError("want a plain relative path")
    return path


def _ascending(values: tuple[T, ...]) -> tuple[T, ...]:
    """Sorted, and nothing twice: a list that is a set has one spelling."""
    if list(values) != sorted(set(values)):  # type: ignore[type-var]
        raise ValueError("want ascending order without repetition")
    return values


Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}\z")]
Text = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_text)]
Number = Annotated[str, AfterValidator(_number)]
Size = Annotated[int, Field(ge=1, le=_SMALL)]
Count = Annotated[int, Field(ge=0, le=_SMALL)]
Ulid = Annotated[str, AfterValidator(_ulid)]
Moment = Annotated[str, AfterValidator(_time)]
Day = Annotated[str, AfterValidator(_day)]
RelativePath = Annotated[str, Field(max_length=400), AfterValidator(_relative)]
Head = Annotated[str, AfterValidator(_head)]
Modality = Annotated[str, AfterValidator(_modality)]
# JSON has arrays, Python has tuples; nothing else is converted.
# The first item at fault ends the reading of a list: thousands of them would fill the memory.
Items = Annotated[tuple[T, ...], Field(strict=False, max_length=5000), FailFast()]
Ascending = Annotated[
    tuple[T, ...], Field(strict=False, max_length=5000), FailFast(), AfterValidator(_ascending)
]

_MANY_ERRORS = 1000


class Closed(BaseModel):
    """camelCase in JSON, every field required and of its exact type, none unknown."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)


def validate(model: type[M], value: Any, *, code: str) -> M:
    """Build a model from parsed JSON; the first thing wrong becomes our error."""
    try:
        return cast(M, model.__pydantic_validator__.validate_python(value))
    except ValidationError as error:
        if error.error_count() > _MANY_ERRORS:  # unknown keys; do not list them all
            raise DataError(f"{error.error_count()} things wrong", code=code) from None
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{first['msg']} at {field or 'top'}", code=code, field=field) from error


def format_time(moment: datetime) -> str:
    """An aware time as certificates write it: UTC, whole seconds."""
    if moment.tzinfo is None:
        raise DataError(f"time without a zone: {moment}", code="statement.time")
    return moment.astimezone(UTC).strftime(_TIME)


def parse_time(text: str) -> datetime:
    """Inverse of `format_time`; ValueError for another form."""
    return utc(text)
