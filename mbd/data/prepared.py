"""Prepared rows: what each record says to each head, computed once and stored.

The integer state is built from these bytes and nothing else, so it can be rebuilt from them,
bit for bit, as long as they are kept; and a revocation removes them with the data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mbd.data.buckets import MANIFEST, BucketFolder, NewBucket, keyed_bucket
from mbd.data.columns import binary_buffer, parquet_to_table, table_to_parquet
from mbd.errors import DataError, NotFoundError


@dataclass(frozen=True, eq=False)
class PreparedRows:
    """The rows of one head, n of them."""

    record_ids: tuple[str, ...]
    subjects: tuple[str, ...]
    v: npt.NDArray[np.int16]
    """(n, dv): quantised inputs."""
    t: npt.NDArray[np.int32]
    """(n, K): quantised residual targets."""

    def __post_init__(self) -> None:
        if not len(self.record_ids) == len(self.subjects) == len(self.v) == len(self.t):
            raise DataError("the columns of prepared rows differ in length", field="rows")

    def __len__(self) -> int:
        return len(self.record_ids)

    def select(self, indices: npt.NDArray[np.intp]) -> PreparedRows:
        """The rows at `indices`, in that order."""
        return PreparedRows(
            tuple(self.record_ids[i] for i in indices),
            tuple(self.subjects[i] for i in indices),
            self.v[indices],
            self.t[indices],
        )

    def where(self, chosen: Callable[[str], bool]) -> PreparedRows:
        """The rows of the people who are chosen."""
        answers = {subject: chosen(subject) for subject in set(self.subjects)}
        return self.select(np.flatnonzero([answers[subject] for subject in self.subjects]))

    def of_subject(self, subject: str) -> PreparedRows:
        """The rows of one person."""
        return self.where(lambda who: who == subject)

    @staticmethod
    def concat(parts: Iterable[PreparedRows]) -> PreparedRows:
        """All rows, in order; at least one part, all of one width."""
        found = list(parts)
        if not found:
            raise DataError("no prepared rows", field="rows")
        return PreparedRows(
            tuple(name for part in found for name in part.record_ids),
            tuple(name for part in found for name in part.subjects),
            np.concatenate([part.v for part in found]),
            np.concatenate([part.t for part in found]),
        )


Bucket = Mapping[str, PreparedRows]
"""Rows by head name; a head without rows may be left out."""


class PreparedStore:
    """Prepared rows of one core, in files by keyed hash of the subject."""

    def __init__(self, folder: BucketFolder, key: bytes) -> None:
        self._folder = folder
        self._key = key

    @classmethod
    def create(
        cls,
        folder: Path,
        key: bytes,
        count: int,
        buckets: Iterable[tuple[int, Bucket]],
        facts: dict[str, Any] | None = None,
    ) -> PreparedStore:
        """A new store; nothing is in force until every bucket is written.

        Args:
            folder: Where; made if absent.
            key: The workspace key, as for the data store.
            count: Number of files; that of the data store, so that a bucket of records
                becomes a bucket of rows.
            buckets: Rows by bucket number, made as they are written.
            facts: Kept beside the rows, e.g. which core made them (JSON, no personal data).

        Raises:
            ConflictError: There is one already.
            DataError: A row is in the wrong bucket.
            StorageError: The disk refused; nothing is left behind.
        """
        new = ((bucket, _new_bucket(rows, bucket, key, count)) for bucket, rows in buckets)
        return cls(BucketFolder.create(folder, count, new, {"facts": facts or {}}), key)

    @classmethod
    def open(cls, folder: Path, key: bytes) -> PreparedStore:
        """The store at `folder`.

        Raises:
            NotFoundError: There is none.
            IntegrityError: It is damaged.
        """
        if not (folder / MANIFEST).exists():
            raise NotFoundError(f"no prepared rows at {folder}", hint="run `mbd train`")
        return cls(BucketFolder.open(folder), key)

    @property
    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = self._folder.manifest.header["facts"]
        return found

    @property
    def folder(self) -> Path:
        return self._folder.folder

    @property
    def generation(self) -> int:
        """Grows with every change."""
        return self._folder.manifest.generation

    def buckets(self) -> range:
        """The numbers of all buckets."""
        return range(self._folder.count)

    def bucket_of(self, subject: str) -> int:
        """Where the rows of `subject` are, or would be."""
        return keyed_bucket(self._key, subject, self._folder.count)

    def bucket_files(self, bucket: int) -> list[Path]:
        """The file in force for a bucket (none if it is empty), and the manifest."""
        path = self._folder.path(bucket)
        return [*([] if path is None else [path]), self._folder.manifest_path]

    def files(self) -> list[Path]:
        """Every file in force."""
        return self._folder.paths()

    def heads(self) -> tuple[str, ...]:
        """Names of all heads that have rows, sorted."""
        entries = self._folder.manifest.files
        return tuple(sorted({name for e in entries if e is not None for name in e.facts["rows"]}))

    def counts(self) -> dict[str, int]:
        """Rows per head."""
        found: dict[str, int] = {}
        for entry in self._folder.manifest.files:
            for name, rows in (entry.facts["rows"] if entry is not None else {}).items():
                found[name] = found.get(name, 0) + rows
        return found

    def read_bucket(self, bucket: int) -> dict[str, PreparedRows]:
        """Rows by head of one bucket; arrays are read-only views.

        Raises:
            IntegrityError: The file is missing, truncated or altered; names it.
        """
        content = self._folder.read(bucket)
        return {} if content is None else _decode(content)

    def rows(self, head: str) -> Iterator[PreparedRows]:
        """The rows of one head, bucket by bucket."""
        for bucket in self.buckets():
            entry = self._folder.manifest.files[bucket]
            if entry is not None and head in entry.facts["rows"]:
                yield self.read_bucket(bucket)[head]

    def all_rows(self) -> Iterator[dict[str, PreparedRows]]:
        """Rows by head, bucket by bucket: every file is read once."""
        return (self.read_bucket(bucket) for bucket in self.buckets())

    def rows_of(self, subject: str) -> dict[str, PreparedRows]:
        """The rows of one person, by head; heads without any are left out."""
        found = self.read_bucket(self.bucket_of(subject))
        mine = {head: rows.of_subject(subject) for head, rows in found.items()}
        return {head: rows for head, rows in mine.items() if len(rows)}

    def write_bucket(self, bucket: int, rows: Bucket) -> None:
        """Make `rows` all that a bucket holds; the old file is unlinked."""
        self.write_buckets([(bucket, rows)])

    def write_buckets(self, buckets: Iterable[tuple[int, Bucket]]) -> None:
        """Replace some buckets, all at once or none of them.

        Raises:
            DataError: A row is in the wrong bucket; nothing changed.
            StorageError: The disk refused; the old rows stay in force.
        """
        count = self._folder.count
        self._folder.commit((b, _new_bucket(rows, b, self._key, count)) for b, rows in buckets)

    def add(self, parts: Iterable[tuple[int, Bucket]]) -> None:
        """Hold more rows, all or none; each bucket at most once. Raises as `write_buckets`."""
        self.write_buckets((b, _joined(self.read_bucket(b), rows)) for b, rows in parts)

    def spread(self, count: int) -> None:
        """Over about `count` files, if that is at least twice as many; the same rows.

        Each file is split into as many, so that one at a time is in memory: hashed modulo a
        multiple of their number, nobody moves to a part of another one. Raises as `write_buckets`.
        """
        parts = count // self._folder.count
        if parts < 2:
            return
        wider = parts * self._folder.count
        self._folder.commit(
            (
                (bucket, _new_bucket(rows, bucket, self._key, wider))
                for held in self.all_rows()
                for bucket, rows in _regrouped(held, self._key, wider).items()
            ),
            count=wider,
        )

    def sweep(self) -> list[Path]:
        """Remove what a killed writer left; returns the files removed."""
        return self._folder.sweep()

    def digest(self) -> str:
        """SHA-256 (hex) of all rows, whatever their order and files."""
        leaves: list[bytes] = []
        for found in self.all_rows():
            for head, rows in found.items():
                leaves += (_row_digest(head, rows, index) for index in range(len(rows)))
        return hashlib.sha256(b"".join(sorted(leaves))).hexdigest()


def _joined(held: Bucket, more: Bucket) -> Bucket:
    """The rows of both, head by head."""
    parts = {name: [b[name] for b in (held, more) if name in b] for name in {*held, *more}}
    return {name: PreparedRows.concat(found) for name, found in parts.items()}


def _regrouped(held: Bucket, key: bytes, count: int) -> dict[int, dict[str, PreparedRows]]:
    """Rows by bucket out of `count`, and by head."""
    found: dict[int, dict[str, PreparedRows]] = {}
    for head, rows in held.items():
        places = np.array([keyed_bucket(key, subject, count) for subject in rows.subjects])
        for bucket in np.unique(places).tolist():
            found.setdefault(bucket, {})[head] = rows.select(np.flatnonzero(places == bucket))
    return found


def _row_digest(head: str, rows: PreparedRows, index: int) -> bytes:
    texts = (head, rows.record_ids[index], rows.subjects[index])
    parts = [text.encode("utf-8") for text in texts]
    parts += [rows.v[index].astype("<i2").tobytes(), rows.t[index].astype("<i4").tobytes()]
    return hashlib.sha256(b"".join(len(p).to_bytes(8, "big") + p for p in parts)).digest()


def encode_rows(rows: Bucket) -> bytes:
    """The content of a bucket's file; nothing for no rows."""
    heads = [(head, rows[head]) for head in sorted(rows) if len(rows[head])]
    return _encode(heads) if heads else b""


def decode_rows(content: bytes) -> dict[str, PreparedRows]:
    """Inverse of `encode_rows`; arrays are read-only views."""
    return _decode(content) if content else {}


def _new_bucket(rows: Bucket, bucket: int, key: bytes, count: int) -> NewBucket | None:
    """Encode one bucket; None if it has no row."""
    heads = [(head, rows[head]) for head in sorted(rows) if len(rows[head])]
    subjects = {subject for _, part in heads for subject in part.subjects}
    if any(keyed_bucket(key, subject, count) != bucket for subject in subjects):
        raise DataError(f"a subject does not belong to bucket {bucket}", field="subject")
    if not heads:
        return None
    facts = {"rows": {head: len(part) for head, part in heads}}
    return NewBucket(content=_encode(heads), facts=facts)


def _encode(heads: list[tuple[str, PreparedRows]]) -> bytes:
    parts = [part for _, part in heads]
    names = [head for head, part in heads for _ in range(len(part))]
    columns = {
        "head": pa.array(names, pa.string()),
        "record_id": pa.array([name for part in parts for name in part.record_ids], pa.string()),
        "subject": pa.array([name for part in parts for name in part.subjects], pa.string()),
        "v": _binary([np.ascontiguousarray(part.v, "<i2") for part in parts]),
        "t": _binary([np.ascontiguousarray(part.t, "<i4") for part in parts]),
    }
    return table_to_parquet(pa.table(columns))


def _binary(blocks: list[npt.NDArray[Any]]) -> pa.Array:
    """Rows of each block as one binary value each, without a loop over rows."""
    widths = np.concatenate([np.full(len(b), b.shape[1] * b.itemsize, np.int64) for b in blocks])
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(widths)])
    data = b"".join(block.tobytes() for block in blocks)
    buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_binary(), len(widths), buffers)


def _decode(content: bytes) -> dict[str, PreparedRows]:
    """Inverse of `_encode`."""
    table = parquet_to_table(content)
    names = table.column("head").to_pylist()
    record_ids = table.column("record_id").to_pylist()
    subjects = table.column("subject").to_pylist()
    v, t = binary_buffer(table.column("v")), binary_buffer(table.column("t"))
    found: dict[str, PreparedRows] = {}
    start = 0
    while start < len(names):
        stop = start + names.count(names[start])
        found[names[start]] = PreparedRows(
            tuple(record_ids[start:stop]),
            tuple(subjects[start:stop]),
            _matrix(v, start, stop, "<i2"),
            _matrix(t, start, stop, "<i4"),
        )
        start = stop
    return found


def _matrix(
    column: tuple[npt.NDArray[np.int64], pa.Buffer], start: int, stop: int, dtype: str
) -> npt.NDArray[Any]:
    """(stop - start, width): rows of equal width, as a view of the column's data."""
    offsets, data = column
    size = np.dtype(dtype).itemsize
    count = int(offsets[stop] - offsets[start]) // size
    flat = np.frombuffer(data, dtype, count=count, offset=int(offsets[start]))
    return flat.reshape(stop - start, -1)
