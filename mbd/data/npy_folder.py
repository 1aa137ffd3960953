"""Import of a folder: `manifest.csv` names, for each record and modality, a `.npy` file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from mbd.data.archive import unreadable
from mbd.data.channels import Array, Channel
from mbd.data.problems import Problems
from mbd.data.rules import Imported, assemble
from mbd.data.spec import ImportSpec
from mbd.data.table import Table, read_csv
from mbd.data.tabular import TableFields
from mbd.errors import DataError, StorageError
from mbd.workspace.files import storage_errors

MANIFEST = "manifest.csv"


def import_folder(source: Path, spec: ImportSpec, problems: Problems) -> Imported | None:
    """Read a folder as `spec` says; see `assemble` for what comes back.

    Raises:
        NotFoundError: No manifest.
        DataError: The manifest is not a UTF-8 CSV file with a header.
    """
    table = read_csv(source / MANIFEST, problems)
    name = source.resolve().name
    return assemble(FolderFields(source, table, spec), spec, name, problems)


class FolderFields(TableFields):
    """The fields of a spec in a manifest and the files that it names.

    A file holds a sequence (T, D) or a vector (D,); an empty cell or T = 0 means absent.
    """

    def __init__(self, folder: Path, table: Table, spec: ImportSpec) -> None:
        super().__init__(table, spec)
        self._folder = folder.resolve()

    def channel(self, name: str, problems: Problems) -> Channel:
        if name in self._spec.lengths:
            raise DataError("a file holds real steps only", field=f"lengths.{name}")
        field = f"modalities.{name}"
        columns = self._columns(name, field)
        parts = [self._column(column, field, problems) for column in columns]
        widths = [_width(part) for part in parts]
        if not all(widths):
            empty = columns[widths.index(0)]
            raise DataError(f"column {empty!r} names no usable file with features", field=field)
        there = self._present(name, problems)
        values: list[Array | None] = []
        flaws: dict[int, str] = {}
        for row, found in enumerate(zip(*parts, strict=True)):
            values.append(self._joined(row, found, field, problems) if there[row] else None)
            missing = sum(part is None for part in found)
            if there[row] and 0 < missing < len(found):
                flaws[row] = f"{missing} of its {len(found)} files are missing"
        longest = max((len(value) for value in values if value is not None), default=0)
        if longest > 1 and name not in self._spec.max_steps:
            raise DataError(
                f"{name} has up to {longest} steps; a model is designed for the longest sequence "
                "that may ever arrive, which no person's data may decide",
                code="spec.max_steps",
                field=f"max_steps.{name}",
                hint=f"declare it: [max_steps] {name} = {longest}, or more",
            )
        return Channel(width=sum(widths), longest=max(1, longest), values=values, flaws=flaws)

    def _column(self, column: str, field: str, problems: Problems) -> list[Array | None]:
        """The arrays that one column of paths names, all of one width."""
        found: list[Array | None] = []
        width = 0
        for record, path in zip(self._ids, self._table.text(column, field), strict=True):
            value = None
            try:
                value = self._load(path, field) if path else None
            except (DataError, StorageError) as error:
                problems.refuse(record, field, error.message)
            if value is not None:
                width = width or value.shape[1]
                if value.shape[1] != width:
                    reason = f"{path} has {value.shape[1]} features, those before it {width}"
                    problems.refuse(record, field, reason)
                    value = None
            found.append(value)
        return found

    def _load(self, relative: str, field: str) -> Array | None:
        """(T, D) of one file of the folder; None if it has no step.

        Raises:
            DataError: The path leaves the folder, or the file is not an array of numbers.
            StorageError: The disk refused.
        """
        with storage_errors(self._folder / relative), unreadable(relative, field):
            path = self._inside(relative, field)
            # A map, because the header may claim more than the file has; then a copy.
            found: Array = np.array(np.lib.format.open_memmap(path, mode="r"))  # no pickles
        if found.dtype.kind not in "fiub" or found.ndim not in (1, 2) or not found.shape[-1]:
            raise DataError(
                f"{relative} is {found.dtype} of shape {found.shape}; want numbers, (T, D) or (D,)"
            )
        steps: Array = found[None, :] if found.ndim == 1 else found
        return steps if len(steps) else None

    def _inside(self, relative: str, field: str) -> Path:
        """Where a path of the manifest points; it stays in the folder, links included."""
        named = PurePosixPath(relative)
        if named.is_absolute() or ".." in named.parts or "\0" in relative or "\\" in relative:
            raise DataError(f"{relative[:200]!r} leaves the folder", field=field)
        path = (self._folder / named).resolve()
        if not path.is_relative_to(self._folder):
            raise DataError(f"{relative!r} is a link that leaves the folder", field=field)
        if not path.is_file():
            raise DataError(f"{relative!r}: no such file", field=field)
        return path

    def _joined(
        self, row: int, parts: Sequence[Array | None], field: str, problems: Problems
    ) -> Array | None:
        """(T, D) of all parts side by side; absent where one is."""
        there = [part for part in parts if part is not None]
        if len(there) < len(parts):
            return None
        if len({len(part) for part in there}) > 1:
            shapes = [part.shape for part in there]
            problems.refuse(self._ids[row], field, f"arrays to be joined differ: {shapes}")
            return None
        return there[0] if len(there) == 1 else np.concatenate(there, axis=1)


def _width(part: list[Array | None]) -> int:
    """D of a column of arrays; 0 if there is none."""
    return next((value.shape[1] for value in part if value is not None), 0)
