"""Records as Parquet bytes and back.

Values lie in the file as they are in memory: plain encoding, no compression, no dictionary,
no statistics. So the bytes of a vector can be searched for, and are gone when the file is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mbd.data.records import Records, Sequence2D
from mbd.values import Availability, Cohort, Split

T = TypeVar("T")

SALT_BYTES = 32
_KEYS = ("record_id", "subject", "cohort", "split")


@dataclass(frozen=True)
class Outline:
    """Records without their content: who, which part, which channels."""

    record_ids: tuple[str, ...]
    subjects: tuple[str, ...]
    cohorts: tuple[Cohort, ...]
    splits: tuple[Split, ...]
    available: tuple[Availability, ...]


def records_to_parquet(records: Records, modalities: Iterable[str]) -> bytes:
    """All records with three columns (steps, salt, values) for each modality."""
    keys = (records.record_ids, records.subjects, records.cohorts, records.splits)
    columns: dict[str, Any] = {
        name: pa.array(column, pa.string()) for name, column in zip(_KEYS, keys, strict=True)
    }
    columns["label"] = pa.array(records.labels, pa.float64())
    for name in modalities:
        column = records.x.get(name, (None,) * len(records))
        steps = [None if value is None else value.shape[0] for value in column]
        values = [None if value is None else sequence_bytes(value) for value in column]
        columns[f"{name}.steps"] = pa.array(steps, pa.int32())
        columns[f"{name}.salt"] = pa.array(_salts(records, name), pa.binary(SALT_BYTES))
        columns[f"{name}.values"] = pa.array(values, pa.large_binary())
    return table_to_parquet(pa.table(columns))


def records_from_parquet(content: bytes, modalities: Iterable[str]) -> Records:
    """Inverse of `records_to_parquet`; arrays are read-only views of the file's bytes."""
    table = parquet_to_table(content)
    record_ids, subjects, cohorts, splits = _keys(table)
    names = tuple(modalities)
    return Records(
        record_ids,
        subjects,
        cohorts,
        splits,
        labels=table.column("label").to_numpy(),
        x={name: _sequences(table, name) for name in names},
        salts={name: tuple(table.column(f"{name}.salt").to_pylist()) for name in names},
    )


def outline_from_parquet(content: bytes, modalities: Sequence[str]) -> Outline:
    """Who and what is in a file, without decoding a feature."""
    wanted = [*_KEYS, *(f"{name}.steps" for name in modalities)]
    table = parquet_to_table(content, wanted)
    flags = [
        table.column(f"{name}.steps").is_valid().to_numpy(zero_copy_only=False)
        if table.num_rows
        else np.empty(0, bool)
        for name in modalities
    ]
    available = (
        frozenset(name for name, flag in zip(modalities, flags, strict=True) if flag[i])
        for i in range(table.num_rows)
    )
    return Outline(*_keys(table), _shared(available))


def table_to_parquet(table: pa.Table) -> bytes:
    """Plain, uncompressed Parquet; the same table gives the same bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="NONE", use_dictionary=False, write_statistics=False)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def parquet_to_table(content: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """Inverse of `table_to_parquet`, or some columns of it.

    Without `pq.read_table`, whose threads now and then abort a process that ends right after.
    """
    reader = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
    return reader.read(columns=columns, use_threads=False)


def sequence_bytes(value: Sequence2D) -> bytes:
    """(T, D) as little-endian float32, row by row: what is stored, hashed and searched for."""
    return value.astype("<f4", copy=False).tobytes()


def binary_buffer(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], pa.Buffer]:
    """Offsets (n + 1,) in bytes and the data of a large binary column, without copying."""
    array = column.combine_chunks()
    _, offsets, data = array.buffers()
    found = np.frombuffer(offsets, np.int64, count=len(array) + 1, offset=8 * array.offset)
    return found, data if data is not None else pa.py_buffer(b"")


def _keys(
    table: pa.Table,
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[Cohort, ...], tuple[Split, ...]]:
    record_ids, subjects, cohorts, splits = (
        _shared(table.column(name).to_pylist()) for name in _KEYS
    )
    return record_ids, subjects, cohorts, splits


def _shared(values: Iterable[T]) -> tuple[T, ...]:
    """These values, equal ones in memory only once: outlines of a whole store are kept at once."""
    known: dict[T, T] = {}
    return tuple(known.setdefault(value, value) for value in values)


def _salts(records: Records, name: str) -> list[bytes | None]:
    """A salt where there is a value, and nothing elsewhere."""
    none = (None,) * len(records)
    values, salts = records.x.get(name, none), records.salts.get(name, none)
    return [salt if value is not None else None for value, salt in zip(values, salts, strict=True)]


def _sequences(table: pa.Table, name: str) -> tuple[Sequence2D | None, ...]:
    if not table.num_rows:
        return ()
    offsets, data = binary_buffer(table.column(f"{name}.values"))
    values = np.frombuffer(data, "<f4", count=int(offsets[-1]) // 4)
    steps = table.column(f"{name}.steps").to_pylist()
    starts = offsets // 4
    return tuple(
        None if length is None else values[starts[i] : starts[i + 1]].reshape(length, -1)
        for i, length in enumerate(steps)
    )
