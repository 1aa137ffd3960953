"""Buckets of records and rows in a copy that somebody else made: nothing packed, nothing beside.

A megabyte may become gigabytes when it is read, and a Parquet file has room between its columns.
Our own program writes neither, so both are refused by what a file says of itself.
"""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mbd.data.buckets import MANIFEST, BucketFolder
from mbd.data.schema import DatasetSchema
from mbd.errors import IntegrityError
from mbd.workflows.reproduce.files import kept_beside

_LEAST_ROW_BYTES = 16
"""A row has four texts at least, each with its length."""
_SOME_ROWS = 64
_BUCKET = re.compile(r"bucket-[0-9]{6,}\.[0-9]{8,}\.parquet")
_PLAIN = frozenset({"PLAIN", "RLE"})
_RECORD_COLUMNS = ("record_id", "subject", "cohort", "split", "label")
_ITEM_COLUMNS = ("steps", "salt", "values")
_ROW_COLUMNS = ("head", "record_id", "subject", "v", "t")
_ABOUT = frozenset({b"ARROW:schema"})


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
        raise kept_beside(f"{path} holds something beside its columns")
    size = 0
    for batch in file.iter_batches(batch_size=_SOME_ROWS, use_threads=False):
        size += batch.nbytes
        if size > 2 * len(content):
            raise IntegrityError(f"{path} is packed, as no data store of this program is")
