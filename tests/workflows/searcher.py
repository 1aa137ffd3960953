"""Looking for traces in files and outputs: in what they hold, and in what is wrapped in that.

Any nesting is seen, three deep: a hash in hexadecimal in JSON in base64, say.
"""

from __future__ import annotations

import base64
import hashlib
import re
import sqlite3
import urllib.parse
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.workflows.traces_of import SHORTEST, Trace

_DEPTH = 3
_BETWEEN = b"\n\0\xff\0\n"


@dataclass(frozen=True)
class Hit:
    """A trace that is there."""

    place: str
    unwrapped: str
    """From what: 'base64 hex' is hexadecimal digits inside base64."""
    trace: Trace

    def __str__(self) -> str:
        wrapped = f" inside {self.unwrapped}" if self.unwrapped else ""
        return f"{self.place}: {self.trace.of!r} as {self.trace.form}{wrapped}"


class Searcher:
    """Finds any of many traces in one pass over each content."""

    def __init__(self, traces: Iterable[Trace]) -> None:
        self._by_word: dict[int, list[Trace]] = {}
        for trace in set(traces):
            assert len(trace.content) >= SHORTEST, trace
            word = int.from_bytes(trace.content[:SHORTEST], "little")
            self._by_word.setdefault(word, []).append(trace)
        assert self._by_word, "nothing to look for"
        self._filter = np.zeros(1 << 22, dtype=bool)
        self._filter[_mixed(np.array(list(self._by_word), dtype=np.uint64))] = True
        self._clean: set[bytes] = set()

    def hits(self, place: str, content: bytes) -> list[Hit]:
        """Every trace in a content, and in what is wrapped in it."""
        name = hashlib.sha256(content).digest()
        if name in self._clean:
            return []
        found = [
            Hit(place, unwrapped, trace)
            for unwrapped, view in views(content)
            for trace in self._in(view)
        ]
        if not found:
            self._clean.add(name)
        return found

    def _in(self, content: bytes) -> Iterator[Trace]:
        for shift in range(SHORTEST):
            usable = (len(content) - shift) // SHORTEST * SHORTEST
            if usable <= 0:
                return
            words = np.frombuffer(content, "<u8", usable // SHORTEST, shift)
            for number in np.flatnonzero(self._filter[_mixed(words)]).tolist():
                start = shift + number * SHORTEST
                for trace in self._by_word.get(int(words[number]), ()):
                    if content.startswith(trace.content, start):
                        yield trace


def _mixed(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        return (words * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(42)


def views(content: bytes, depth: int = _DEPTH) -> Iterator[tuple[str, bytes]]:
    """A content, and what is found in it by unwrapping, again and again."""
    seen, waiting = set[bytes](), deque([("", content, depth)])
    while waiting:
        unwrapped, view, left = waiting.popleft()  # what is less wrapped comes first
        if len(view) < SHORTEST or view in seen:
            continue
        seen.add(view)
        yield unwrapped, view
        if left:
            inner = ((f"{unwrapped} {how}".strip(), made) for how, made in _unwrapped(view))
            waiting += [(how, made, left - 1) for how, made in inner]


def _unwrapped(content: bytes) -> Iterator[tuple[str, bytes]]:
    yield "hex", _BETWEEN.join(_from_hex(content))
    yield "base64", _BETWEEN.join(_from_base64(content))
    yield "compressed", _BETWEEN.join(_inflated(content))
    if b"\\" in content:
        yield "escapes", _unescaped(content, as_bytes=False)
        yield "escapes", _unescaped(content, as_bytes=True)
    if re.search(rb"%[0-9A-Fa-f]{2}", content):
        yield "percent", urllib.parse.unquote_to_bytes(content)
        yield "percent", urllib.parse.unquote_to_bytes(content.replace(b"+", b" "))


def _from_hex(content: bytes) -> Iterator[bytes]:
    joined = re.sub(rb"(?<=[0-9A-Fa-f]{2})(?:[: -]|\r?\n\s*)(?=[0-9A-Fa-f]{2})", b"", content)
    for text in {content, joined}:
        for run in re.findall(rb"[0-9A-Fa-f]{16,}", text):
            for start in (0, 1):
                digits = run[start : start + (len(run) - start) // 2 * 2]
                yield bytes.fromhex(digits.decode())


def _from_base64(content: bytes) -> Iterator[bytes]:
    """Both alphabets; from each of the four letters on, as a run may begin with something else."""
    joined = re.sub(rb"(?<=[0-9A-Za-z+/_-])\r?\n\s*(?=[0-9A-Za-z+/_-])", b"", content)
    for text in {content, joined}:
        for run in re.findall(rb"[0-9A-Za-z+/_-]{11,}", text):
            plain = run.replace(b"-", b"+").replace(b"_", b"/")
            for start in range(4):
                letters = plain[start:]
                if len(letters) % 4 == 1:
                    letters = letters[:-1]
                yield base64.b64decode(letters + b"=" * (-len(letters) % 4))


_STREAMS = re.compile(rb"x[\x01\x5e\x9c\xda]|\x1f\x8b\x08|PK\x03\x04")


def _inflated(content: bytes) -> Iterator[bytes]:
    """zlib, gzip and the members of zip archives, wherever they begin."""
    for match in _STREAMS.finditer(content):
        start, bits = match.start(), 47
        if match.group().startswith(b"PK"):
            name, extra = (int.from_bytes(content[start + i : start + i + 2], "little")
                           for i in (26, 28))  # fmt: skip
            start, bits = start + 30 + name + extra, -15
        inflating = zlib.decompressobj(bits)
        try:
            yield inflating.decompress(content[start:], 1 << 24)
        except zlib.error:
            continue


_ESCAPE = re.compile(rb"(?:\\u[0-9A-Fa-f]{4})+|\\x[0-9A-Fa-f]{2}|\\U[0-9A-Fa-f]{8}|\\.", re.DOTALL)
_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f", b"0": b"\0"}


def _unescaped(content: bytes, *, as_bytes: bool) -> bytes:
    """Backslashes of JSON and Python resolved.

    Args:
        content: Where they are.
        as_bytes: Whether numbers below 256 are bytes; otherwise they are characters.
    """

    def meant(match: re.Match[bytes]) -> bytes:
        text = match.group()
        kind = text[1:2]
        if len(text) == 2:
            return _LETTERS.get(kind, kind)
        if kind == b"u":
            numbers = [int(unit, 16) for unit in text[2:].split(b"\\u")]
        else:
            numbers = [int(text[2:], 16)]
        if as_bytes and max(numbers) < 256:
            return bytes(numbers)
        if kind == b"u":
            units = b"".join(number.to_bytes(2, "big") for number in numbers)
            return units.decode("utf-16-be", errors="replace").encode()
        return chr(min(numbers[0], 0x10FFFF)).encode(errors="replace")

    return _ESCAPE.sub(meant, content)


def contents(path: Path, scratch: Path) -> Iterator[tuple[str, bytes]]:
    """What a file holds: its bytes, and for a SQLite database every value besides.

    Long values of a database lie on several pages, with other bytes between them.

    Args:
        path: The file.
        scratch: An empty folder, to open a copy of a database in.
    """
    content = path.read_bytes()
    yield path.name, content
    if content.startswith(b"SQLite format 3\0"):
        copy = scratch / path.name
        for end in ("", "-wal"):
            beside = path.with_name(path.name + end)
            if beside.is_file():
                copy.with_name(copy.name + end).write_bytes(beside.read_bytes())
        with closing(sqlite3.connect(copy)) as connection:
            yield f"{path.name}, rows", _BETWEEN.join(_values(connection))
        for left in scratch.iterdir():
            left.unlink()


def _values(connection: sqlite3.Connection) -> Iterator[bytes]:
    connection.text_factory = bytes
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (name,) in tables:
        for row in connection.execute(f'SELECT * FROM "{name.decode()}"'):
            for value in row:
                if value is not None:
                    yield value if isinstance(value, bytes) else repr(value).encode()
