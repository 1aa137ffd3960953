"""Canonical JSON out (RFC 8785), strict JSON in.

Bytes that are hashed or signed are made by `dumps`. Bytes that came from elsewhere go
through `loads_strict`, which gives one meaning to a text or refuses it; it never
re-canonicalises, so a verifier judges the bytes it received.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import rfc8785
from pydantic_core import from_json, to_json

from mbd.errors import DataError

MAX_INTEGER = 2**53 - 1
"""Largest magnitude that every JSON reader holds exactly."""

MAX_MARKS = 250_000
"""Most commas, colons, quotes and opening brackets in a stranger's text, strings included.

Every value needs one of them and takes some 110 bytes of memory at most, so parsing is
bounded by them and by the length of the strings.
"""
_MARKS = b'",:[{'

_PARENTHESES = bytes.maketrans(b"{}[]", b"()()")
_NO_BRACKET = bytes(set(range(256)) - set(b"{}[]"))
# A string (perhaps unterminated: the parser reports that), or one bracket.
_STRING_OR_BRACKET = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)

_ANY_DEPTH = 100
"""Deeper values are left to the reference."""

_SURROGATE = re.compile("[\ud800-\udfff]")

# For what `_is_plain`, the form of RFC 8785.
_PLAIN = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, sort_keys=True, separators=(",", ":")
)


def dumps(value: Any) -> bytes:
    """Serialise to RFC 8785 bytes: sorted keys, no spaces, ES6 numbers, UTF-8.

    Raises:
        DataError: A value JSON cannot hold: NaN, infinity, an integer beyond 2^53 - 1,
            a key that is not text, a lone surrogate, another type.
    """
    try:
        if _is_plain(value, _ANY_DEPTH):
            return _PLAIN.encode(value).encode("utf-8")
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise DataError(f"not canonical JSON: {error}", code="json.value") from error


def dumps_in_order(value: Any) -> bytes:
    """`dumps` where objects have their keys, which are ASCII, in order already; faster.

    For strings and integers in range only: the reader of canonical bytes knows of both.

    Raises:
        DataError: A lone surrogate.
    """
    try:
        return to_json(value)
    except ValueError as error:
        raise DataError(f"not canonical JSON: {error}", code="json.value") from error


def _is_plain(value: Any, max_depth: int) -> bool:
    """Whether Python's own encoder, which is much faster, writes a value as RFC 8785 does.

    The two differ in how they spell floats, order keys beyond ASCII, and in what they refuse.
    A value that is nested deeper than `max_depth` is not plain either.
    """
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return True
    if kind is int:
        return bool(-MAX_INTEGER <= value <= MAX_INTEGER)
    if max_depth < 1:
        return False
    if kind is dict:
        for key, member in value.items():
            if type(key) is not str or not key.isascii() or not _is_plain(member, max_depth - 1):
                return False
        return True
    return (kind is list or kind is tuple) and all(_is_plain(one, max_depth - 1) for one in value)


def loads_and_compare(
    data: bytes,
    *,
    max_bytes: int = 1 << 20,
    max_depth: int = 32,
    max_marks: int | None = None,
) -> tuple[Any, bool]:
    """What `loads_strict` reads, and whether `dumps` would write the same bytes.

    Raises:
        DataError: As `loads_strict` does.
    """
    try:
        value = loads_written_back(data, max_bytes=max_bytes, max_marks=max_marks)
        if _is_canonical(value, max_depth):
            return value, True
    except ValueError:
        pass  # below it gets its reason
    value = loads_strict(data, max_bytes=max_bytes, max_depth=max_depth, max_marks=max_marks)
    return value, dumps(value) == data


def loads_written_back(
    data: bytes, *, max_bytes: int = 1 << 20, max_marks: int | None = None
) -> Any:
    """What a text says that is written back as it was: so it has one reading.

    A key that comes twice, a second spelling of a character or -0 would be lost on the way.
    Left to the caller: numbers that `loads_strict` refuses (a closed schema knows its types),
    nesting (at most 200 levels) and the order of keys. Much faster than `loads_strict`, which
    says what is wrong with a text that is refused here.

    Raises:
        ValueError: It is not, or too large.
    """
    if len(data) > max_bytes or (max_marks is not None and _has_more_marks(data, max_marks)):
        raise ValueError("too large")
    value = from_json(data, allow_inf_nan=False, cache_strings="keys")
    if to_json(value) != data:
        raise ValueError("written in another way")
    return value


def _is_canonical(value: Any, max_depth: int) -> bool:
    """Whether a value that was read is plain and all keys are in order."""
    kind = type(value)
    if kind is dict:
        keys = list(value)
        if max_depth < 1 or keys != sorted(keys) or not "".join(keys).isascii():
            return False
        value = value.values()
    elif kind is not list:
        return _is_plain(value, max_depth)
    return max_depth >= 1 and all(
        type(one) is str or _is_canonical(one, max_depth - 1) for one in value
    )


def loads_strict(
    data: bytes,
    *,
    max_bytes: int = 1 << 20,
    max_depth: int | None = 32,
    max_marks: int | None = None,
    allow_floats: bool = False,
) -> Any:
    """Parse one JSON text that has exactly one reading.

    Args:
        data: UTF-8 without a byte order mark.
        max_bytes: Largest size accepted; checked before anything is read.
        max_depth: Deepest nesting of arrays and objects accepted; None leaves that to a closed
            schema, and to the parser, which gives up at some hundred levels.
        max_marks: See `MAX_MARKS`: what bounds the memory; counted before anything is parsed.
            Not counted if None, for files that this program wrote.
        allow_floats: Accept numbers with a fraction or an exponent, if finite. Certificates
            write such numbers as strings (`canonical.numbers`), so the default refuses them.

    Raises:
        DataError: With code `json.size`, `json.utf8`, `json.depth`, `json.duplicate_key`,
            `json.number`, `json.string` or `json.syntax`.
    """
    if len(data) > max_bytes:
        raise DataError(f"{len(data)} bytes; at most {max_bytes} are read", code="json.size")
    if max_marks is not None and _has_more_marks(data, max_marks):
        raise DataError(f"more than {max_marks} values and separators", code="json.size")
    try:
        text = data.decode("utf-8", errors="strict")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 at byte {error.start}", code="json.utf8") from error
    if max_depth is not None:
        check_depth(data, max_depth)
    value = _parse(text, allow_floats)
    if b"\\u" in data:
        _check_strings(value)
    return value


def _has_more_marks(data: bytes, limit: int) -> bool:
    return len(data) > limit and len(data) - len(data.translate(None, _MARKS)) > limit


def _parse(text: str, allow_floats: bool) -> Any:
    try:
        return (_WITH_FLOATS if allow_floats else _WITHOUT_FLOATS).decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise DataError(f"not JSON: {error.msg} at {where}", code="json.syntax") from error
    except RecursionError as error:
        raise DataError("nested too deep", code="json.depth") from error


def check_depth(data: bytes, max_depth: int) -> None:
    """Refuse deep nesting, in one pass and without recursion.

    Raises:
        DataError: With the code `json.depth`.
    """
    if b"\\" not in data:  # then every second part is a string: leave them out, quickly
        data = b"".join(data.split(b'"')[::2])
        if _collapses(data.translate(_PARENTHESES, _NO_BRACKET), max_depth):
            return
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(data):
        first = match[0][:1]
        if first in b"[{":
            depth += 1
        elif first in b"]}":
            depth -= 1
        if depth > max_depth:
            raise DataError(f"nested deeper than {max_depth} levels", code="json.depth")


def _collapses(parentheses: bytes, max_depth: int) -> bool:
    """Whether they are balanced and at most so deep: each turn takes the innermost pairs away."""
    for _ in range(max_depth):
        parentheses = parentheses.replace(b"()", b"")
        if not parentheses:
            return True
    return not parentheses


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise DataError(f"the key {twice!r} appears twice", code="json.duplicate_key", field=twice)
    return found


def _integer(text: str) -> int:
    # The length first: converting a huge decimal is slow, and refused by Python beyond 4300.
    if len(text) > 17 or abs(int(text)) > MAX_INTEGER or text == "-0":
        raise DataError(f"the integer {text[:32]} is beyond 2^53 - 1 or is -0", code="json.number")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise DataError(f"the number {text[:32]} is too large", code="json.number")
    return value


def _refuse_number(text: str) -> float:
    raise DataError(f"the number {text[:32]} is not an integer", code="json.number")


_WITH_FLOATS, _WITHOUT_FLOATS = (
    json.JSONDecoder(
        object_pairs_hook=_unique,
        parse_constant=_refuse_number,
        parse_int=_integer,
        parse_float=read,
    )
    for read in (_finite, _refuse_number)
)


def _check_strings(value: Any) -> None:
    """Refuse lone surrogates: escapes that no UTF-8 text can hold."""
    for text in _strings(value):
        if not text.isascii() and _SURROGATE.search(text):
            raise DataError("a string holds a lone surrogate", code="json.string")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for member in value.values():
            yield from _strings(member)
    elif isinstance(value, list):
        for member in value:
            yield from _strings(member)
