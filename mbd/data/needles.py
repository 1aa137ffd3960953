"""What must not be found any more: pieces of erased values, and the search for them.

A piece is 64 consecutive bytes of a feature vector or of a prepared row, as they lie in a
file. Pieces that say nothing (almost constant, or held by somebody else too) are left out,
so whatever is found is a finding.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mbd.canonical.digest import b64decode_strict, b64encode
from mbd.canonical.json import dumps, loads_strict
from mbd.errors import DataError, IntegrityError, NotFoundError
from mbd.workspace.files import storage_errors, write_atomically

LENGTHS = (64, 32, 16)
"""Bytes of a piece: the first for all rows but the shortest."""
_DISTINCT_BYTES = 8  # different byte values that make a piece distinctive
_WORD = 8  # bytes by which candidates are looked up
_MIX = np.uint64(0x9E3779B97F4A7C15)
_CHUNK_BYTES = 1 << 24
_FILE_BYTES = 1 << 30


@dataclass(frozen=True)
class Needles:
    """Byte strings by kind: 'features', 'prepared rows', 'record ids', 'salts'."""

    by_kind: dict[str, tuple[bytes, ...]]

    def __len__(self) -> int:
        return sum(len(needles) for needles in self.by_kind.values())

    def save(self, path: Path) -> None:
        """Write to a file that only its owner can read; it holds what is to be erased."""
        listed = {kind: [b64encode(n) for n in needles] for kind, needles in self.by_kind.items()}
        write_atomically(path, dumps(listed), mode=0o600)

    @staticmethod
    def load(path: Path) -> Needles:
        """Inverse of `save`.

        Raises:
            NotFoundError: No such file.
            IntegrityError: Torn or altered.
        """
        if not path.is_file():
            raise NotFoundError(f"{path}: no such file")
        with storage_errors(path):
            content = path.read_bytes()
        try:
            listed = loads_strict(content, max_bytes=_FILE_BYTES)
            return Needles(
                {kind: tuple(map(b64decode_strict, found)) for kind, found in listed.items()}
            )
        except (DataError, AttributeError, TypeError) as error:
            raise IntegrityError(f"{path} is not a list of needles: {error}") from error


@dataclass(frozen=True)
class Found:
    """Something that should be gone."""

    file: str
    what: str
    """The kind of needle."""


@dataclass(frozen=True)
class ScanResult:
    """What a search read and what it found."""

    files: tuple[str, ...]
    needles: int
    found: tuple[Found, ...]

    @property
    def clean(self) -> bool:
        return not self.found


def scan(files: Iterable[Path], needles: Needles) -> ScanResult:
    """Search `files` for `needles`; a file that is gone holds nothing and is not listed.

    Search what was rewritten and what should never have held the values. Other files of the
    store may hold an equal value of somebody else.
    """
    index = NeedleIndex(needles)
    read: list[str] = []
    found: list[Found] = []
    for path in files:
        if not path.is_file():
            continue
        with storage_errors(path):
            kinds = {kind for chunk in _chunks(path) for kind in index.kinds_in(chunk)}
        read.append(str(path))
        found += (Found(str(path), kind) for kind in sorted(kinds))
    return ScanResult(tuple(read), len(needles), tuple(found))


def pieces(content: bytes) -> Iterator[bytes]:
    """Distinctive pieces of one row of bytes that together cover it, all of one length.

    The length is the longest of `LENGTHS` that fits; the last piece overlaps the one before.
    """
    length = next((one for one in LENGTHS if one <= len(content)), None)
    if length is None:
        return
    last = len(content) - length
    for start in [*range(0, last, length), last]:
        piece = content[start : start + length]
        if len(set(piece)) >= _DISTINCT_BYTES:
            yield piece


def held_nowhere(candidates: Collection[bytes], others: Iterable[bytes]) -> tuple[bytes, ...]:
    """The candidates, each once, that no byte string of `others` holds."""
    index = NeedleIndex(Needles({"": tuple(dict.fromkeys(candidates))}))
    held = index.hits(b"".join(others))
    return tuple(needle for i, needle in enumerate(index.needles) if i not in held)


class NeedleIndex:
    """Finds many byte strings in one pass: by one word of each, then by comparison."""

    def __init__(self, needles: Needles) -> None:
        listed = [
            (needle, kind)
            for kind, found in needles.by_kind.items()
            for needle in found
            if len(needle) >= _WORD
        ]
        self.needles = [needle for needle, _ in listed]
        self.kinds = [kind for _, kind in listed]
        self._by_word: dict[int, list[tuple[int, int]]] = {}
        for i, needle in enumerate(self.needles):
            offset = _telling_word(needle)
            word = int.from_bytes(needle[offset : offset + _WORD], "little")
            self._by_word.setdefault(word, []).append((i, offset))
        self._words = np.array(sorted(self._by_word), dtype=np.uint64)
        self._filter = np.zeros(1 << 16, dtype=bool)
        self._filter[_mixed(self._words)] = True

    def kinds_in(self, content: bytes) -> set[str]:
        """Kinds of the needles that `content` holds."""
        return {self.kinds[hit] for hit in self.hits(content)}

    def hits(self, content: bytes) -> set[int]:
        """Numbers of the needles that `content` holds."""
        found: set[int] = set()
        for start in range(min(_WORD, max(0, len(content) - _WORD + 1))):
            words = np.frombuffer(
                content, "<u8", count=(len(content) - start) // _WORD, offset=start
            )
            likely = np.flatnonzero(self._filter[_mixed(words)])
            places = likely[np.isin(words[likely], self._words)]
            for place in places.tolist():
                at = start + _WORD * place
                for i, offset in self._by_word[int(words[place])]:
                    if i not in found and content.startswith(self.needles[i], max(0, at - offset)):
                        found.add(i)
        return found


def _mixed(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """16 well-mixed bits of each word."""
    return (words * _MIX) >> np.uint64(48)


def _telling_word(needle: bytes) -> int:
    """Offset of the word with the most different bytes."""
    offsets = range(0, len(needle) - _WORD + 1, 4)
    return max(offsets, key=lambda offset: len(set(needle[offset : offset + _WORD])))


def _chunks(path: Path) -> Iterator[bytes]:
    """A file in overlapping pieces, so that nothing falls between two of them."""
    overlap = b""
    with path.open("rb") as stream:
        while block := stream.read(_CHUNK_BYTES):
            chunk = overlap + block
            yield chunk
            overlap = chunk[-4096:]
