"""What must not be found any more, and the search for it.

Needles are pieces of erased values (see `pieces`), ids of records that vanished, and salts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from mbd.canonical.digest import b64decode_strict, b64encode
from mbd.data.needle_index import NeedleIndex
from mbd.errors import DataError
from mbd.workspace.files import storage_errors

BUDGET_BYTES = 1 << 25
"""Needles that one pass over the files looks for: some 400 MB of memory in all."""
_CHUNK_BYTES = 1 << 22
_OVERLAP = 4096  # more than the longest needle


@dataclass(frozen=True)
class Needles:
    """Byte strings by kind: 'features', 'prepared rows', 'record ids', 'salts'."""

    by_kind: dict[str, tuple[bytes, ...]]

    def __len__(self) -> int:
        return sum(len(needles) for needles in self.by_kind.values())

    @property
    def size_bytes(self) -> int:
        """Bytes of all of them."""
        return sum(len(needle) for needles in self.by_kind.values() for needle in needles)

    @staticmethod
    def concat(parts: Sequence[Needles]) -> Needles:
        """Those of all parts."""
        kinds = dict.fromkeys(kind for part in parts for kind in part.by_kind)
        return Needles(
            {kind: tuple(n for part in parts for n in part.by_kind.get(kind, ())) for kind in kinds}
        )

    def to_json(self) -> dict[str, Any]:
        """JSON form: [length, base64 of needles of that length in a row], by kind."""
        return {
            kind: [[size, b64encode(b"".join(run))] for size, run in groupby(needles, len)]
            for kind, needles in self.by_kind.items()
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Needles:
        """Inverse of `to_json`.

        Raises:
            DataError: A run is torn.
        """
        return Needles(
            {
                kind: tuple(
                    needle for size, run in runs for needle in _cut(b64decode_strict(run), size)
                )
                for kind, runs in value.items()
            }
        )


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
    return scan_for(list(files), [needles])


def scan_for(
    files: Sequence[Path], many: Iterable[Needles], budget_bytes: int = BUDGET_BYTES
) -> ScanResult:
    """`scan` for the needles of many: every file is read once per `budget_bytes` of needles.

    `many` is drawn from as they are needed, so that it may load them one by one.
    """
    read: dict[str, None] = {}
    found: dict[Found, None] = {}
    count = 0
    for needles in _grouped(many, budget_bytes):
        count += len(needles)
        index = NeedleIndex(needles.by_kind)
        for path in files:
            if not path.is_file():
                continue
            with storage_errors(path):
                kinds = {kind for chunk in _chunks(path) for kind in index.kinds_in(chunk)}
            read[str(path)] = None
            found.update(dict.fromkeys(Found(str(path), kind) for kind in sorted(kinds)))
    return ScanResult(tuple(read), count, tuple(found))


def _grouped(many: Iterable[Needles], budget_bytes: int) -> Iterator[Needles]:
    """The same needles in fewer groups, each full but the last; at least one group."""
    group: list[Needles] = []
    size, full = 0, False
    for needles in many:
        group.append(needles)
        size += needles.size_bytes
        full = size >= budget_bytes
        if full:
            yield Needles.concat(group)
            group, size = [], 0
    if group or not full:
        yield Needles.concat(group)


def _cut(run: bytes, size: int) -> list[bytes]:
    """A run of byte strings of one size."""
    if size < 1 or len(run) % size:
        raise DataError(f"needles of {size} bytes are torn", field="needles")
    return [run[start : start + size] for start in range(0, len(run), size)]


def _chunks(path: Path) -> Iterator[bytes]:
    """A file in overlapping pieces, so that nothing falls between two of them."""
    overlap = b""
    with path.open("rb") as stream:
        while block := stream.read(_CHUNK_BYTES):
            chunk = overlap + block
            yield chunk
            overlap = chunk[-_OVERLAP:]
