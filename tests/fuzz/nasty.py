"""Inputs up to the size cap that are made to take time or memory."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

from mbd.canonical.json import MAX_MARKS
from mbd.certificate.receipt import BOUNDED_RECEIPT_BYTES
from tests.fuzz.targets import load_targets

TARGETS = load_targets()
MARKS = {"bundle": 20_000, "verify": 20_000, "receipt": BOUNDED_RECEIPT_BYTES // 8}
"""What each target counts at most, where that is not `MAX_MARKS`."""


def write_inputs(folder: str, name: str) -> None:
    """The inputs of a target as files, and `names.txt`: a file and what is nasty in it, a line."""
    lines = []
    for number, (what, data) in enumerate(nasty_inputs(name)):
        (Path(folder) / f"{number}").write_bytes(data)
        lines.append(f"{number}\t{what}")
    (Path(folder) / "names.txt").write_text("\n".join(lines))


def nasty_inputs(name: str) -> Iterator[tuple[str, bytes]]:
    """What is nasty, and the bytes; none longer than the target reads."""
    target = TARGETS[name]
    yield from _of_any_kind(target.most_bytes)
    yield from _of_few_marks(target.most_bytes, MARKS.get(name, MAX_MARKS))
    yield from _around(target.seeds()[-1], target.most_bytes)
    for other, what, data in _of_one_kind():
        if other == name and len(data) <= target.most_bytes:
            yield what, data


def _of_any_kind(size: int) -> Iterator[tuple[str, bytes]]:
    for unit in (b"[],", b"{},", b"[[[[[]]]]],", b'{"":0},', b'"",', b"0,", b"1000,", b"null,"):
        yield f"a list of {unit.decode()}", b"[" + unit * ((size - 3) // len(unit)) + b"0]"
    for unit in (b"[", b"{", b'{"":', b'"', b"\\", b"\n", b" ", b"=", b"A", b"\xff", b"-", b"9"):
        yield f"nothing but {unit.decode('latin-1')!r}", unit * (size // len(unit))
    for unit in (b"\\u0041", b"\\ud83d\\ude00", b"\\n", b"\xf0\x9f\x98\x80", b'\\"', b"\x00"):
        yield f"a string of {unit!r}", b'"' + unit * ((size - 2) // len(unit)) + b'"'
        yield f"a key of {unit!r}", b'{"' + unit * ((size - 6) // len(unit)) + b'":0}'
    yield "a wide string", b'"' + b"a" * (size - 6) + b"\xf0\x9f\x98\x80" + b'"'
    count = size // 12
    yield "many keys", b"{" + b",".join(b'"k%06d":0' % n for n in range(count)) + b"}"
    yield "strings side by side", b'"a"' * (size // 3)
    yield "brackets in strings", b"[" + b'"[",' * ((size - 3) // 4) + b"0]"
    yield "dotted keys", b"a." * (size // 2 - 2) + b"b=1"
    yield "dotted tables", b"[" + b"a." * (size // 2 - 2) + b"b]"
    yield "tables", b"[[issuer]]\n" * (size // 11)
    yield "inline tables", b"issuer=[" + b"{a=1}," * ((size - 9) // 6) + b"]"
    yield "a chain of inline tables", b"a={" * (size // 4) + b"}" * (size // 4)
    yield "short lines", b"\n".join([b"a"] * (size // 2))
    yield "hash lines", b"\n".join([b"A" * 43 + b"="] * (size // 45))


def _of_few_marks(size: int, most: int) -> Iterator[tuple[str, bytes]]:
    """As many values as may be counted: in lists, in lists of lists, as the keys of an object."""
    for unit in (b"[],", b"{},", b"[[[[]]]],", b'{"":0},', b'"\xc3\xa9a",', b"0,", b"1000,"):
        count = (most - 2) // sum(unit.count(mark) for mark in b'",:[{')
        if count * len(unit) < size:
            yield f"{count} of {unit.decode()}", b"[" + unit * count + b"0]"
    keys = b",".join(b'"k%05d":0' % number for number in range(min(most // 4, size // 12) - 1))
    yield "keys", b"{" + keys + b"}"
    yield "an object of objects", b'{"items":{' + keys + b"}}"


def _around(seed: bytes, size: int) -> Iterator[tuple[str, bytes]]:
    """A valid document whose parts are blown up one after the other."""
    room = size - len(seed) - 100
    yield "a document many times", (seed * (size // len(seed) + 1))[:size]
    yield "a document and spaces", seed + b" " * room
    try:
        content = json.loads(seed)
    except ValueError:
        return
    for path in _paths(content):
        for what, value in (
            ("a long text", "a" * room),
            ("empty objects", [{}] * (room // 3)),
            ("unknown keys", {str(number): 0 for number in range(room // 12)}),
        ):
            data = json.dumps(_with(content, path, value), separators=(",", ":")).encode()
            if len(data) <= size:
                yield f"{what} at {'.'.join(map(str, path))}", data


def _of_one_kind() -> Iterator[tuple[str, str, bytes]]:
    sample = json.loads(TARGETS["bundle"].seeds()[0])
    payloads = [*_of_any_kind(1 << 20), *_of_few_marks(1 << 20, MAX_MARKS)]
    for what, payload in payloads:
        sample["envelope"]["payload"] = b64encode(payload).decode()
        data = json.dumps(sample, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
        yield "verify", f"payload: {what}", data.encode()
    note = TARGETS["note"].seeds()[0].decode()
    text, _, line = note.rpartition("\n\n")
    lines = "\n".join(f"extension {number}" for number in range(40_000))
    for name in ("note", "beside"):
        yield name, "one signature many times", f"{text}\n\n{line * 100}".encode()
        yield name, "many extension lines", f"{text}\n{lines}\n\n{line * 100}".encode()
        yield name, "a long name", f"{text}\n\n\u2014 {'n' * 900_000} QUJDREVG\n".encode()
    items = json.loads(TARGETS["receipt"].seeds()[0])
    for count in (100, 1000, 5000, 10_000):
        many = {**items, "items": items["items"][:1] * count, "treeSize": count}
        yield "receipt", f"{count} items", json.dumps(many, separators=(",", ":")).encode()


def _paths(content: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield (*path, key)
            yield from _paths(value, (*path, key))
    elif isinstance(content, list) and content:
        yield from _paths(content[0], (*path, 0))


def _with(content: object, path: tuple[object, ...], value: object) -> object:
    if not path:
        return value
    first, *rest = path
    if isinstance(content, dict):
        return {**content, first: _with(content[first], tuple(rest), value)}
    assert isinstance(content, list)
    return [_with(content[0], tuple(rest), value), *content[1:]]
