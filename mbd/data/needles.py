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
from mbd.canonical.json import dumps, loads_strict
from mbd.data.needle_index import NeedleIndex
from mbd.errors import DataError, IntegrityError, NotFoundError
from mbd.workspace.files import storage_errors, write_atomically

BUDGET_BYTES = 1 << 26
"""Needles that one pass over the files looks for: some 600 MB of memory in all."""
_CHUNK_BYTES = 1 << 22
_OVERLAP = 4096  # more than the longest needle
_FILE_BYTES = 1 << 30


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

    def save(self, path: Path) -> None:
        """Write to a file that only its owner can read; it holds what is to be erased."""
        write_atomically(path, dumps(self.to_json()), mode=0o600)

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
            return Needles.from_json(loads_strict(content, max_bytes=_FILE_BYTES))
        except (DataError, AttributeError, TypeError, ValueError) as error:
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
    group: dict[str, list[bytes]] = {}
    size = 0
    for needles in many:
        for kind, found in needles.by_kind.items():
            group.setdefault(kind, []).extend(found)
        size += needles.size_bytes
        if size >= budget_bytes:
            yield Needles({kind: tuple(found) for kind, found in group.items()})
            group, size = {}, 0
    yield Needles({kind: tuple(found) for kind, found in group.items()})


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
