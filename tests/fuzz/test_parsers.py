"""Whatever the bytes: a parser of what a stranger wrote returns, or raises an error of ours."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mbd.errors import MbdError
from tests.fuzz.targets import load_targets

TARGETS = load_targets()
SEEDS = {name: target.seeds() for name, target in TARGETS.items()}
QUIETLY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

TEXTS = st.sampled_from(
    ["", "a", "é", "\ud800", "\x00", "\n\n", "1e400", "-0", "0.10", "a/../b", "2026-02-30", "+"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4) | TEXTS, inner, max_size=3)
    ),
    max_leaves=8,
)
PIECES = st.binary(max_size=6) | st.sampled_from(
    [b"", b"\n", b"\n\n", b" ", b'"', b"\\", b"{", b"]", b"-0", b"1" * 5000, b"\xff", b"+", b"\xe2"]
)


def run(name, data):
    """Returns or raises an `MbdError`; anything else fails the test that calls this."""
    with contextlib.suppress(MbdError):
        TARGETS[name].run(data)


def paths(content, path=()):
    """Where values are in parsed JSON."""
    yield path
    members = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in members:
        if isinstance(value, dict | list):
            yield from paths(value, (*path, key))
        else:
            yield (*path, key)


def changed(content, path, change):
    """Parsed JSON with the value at a path changed, or taken away where `change` raises."""
    if not path:
        return change(content)
    copy = dict(content) if isinstance(content, dict) else list(content)
    try:
        copy[path[0]] = changed(content[path[0]], path[1:], change)
    except LookupError:
        del copy[path[0]]
    return copy


def take_away(_):
    raise LookupError


def some_change(value):
    def reverse(old):
        return old[::-1] if isinstance(old, str | list) else value

    def double(old):
        return old * 2 if isinstance(old, str | list | int) else value

    return st.sampled_from([take_away, reverse, double, lambda _: value])


@pytest.mark.parametrize("name", TARGETS)
def test_a_valid_document_is_accepted(name):
    for seed in SEEDS[name]:
        TARGETS[name].run(seed)


@pytest.mark.parametrize("name", TARGETS)
@QUIETLY
@given(data=st.binary(max_size=300))
def test_any_bytes(name, data):
    run(name, data)


@pytest.mark.parametrize("name", TARGETS)
@QUIETLY
@given(data=st.data())
def test_a_valid_document_with_a_piece_cut_out_and_another_put_in(name, data):
    seed = data.draw(st.sampled_from(SEEDS[name]))
    start = data.draw(st.integers(0, len(seed)))
    end = start + data.draw(st.integers(0, 8) | st.integers(0, len(seed)))
    run(name, seed[:start] + data.draw(PIECES) + seed[end:])


@pytest.mark.parametrize("name", TARGETS)
@QUIETLY
@given(value=VALUES)
def test_any_json_value(name, value):
    run(name, json.dumps(value).encode())


JSON_TARGETS = [name for name, seeds in SEEDS.items() if seeds[0].startswith(b"{")]


@pytest.mark.parametrize("name", JSON_TARGETS)
@QUIETLY
@given(data=st.data())
def test_a_valid_document_with_one_value_changed(name, data):
    seed = data.draw(st.sampled_from([one for one in SEEDS[name] if one.startswith(b"{")]))
    content = json.loads(seed)
    path = data.draw(st.sampled_from(list(paths(content))))
    change = data.draw(VALUES.flatmap(some_change))
    try:
        other = changed(content, path, change)
    except LookupError:
        other = None
    text = json.dumps(other, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    run(name, text.encode("utf-8", "surrogatepass"))


LINE_TARGETS = [name for name, seeds in SEEDS.items() if b"\n" in seeds[-1]]


@pytest.mark.parametrize("name", LINE_TARGETS)
@QUIETLY
@given(data=st.data())
def test_a_valid_document_with_lines_taken_doubled_or_moved(name, data):
    lines = data.draw(st.sampled_from(SEEDS[name])).split(b"\n")
    chosen = st.lists(st.sampled_from(range(len(lines))), max_size=len(lines) + 2)
    run(name, b"\n".join(lines[number] for number in data.draw(chosen)))
