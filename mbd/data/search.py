"""Looking for erased values inside a file, whatever kind of file it is.

The bytes of every file are searched as they lie there. What a file packs is searched unpacked
as well: Parquet pages column by column, members of zip archives (so `.npz`), and in JSON text
every string that is base64 or hexadecimal and every list of numbers. Memory stays bounded.
"""

from __future__ import annotations

import binascii
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mbd.canonical.json import loads_strict
from mbd.data.erasure import id_forms
from mbd.data.needle_index import NeedleIndex
from mbd.data.traces import TraceIndex, Traces
from mbd.errors import DataError

RECORD_IDS, SALTS = "record ids", "salts"

_WINDOW = 1 << 18
_OVERLAP = 4096  # more than the longest needle
_JSON_BYTES = 1 << 26
_SHORTEST_TEXT = 22  # characters of base64 that spell 16 bytes
_SHORTEST_ID = 4  # bytes of a record id that are found in a plain Parquet file as they lie
_ROWS = 256
_VARIABLE = (pa.large_binary(), pa.large_string(), pa.binary(), pa.string())
_PLAIN = {"PLAIN", "RLE", "BIT_PACKED"}


@dataclass(frozen=True, order=True)
class Hit:
    """Something of the erased data that a file still holds."""

    kind: str
    where: str
    """Inside the file: a column and record, a member, or empty for its bytes."""


@dataclass(frozen=True)
class Searched:
    """One file."""

    size_bytes: int
    hits: tuple[Hit, ...]
    unpacked: bool
    """Whether all that it packs could be read; its bytes always were."""


class Searcher:
    """Knows what to look for: traced values, ids of vanished records, salts."""

    def __init__(self, traces: Traces, vanished: tuple[str, ...], salts: tuple[bytes, ...]) -> None:
        self._values = TraceIndex(traces)
        self._ids = frozenset(vanished)
        self._short = any(len(name.encode()) < _SHORTEST_ID for name in vanished)
        forms = tuple(form for name in vanished for form in id_forms(name))
        self._plain = NeedleIndex({RECORD_IDS: forms, SALTS: salts})

    def search(self, path: Path) -> Searched:
        """Everything erased that the file still holds.

        Raises:
            OSError: It cannot be read.
        """
        with path.open("rb") as stream:
            kinds, size = self._stream(stream)
            stream.seek(0)
            try:
                unpacked = {*self._unpack(stream, size, again=bool(kinds))}
            except (pa.ArrowException, zipfile.BadZipFile, zlib.error, OSError,
                    NotImplementedError, RuntimeError, EOFError):  # fmt: skip
                return Searched(size, tuple(Hit(kind, "") for kind in sorted(kinds)), False)
        located = {hit.kind for hit in unpacked}
        raw = {Hit(kind, "") for kind in kinds - located}
        return Searched(size, tuple(sorted(unpacked | raw)), True)

    def search_pieces(self, pieces: Iterable[bytes]) -> Searched:
        """Everything erased among bytes that come in pieces, as they are."""
        kinds, size = self._pieces(pieces)
        return Searched(size, tuple(Hit(kind, "") for kind in sorted(kinds)), True)

    def _stream(self, stream: IO[bytes]) -> tuple[set[str], int]:
        """Kinds found among the bytes of a stream, and how many bytes it has."""
        return self._pieces(iter(lambda: stream.read(_WINDOW), b""))

    def _pieces(self, pieces: Iterable[bytes]) -> tuple[set[str], int]:
        kinds: set[str] = set()
        size, carried = 0, b""
        for block in pieces:
            size += len(block)
            window = carried + block
            kinds |= {kind for kind, _ in self._values.hits(window)}
            kinds |= self._plain.kinds_in(window)
            carried = window[-_OVERLAP:]
        return kinds, size

    def _unpack(self, stream: IO[bytes], size: int, *, again: bool) -> Iterator[Hit]:
        """Hits in what the file packs; with `again` in plain columns too, to say where."""
        start = stream.read(8)
        stream.seek(0)
        if start[:4] == b"PAR1":
            yield from self._parquet(stream, again)
        elif start[:4] == b"PK\x03\x04":
            yield from self._zip(stream)
        elif start[:1] in (b"{", b"[") and size <= _JSON_BYTES:
            yield from self._json(stream.read())

    def _parquet(self, stream: IO[bytes], again: bool) -> Iterator[Hit]:
        file = pq.ParquetFile(stream)
        if not again and not self._short and _is_plain(file.metadata):
            return
        for batch in file.iter_batches(batch_size=_ROWS, use_threads=False):
            names = batch.schema.names
            records = batch.column("record_id").to_pylist() if "record_id" in names else None
            for name, column in zip(names, batch.columns, strict=True):
                for kind, row in self._column(column):
                    of = "" if row is None or records is None else f" of record {records[row]}"
                    yield Hit(kind, name + of)

    def _column(self, column: pa.Array) -> Iterator[tuple[str, int | None]]:
        """(kind, row if known) of what a column holds."""
        for leaf, direct in _leaves(column):
            if pa.types.is_string(leaf.type) or pa.types.is_large_string(leaf.type):
                yield from ((RECORD_IDS, None) for text in leaf.to_pylist() if text in self._ids)
            content, ends = _content(leaf)
            for kind, offset in self._values.hits(content):
                row = int(np.searchsorted(ends, offset, "right")) if direct else None
                yield kind, row
            for kind in self._plain.kinds_in(bytes(content)):
                yield kind, None

    def _zip(self, stream: IO[bytes]) -> Iterator[Hit]:
        with zipfile.ZipFile(stream) as archive:
            for member in archive.infolist():
                with archive.open(member) as content:
                    for kind in self._stream(content)[0]:
                        yield Hit(kind, member.filename)

    def _json(self, content: bytes) -> Iterator[Hit]:
        try:
            value = loads_strict(content, max_bytes=_JSON_BYTES, allow_floats=True)
        except DataError:  # not JSON after all: its bytes were searched
            return
        for text, packed in _packed(value):
            if text in self._ids:
                yield Hit(RECORD_IDS, "")
            for kind, _ in self._values.hits(packed):
                yield Hit(kind, "")
            for kind in self._plain.kinds_in(packed):
                yield Hit(kind, "")


def _is_plain(metadata: Any) -> bool:
    """Whether a Parquet file holds every value as its bytes are."""
    columns = (
        metadata.row_group(group).column(column)
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    )
    return all(one.compression == "UNCOMPRESSED" and set(one.encodings) <= _PLAIN
               for one in columns)  # fmt: skip


def _leaves(array: pa.Array, direct: bool = True) -> Iterator[tuple[pa.Array, bool]]:
    """The arrays of values inside an array; whether their rows are its rows."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        yield from _leaves(array.storage, direct)
    elif pa.types.is_dictionary(kind):
        yield from _leaves(array.dictionary_decode(), direct)
    elif pa.types.is_struct(kind):
        for number in range(kind.num_fields):
            yield from _leaves(array.field(number), direct)
    elif pa.types.is_map(kind):
        yield from _leaves(array.keys, False)
        yield from _leaves(array.items, False)
    elif pa.types.is_nested(kind):
        yield from _leaves(array.flatten(), False)
    else:
        yield array, direct


def _content(leaf: pa.Array) -> tuple[memoryview, npt.NDArray[np.int64]]:
    """The values of an array as bytes, and the offset behind each; empty for odd types."""
    kind, count, buffers = leaf.type, len(leaf), leaf.buffers()
    nothing = memoryview(b""), np.zeros(count, np.int64)
    if buffers[-1] is None:
        return nothing
    if kind in _VARIABLE:
        width = np.int64 if kind in _VARIABLE[:2] else np.int32
        offsets = np.frombuffer(buffers[1], width)[leaf.offset : leaf.offset + count + 1]
    elif pa.types.is_primitive(kind) or pa.types.is_fixed_size_binary(kind):
        if kind.bit_width % 8:
            return nothing
        size = kind.bit_width // 8
        offsets = np.arange(leaf.offset, leaf.offset + count + 1, dtype=np.int64) * size
    else:
        return nothing
    ends = offsets.astype(np.int64)
    return memoryview(buffers[-1])[ends[0] : ends[-1]], ends[1:] - ends[0]


def _packed(value: Any) -> Iterator[tuple[str, bytes]]:
    """(text, bytes that it spells) of every string and list of numbers in parsed JSON."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield name, b""
            yield from _packed(member)
    elif isinstance(value, list):
        numbers = [one for one in value if isinstance(one, (int, float))]
        if numbers and len(numbers) == len(value):
            with np.errstate(over="ignore"):
                yield "", np.array(numbers, np.float64).astype("<f4").tobytes()
        else:
            for member in value:
                yield from _packed(member)
    elif isinstance(value, str):
        yield value, b""
        if len(value) < _SHORTEST_TEXT:
            return
        for decode in (binascii.unhexlify, binascii.a2b_base64):
            try:
                yield "", decode(value)
            except (binascii.Error, ValueError):
                continue
