"""A CSV or Parquet file as columns of text or numbers, every cell that is neither named."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from mbd.data.problems import Problems
from mbd.errors import DataError, NotFoundError
from mbd.workspace.files import storage_errors

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)


class Table:
    """The columns of one file, each of the same number of rows."""

    def __init__(self, source: Path, content: pa.Table) -> None:
        self._source = source
        self._content = content

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in the order of the file."""
        return tuple(self._content.column_names)

    def __len__(self) -> int:
        return int(self._content.num_rows)

    def column(self, name: str, field: str) -> pa.Array:
        """The column that the spec's key `field` asks for."""
        if name not in self.names:
            some = ", ".join(self.names[:20]) + (", ..." if len(self.names) > 20 else "")
            raise DataError(f"{self._source}: no column {name!r}; it has {some}", field=field)
        found = self._content.column(name).combine_chunks()
        return found.dictionary_decode() if pa.types.is_dictionary(found.type) else found

    def is_text(self, name: str, field: str) -> bool:
        """Whether a column holds text; every column of a CSV file does."""
        return _is_text(self.column(name, field).type)

    def text(self, name: str, field: str) -> list[str]:
        """A column of names or whole numbers as text; empty where there is none."""
        column = self.column(name, field)
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())
        if not (_is_text(column.type) or pa.types.is_integer(column.type)):
            raise DataError(f"column {name!r} has type {column.type}; want names", field=field)
        return ["" if value is None else str(value) for value in column.to_pylist()]

    def numbers(
        self, name: str, field: str
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], dict[int, str]]:
        """A column of numbers.

        Returns:
            Values (N,), NaN where there is none; where a cell is empty (N,); and by row the
            text of cells that are no numbers.

        Raises:
            DataError: No such column, or several cells have text and none is a number.
        """
        column = self.column(name, field)
        wrong: dict[int, str] = {}
        if _is_text(column.type):
            column, wrong = _parsed(pc.utf8_trim_whitespace(column))
            if len(wrong) > 1 and column.null_count == len(column):
                raise DataError(f"column {name!r} holds no number", field=field)
        elif not _is_number(column.type):
            raise DataError(f"column {name!r} has type {column.type}; want numbers", field=field)
        empty = np.asarray(column.is_null(), bool)
        empty[list(wrong)] = False
        values = column.cast(pa.float64(), safe=False).fill_null(np.nan)
        return values.to_numpy(zero_copy_only=False).copy(), empty, wrong


def read_csv(source: Path, problems: Problems) -> Table:
    """A UTF-8 CSV file with a header; rows of the wrong number of cells become problems.

    Raises:
        NotFoundError: No such file.
        DataError: Not UTF-8, no header, or a column name twice.
    """
    with _readable(source):
        _check_text(source)
        names = _header(source)

        def skip(row: pa.csv.InvalidRow) -> str:
            problems.refuse(
                f"line {row.number}",
                "SRC",
                f"{row.actual_columns} cells where the header has {row.expected_columns}",
            )
            return "skip"

        content = pa.csv.read_csv(
            source,
            # Without threads the row numbers of the handler are known.
            read_options=pa.csv.ReadOptions(use_threads=False),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=skip),
            convert_options=pa.csv.ConvertOptions(
                column_types={name: pa.string() for name in names},
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
    return Table(source, content)


def read_parquet(source: Path) -> Table:
    """A Parquet file.

    Raises:
        NotFoundError: No such file.
        DataError: Not Parquet, damaged, or a column name twice.
    """
    with _readable(source), source.open("rb") as stream:
        content = pq.ParquetFile(stream).read(use_threads=False)
        _check_names(source, content.column_names)
    return Table(source, content)


def _header(source: Path) -> list[str]:
    with source.open(encoding="utf-8-sig", newline="") as stream:
        names = next(csv.reader(stream), None)
    if not names:
        raise DataError(f"{source}: empty; want a header with the names of the columns",
                        field="SRC")  # fmt: skip
    _check_names(source, names)
    return names


def _check_text(source: Path) -> None:
    """Refuse what the parser would read as something else.

    A quotation that never ends swallows every row after it; in a row of the wrong number of
    cells, bytes that are no text go unnoticed.
    """
    decoder, quotes = codecs.getincrementaldecoder("utf-8")(), 0
    with source.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            decoder.decode(block)
            quotes += block.count(b'"')
    decoder.decode(b"", final=True)
    if quotes % 2:
        raise DataError(
            f"{source}: an odd number of quotation marks: one is not closed", field="SRC"
        )


def _check_names(source: Path, names: list[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{source}: column {twice[0]!r} appears twice", field="SRC")


@contextmanager
def _readable(source: Path) -> Iterator[None]:
    """Turn what the parsers say about the bytes of `source` into our error."""
    if not source.is_file():
        raise NotFoundError(f"{source}: no such file", field="SRC")
    with storage_errors(source):
        try:
            yield
        except UnicodeDecodeError as error:
            raise DataError(f"{source} is not UTF-8: {error.reason}", field="SRC") from error
        except (pa.ArrowException, csv.Error, ValueError) as error:
            raise DataError(
                f"{source} cannot be read: {error}", code="data.unreadable", field="SRC"
            ) from error


def _parsed(texts: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """Texts as float64, null where empty or no number; and those that are no numbers."""
    try:
        return texts.cast(pa.float64()), {}
    except pa.ArrowInvalid:
        pass
    wrong: dict[int, str] = {}
    values: list[float | None] = []
    for row, text in enumerate(texts.to_pylist()):
        good = bool(text) and _NUMBER.fullmatch(text) is not None
        values.append(float(text) if good else None)
        if text and not good:
            wrong[row] = text
    return pa.array(values, pa.float64()), wrong


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_number(kind: Any) -> bool:
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_null(kind)
    )
