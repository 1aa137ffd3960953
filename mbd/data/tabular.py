"""Import of CSV and Parquet: one row per record, one column per feature."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mbd.data.channels import Array, Channel
from mbd.data.problems import Problems
from mbd.data.rules import Imported, assemble
from mbd.data.spec import ImportSpec
from mbd.data.table import Table, read_csv, read_parquet
from mbd.errors import DataError

_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


def import_csv(source: Path, spec: ImportSpec, problems: Problems) -> Imported | None:
    """Read a CSV file as `spec` says; see `assemble` for what comes back.

    Raises:
        NotFoundError: No such file.
        DataError: Not a UTF-8 CSV file with a header.
    """
    return assemble(TableFields(read_csv(source, problems), spec), spec, source.stem, problems)


def import_parquet(source: Path, spec: ImportSpec, problems: Problems) -> Imported | None:
    """`import_csv` for Parquet, where an empty cell is a null."""
    return assemble(TableFields(read_parquet(source), spec), spec, source.stem, problems)


class TableFields:
    """The fields of a spec in the columns of a table; see `mbd.data.channels.Fields`."""

    def __init__(self, table: Table, spec: ImportSpec) -> None:
        self._table = table
        self._spec = spec
        self._ids: tuple[str, ...] = ()

    def record_ids(self, problems: Problems) -> tuple[str, ...]:
        self._ids = tuple(self._table.text(self._spec.record_id, "record_id"))
        return self._ids

    def subjects(self, problems: Problems) -> tuple[str, ...]:
        if not isinstance(self._spec.subject, str):
            raise DataError("a table wants the column with the names", field="subject")
        return tuple(self._table.text(self._spec.subject, "subject"))

    def classes(self) -> tuple[str, ...]:
        if not isinstance(self._spec.classes, list):
            raise DataError("a table wants a list of names", field="classes")
        return tuple(self._spec.classes)

    def labels(self, classes: tuple[str, ...], problems: Problems) -> npt.NDArray[np.float64]:
        """A class is given by its name or, if no name looks like a number, by its index."""
        name = self._spec.label
        if classes and self._table.is_text(name, "label"):
            named = {text: float(index) for index, text in enumerate(classes)}
            if not any(_is_float(text) for text in classes):
                named |= {str(index): float(index) for index in range(len(classes))}
            texts = self._table.text(name, "label")
            wrong = {i: text for i, text in enumerate(texts) if text and text not in named}
            values = np.array([named.get(text, np.nan) for text in texts])
        else:
            values, _, wrong = self._table.numbers(name, "label")
        kind = "one of the classes" if classes else "a number"
        for row, text in wrong.items():
            problems.refuse(self._ids[row], "label", f"{name} is {text[:60]!r}, not {kind}")
        return values

    def splits(self) -> tuple[str, ...]:
        return tuple(self._table.text(self._spec.split.array, "split.column"))

    def channel(self, name: str, problems: Problems) -> Channel:
        if name in self._spec.lengths:
            raise DataError("a row of a table is one step", field=f"lengths.{name}")
        field = f"modalities.{name}"
        chosen = self._columns(name, field)
        matrix = np.empty((len(self._ids), len(chosen)))
        empty = np.empty(matrix.shape, bool)
        flaws: dict[int, str] = {}
        for index, column in enumerate(chosen):
            matrix[:, index], empty[:, index], wrong = self._table.numbers(column, field)
            for row, text in wrong.items():
                flaws.setdefault(row, f"{column} is {text[:60]!r}, not a number")
        there = self._present(name, problems) & ~empty.all(axis=1)
        for row in np.flatnonzero(there & empty.any(axis=1)).tolist():
            flaws.setdefault(row, f"{chosen[int(empty[row].argmax())]} is empty")
        values: list[Array | None] = [
            row[None, :] if here else None for row, here in zip(matrix, there, strict=True)
        ]
        seen = {row: flaw for row, flaw in sorted(flaws.items()) if there[row]}
        return Channel(width=len(chosen), longest=1, values=values, flaws=seen)

    def _columns(self, name: str, field: str) -> list[str]:
        """The feature columns of a modality.

        The columns of a glob are in natural order (`a_2` before `a_10`), whatever their order
        in the file: features must not change places between two files.
        """
        chosen: list[str] = []
        for pattern in self._spec.modalities[name]:
            if pattern in self._table.names:
                found = [pattern]
            else:
                matching = (one for one in self._table.names if fnmatchcase(one, pattern))
                found = sorted((one for one in matching if one not in self._taken()), key=_natural)
            if not found:
                self._table.column(pattern, field)  # raises: neither a column nor a glob of some
            chosen += [column for column in found if column not in chosen]
        return chosen

    def _taken(self) -> set[str]:
        """Columns that a glob does not mean, because they are something else."""
        spec = self._spec
        subject = [spec.subject] if isinstance(spec.subject, str) else []
        return {
            spec.record_id, spec.label, spec.split.array, *subject, *spec.present.values()
        }  # fmt: skip

    def _present(self, name: str, problems: Problems) -> npt.NDArray[np.bool_]:
        """(N,): where the table does not say that the modality is absent."""
        if name not in self._spec.present:
            return np.ones(len(self._ids), bool)
        column, field = self._spec.present[name], f"present.{name}"
        texts = [text.strip().lower() for text in self._table.text(column, field)]
        for record, text in zip(self._ids, texts, strict=True):
            if text not in _TRUTHS:
                reason = f"{column} is {text[:60]!r}; want true or false"
                problems.refuse(record, field, reason)
        return np.array([_TRUTHS.get(text, False) for text in texts], bool)


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key under which runs of digits are numbers; the name itself breaks ties."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(0, int(p), p) if p.isdecimal() else (1, 0, p) for p in parts] + [(2, 0, name)]
