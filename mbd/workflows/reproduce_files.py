"""What lies in a copy of a workspace that somebody else made: looked at before it is opened.

Only plain files of a size that such a file can have are read: a pipe would be waited for, a link
may lead anywhere, and a file full of nothing takes no room on the disk that it came from. What no
manifest names is data that was kept beside the data.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from mbd.certificate.receipt import Receipt
from mbd.data.buckets import MANIFEST, BucketFolder
from mbd.data.schema import DatasetSchema
from mbd.data.search import RECORD_IDS, Searcher
from mbd.data.traces import Traces
from mbd.errors import IntegrityError
from mbd.verify.case import Undecided
from mbd.verify.model_policy import MAX_POLICY_BYTES

FOLDERS = ("data", "models", "state")
"""Where data of people is. Of what lies elsewhere nothing is said."""

DURATION_FILE = "data/training.json"
"""How long a training took: a number, and no business of anybody here."""

_MAX_MANIFEST_BYTES = 1 << 25  # some hundred thousand buckets, of 24 people each
_MAX_BUCKET_BYTES = 1 << 31
_MAX_HEAD_BYTES = 1 << 30
_MAX_BYTES = 1 << 33  # a core, a state
_MAX_DURATION_BYTES = 1 << 10
_MAX_SCANNED_BYTES = 1 << 28
"""Of files that nothing names: those beyond are named all the same."""
_PIECE = 1 << 18
_LEAST_ROW_BYTES = 16
"""A row has four texts at least, each with its length."""
_SOME_ROWS = 64
_BUCKET = re.compile(r"bucket-[0-9]{6,}\.[0-9]{8,}\.parquet")
_PLAIN = frozenset({"PLAIN", "RLE"})
_RECORD_COLUMNS = ("record_id", "subject", "cohort", "split", "label")
_ITEM_COLUMNS = ("steps", "salt", "values")
_ROW_COLUMNS = ("head", "record_id", "subject", "v", "t")
_ABOUT = frozenset({b"ARROW:schema"})


@dataclass(frozen=True)
class Files:
    """Every file of the folders that hold data of people."""

    root: Path
    sizes: Mapping[str, int]
    """Bytes, by path in the workspace."""

    def unlisted(self, listed: Iterable[str]) -> tuple[str, ...]:
        """Paths in `data` and `state` that nothing names; models are compared file by file."""
        known = {DURATION_FILE, *listed}
        return tuple(sorted(
            path for path in self.sizes if not path.startswith("models/") and path not in known
        ))  # fmt: skip

    def holding(self, receipt: Receipt, paths: Iterable[str]) -> Iterator[str]:
        """Those of these files in which something is found that the receipt lists as erased.

        Bytes are looked at as they lie; what a file packs is not unpacked, since it may never
        end. Record ids do not count: a file may name a record without holding what it said.
        """
        assert receipt.traces is not None  # a whole receipt has them
        traces = Traces.from_json(receipt.traces.model_dump(by_alias=True))
        salts = tuple(bytes.fromhex(one.salt) for one in receipt.items)
        searcher, left = Searcher(traces, receipt.traces.vanished, salts), _MAX_SCANNED_BYTES
        for path in paths:
            left -= self.sizes[path]
            if left < 0:
                return
            with (self.root / path).open("rb") as stream:
                found = searcher.search_pieces(iter(partial(stream.read, _PIECE), b""))
            if any(hit.kind != RECORD_IDS for hit in found.hits):
                yield path


def list_files(root: Path) -> Files:
    """Look at everything in the folders that hold data, without opening any of it.

    Raises:
        Undecided: Something is no plain file, or larger than such a file is
            (`reproduce.unreadable`).
    """
    sizes: dict[str, int] = {}
    for name in FOLDERS:
        top = root / name
        if top.is_symlink():
            raise _odd(name, "is a link: copy what it leads to")
        for parent, folders, names in os.walk(top, onerror=_refuse):
            for one in (*folders, *names):
                path = Path(parent) / one
                status = path.lstat()
                where = path.relative_to(root).as_posix()
                if stat.S_ISLNK(status.st_mode):
                    raise _odd(where, "is a link: copy what it leads to")
                if stat.S_ISDIR(status.st_mode):
                    continue
                if not stat.S_ISREG(status.st_mode):
                    raise _odd(where, "is no regular file")
                if status.st_size > _most(where):
                    raise _odd(where, f"has {status.st_size} bytes, more than such a file has")
                sizes[where] = status.st_size
    return Files(root, sizes)


class PlainBuckets(BucketFolder):
    """Buckets as our own program writes them: nothing packed, and nothing beside their columns."""

    @classmethod
    def open(cls, folder: Path) -> PlainBuckets:
        """See `BucketFolder.open`; a manifest names files of its own folder only."""
        found = super().open(folder)
        for one in found.manifest.files:
            if one is not None and not _BUCKET.fullmatch(str(one.name)):
                raise IntegrityError(f"{folder / MANIFEST} names a file that is no bucket")
        return cls(folder, found.manifest)

    def read(self, bucket: int) -> bytes | None:
        """See `BucketFolder.read`; the content takes no more memory than it says.

        Raises:
            IntegrityError: Also where it is packed.
            Undecided: It holds more than its columns (`reproduce.unlisted`).
        """
        content = super().read(bucket)
        if content is not None:
            check_plain(content, self.path(bucket), self._columns())
        return content

    def _columns(self) -> frozenset[str]:
        """The columns that its files have: of records, or of prepared rows."""
        if "schema" not in self.manifest.header:
            return frozenset(_ROW_COLUMNS)
        names = DatasetSchema.from_json(self.manifest.header["schema"]).names
        items = (f"{name}.{column}" for name in names for column in _ITEM_COLUMNS)
        return frozenset({*_RECORD_COLUMNS, *items})


def check_plain(content: bytes, path: object, wanted: frozenset[str]) -> None:
    """Refuse a Parquet file that expands when it is read, or has bytes that nobody reads.

    Raises:
        IntegrityError: It is packed.
        Undecided: Something lies between or beside its columns (`reproduce.unlisted`).
    """
    file = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
    about = file.metadata
    columns = [
        about.row_group(group).column(column)
        for group in range(about.num_row_groups)
        for column in range(about.num_columns)
    ]
    plain = all(one.compression == "UNCOMPRESSED" and set(one.encodings) <= _PLAIN
                for one in columns)  # fmt: skip
    if not plain or about.num_rows * _LEAST_ROW_BYTES > len(content):
        raise IntegrityError(f"{path} is packed, as no data store of this program is")
    beside = {one.path_in_schema for one in columns} - wanted
    held = 4 + sum(one.total_compressed_size for one in columns) + about.serialized_size + 8
    if beside or held != len(content) or not (about.metadata or {}).keys() <= _ABOUT:
        raise _kept(f"{path} holds something beside its columns")
    size = 0
    for batch in file.iter_batches(batch_size=_SOME_ROWS, use_threads=False):
        size += batch.nbytes
        if size > 2 * len(content):
            raise IntegrityError(f"{path} is packed, as no data store of this program is")


def check_unlisted(paths: tuple[str, ...], *, searched: bool) -> None:
    """Say that there is something of which nobody knows what it is.

    Raises:
        Undecided: With code `reproduce.unlisted`.
    """
    if paths:
        more = f", and {len(paths) - 1} more" if len(paths) > 1 else ""
        looked = "; no value of the receipt was found there as it was" if searched else ""
        raise _kept(f"no manifest names {paths[0]}{more}{looked}")


def _most(where: str) -> int:
    """Bytes that a file with this path can have."""
    path = PurePosixPath(where)
    if path.name == MANIFEST:
        return _MAX_MANIFEST_BYTES
    if where == DURATION_FILE:
        return _MAX_DURATION_BYTES
    limits: dict[tuple[str, str], int] = {
        ("data", ".parquet"): _MAX_BUCKET_BYTES,
        ("models", ".json"): MAX_POLICY_BYTES,
    }
    if path.parts[0] == "models" and path.parent.name == "heads":
        return _MAX_HEAD_BYTES
    return limits.get((path.parts[0], path.suffix), _MAX_BYTES)


def _refuse(error: OSError) -> None:
    """A folder that cannot be listed; one that is not there is missed elsewhere."""
    if not isinstance(error, FileNotFoundError):
        raise error


def _odd(where: str, why: str) -> Undecided:
    return Undecided(f"{where} {why}", code="reproduce.unreadable")


def _kept(why: str) -> Undecided:
    return Undecided(why, code="reproduce.unlisted")
