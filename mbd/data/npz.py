"""Import of NumPy `.npz` archives by a spec; see `mbd.data.spec` for the grammar."""

from __future__ import annotations

from pathlib import Path

from mbd.data.archive import Archive
from mbd.data.arrays import ArrayFields
from mbd.data.problems import Problems
from mbd.data.rules import Imported, assemble
from mbd.data.spec import ImportSpec


def import_npz(source: Path, spec: ImportSpec) -> Imported:
    """Read `source` as `spec` says.

    Raises:
        NotFoundError: No such file.
        DataError: Not an archive of plain arrays, an array missing or of the wrong shape or
            kind, a label out of range, a record id twice; names array and record.
    """
    problems = Problems()
    return problems.settle(read_npz(source, spec, problems))


def read_npz(source: Path, spec: ImportSpec, problems: Problems) -> Imported | None:
    """Read `source` as `spec` says; see `assemble` for what comes back.

    Raises:
        NotFoundError: No such file.
        DataError: Not an archive of plain arrays.
    """
    with Archive.open(source) as archive:
        return assemble(ArrayFields(archive, spec), spec, source.stem, problems)
