"""One value has one canonical text, and one text has one reading or none."""

from __future__ import annotations

import json
import math

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from mbd.canonical.json import MAX_INTEGER, dumps, dumps_in_order, loads_and_compare, loads_strict
from mbd.errors import DataError
from tests.shared import shared_path

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("name", ["arrays", "french", "structures", "unicode", "values", "weird"])
def test_published_canonical_forms(name):
    folder = shared_path("vectors/jcs-rfc8785")
    value = json.loads((folder / "input" / f"{name}.json").read_bytes())
    assert dumps(value) == (folder / "output" / f"{name}.json").read_bytes()
    assert dumps(value) == bytes.fromhex((folder / "outhex" / f"{name}.txt").read_text())


@given(VALUES)
def test_reading_inverts_writing_and_canonical_text_is_a_fixed_point(value):
    text = dumps(value)
    assert loads_strict(text) == value
    assert dumps(loads_strict(text)) == text


@given(st.one_of(VALUES, st.tuples(VALUES, st.floats(allow_nan=False, allow_infinity=False))))
@example('\x00\x1f\x7f\u2028"\\/\b\f\n\r\t\U0001f600')
@example({"\uffff": 1, "\U0001f600": 2})
@example([{"b": True, "a": (None, -0, 2**53 - 1)}])
def test_the_fast_way_writes_what_the_reference_writes(value):
    assert dumps(value) == rfc8785.dumps(value)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
@example(["".join(map(chr, range(0x300)))])
@example(["\u2028\ufeff\uffff\U0001f600"])
def test_what_is_in_order_already_is_written_the_same(texts):
    value = [{"path": text, "sha256": [text]} for text in texts]
    assert dumps_in_order(value) == rfc8785.dumps(value)


def test_a_lone_surrogate_is_not_written_in_order_either():
    with pytest.raises(DataError):
        dumps_in_order(["\ud800"])


TEXTS = (
    st.binary(max_size=40)
    | VALUES.map(lambda value: json.dumps(value).encode())
    | VALUES.map(lambda value: json.dumps(value, sort_keys=True, separators=(",", ":")).encode())
    | VALUES.map(dumps)
    | st.text('[]{},:"01-.eE\\ut ', max_size=12).map(str.encode)
    | st.text('[]{}",\\', max_size=30).map(str.encode)
)


@given(TEXTS, st.integers(0, 4))
@example(b'{"a":1,"a":1}', 3)
@example(b"[-0]", 3)
@example(b"[9007199254740992]", 3)
@example(b"[NaN]", 3)
@example(b"[1.0]", 3)
@example(b'"\\ud800"', 3)
@example(b"[[]]", 1)
@example('{"\uffff":1,"\U0001f600":2}'.encode(), 3)
@example('{"\U0001f600":2,"\uffff":1}'.encode(), 3)
@example(b"\xff", 3)
@example(b'{"b":1,"a":2}', 3)
@example(b'[{"a":{"b":1,"a":2}}]', 4)
def test_comparing_while_reading_says_what_reading_and_writing_say(text, depth):
    def slowly():
        value = loads_strict(text, max_depth=depth)
        return value, dumps(value) == text

    assert result_of(lambda: loads_and_compare(text, max_depth=depth)) == result_of(slowly)


@given(TEXTS, st.integers(0, 4))
@example(b'["]",["]",["]",[],"["],"["],"["]', 1)
@example(b"[]]]", 2)
def test_depth_is_that_of_the_brackets_outside_strings(text, max_depth):
    def slowly():
        depth, inside, escaped = 0, False, False
        for char in text.decode():
            inside ^= char == '"' and not escaped
            escaped = inside and char == "\\" and not escaped
            depth += 0 if inside else {"[": 1, "{": 1, "]": -1, "}": -1}.get(char, 0)
            if depth > max_depth:
                return "json.depth"
        return None

    found = result_of(lambda: loads_strict(text, max_depth=max_depth))
    if found != "json.utf8":
        assert (found == "json.depth") == (slowly() == "json.depth")


def result_of(call):
    try:
        return repr(call())
    except DataError as refusal:
        return refusal.code


def test_commas_quotes_and_brackets_are_counted_before_anything_is_parsed():
    few = b'["[",' + b"0," * 95 + b"0]"
    assert len(loads_strict(few, max_marks=100)) == 97
    for more in (b'["[",' + b"0," * 96 + b"0]", b"[" * 101, b'"' * 101, b'{"":' * 26):
        with pytest.raises(DataError) as refusal:
            loads_strict(more, max_marks=100)
        assert refusal.value.code == "json.size"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", "json.syntax"),
        (b"{}x", "json.syntax"),
        (b"{} {}", "json.syntax"),
        (b"\xef\xbb\xbf{}", "json.syntax"),
        (b'{"a":1,}', "json.syntax"),
        (b'"open \\"', "json.syntax"),
        (b"[1]]", "json.syntax"),
        (b"[01]", "json.syntax"),
        (b'"\xff"', "json.utf8"),
        (b'"\xed\xa0\x80"', "json.utf8"),
        (b'{"a":1,"b":2,"a":3}', "json.duplicate_key"),
        (b'{"a":{"x":1,"\\u0078":1}}', "json.duplicate_key"),
        (b"NaN", "json.number"),
        (b"[-Infinity]", "json.number"),
        (b"1.0", "json.number"),
        (b"1e2", "json.number"),
        (b"-0", "json.number"),
        (b"9007199254740992", "json.number"),
        (b"-" + b"9" * 9999, "json.number"),
        (b'"\\ud800"', "json.string"),
        (b'{"\\udc00x":1}', "json.string"),
        (b"[" * 33 + b"]" * 33, "json.depth"),
        (b"[" * 900_000, "json.depth"),
        (b'{"":' * 200_000, "json.depth"),
        (b" " * ((1 << 20) + 1), "json.size"),
    ],
)
def test_a_text_with_no_single_reading_is_refused(text, code):
    with pytest.raises(DataError) as refusal:
        loads_strict(text)
    assert refusal.value.code == code


def test_brackets_inside_strings_do_not_nest():
    assert loads_strict(b'["[[[[", "\\"[[[["]', max_depth=1) == ["[[[[", '"[[[[']


def test_surrogate_pairs_are_one_character():
    assert loads_strict(b'"\\ud83d\\ude00"') == "\U0001f600"


def test_floats_are_read_only_where_allowed_and_only_finite():
    assert loads_strict(b"[0.5,1e2]", allow_floats=True) == [0.5, 100.0]
    for text in (b"1e999", b"NaN"):
        with pytest.raises(DataError):
            loads_strict(text, allow_floats=True)


@given(st.binary(max_size=64))
def test_noise_is_refused_or_read_like_the_standard_parser(data):
    try:
        value = loads_strict(data)
    except DataError:
        return
    assert value == json.loads(data)


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, MAX_INTEGER + 1, {1: 2}, "\ud800", {"\ud800": 1}, b"bytes", {1, 2}],
)
def test_what_json_cannot_hold_is_not_written(value):
    with pytest.raises(DataError):
        dumps(value)


def test_the_escape_scan_is_linear():
    with pytest.raises(DataError):
        loads_strict(b'"' + b'\\"' * 400_000)  # minutes, were it quadratic
