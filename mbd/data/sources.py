"""Which importer reads a source, and the one way in: import it, or only say what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mbd.data import mmsa
from mbd.data.formats import FORMATS
from mbd.data.mmsa import import_mmsa
from mbd.data.npy_folder import MANIFEST, import_folder
from mbd.data.npz import read_npz
from mbd.data.problems import Problem, Problems
from mbd.data.rules import Imported
from mbd.data.spec import ImportSpec, read_spec, spec_bytes
from mbd.data.tabular import import_csv, import_parquet
from mbd.errors import NotFoundError, UsageError


@dataclass(frozen=True)
class _Importer:
    read: Callable[[Path, ImportSpec, Problems], Imported | None]
    suffixes: tuple[str, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """What a spec need not say; with defaults there need be no spec at all."""


_IMPORTERS = {
    "npz": _Importer(read_npz, (".npz",)),
    "csv": _Importer(import_csv, (".csv",)),
    "parquet": _Importer(import_parquet, (".parquet", ".pq")),
    "npy": _Importer(import_folder, ()),
    "mmsa": _Importer(import_mmsa, (".pkl", ".pickle"), mmsa.DEFAULTS),
}


@dataclass(frozen=True)
class Reading:
    """How a source is to be read."""

    source: Path
    spec: Path | None = None
    """A TOML file; some formats need none."""
    format: str | None = None
    """One of FORMATS; None: by what the source is."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the spec given elsewhere, e.g. on the command line; they win."""


@dataclass(frozen=True)
class Validated:
    """What a source holds and everything that is wrong with it."""

    imported: Imported | None
    """None where an import is refused."""
    problems: tuple[Problem, ...]


def import_source(reading: Reading) -> Imported:
    """Read a source as records.

    Raises:
        NotFoundError: No such source or spec.
        UsageError: The format cannot be told, or there is no spec and it needs one.
        DataError: The first problem that refuses the import; names record and field.
    """
    problems = Problems()
    return problems.settle(_read(reading, problems))


def validate_source(reading: Reading, *, joining: bool = False) -> Validated:
    """Everything that is wrong with a source; nothing is changed.

    Args:
        reading: The source.
        joining: It will join data already held, so that the people whom the spec lists need
            not all be in it.

    Raises:
        NotFoundError: No such source or spec.
        UsageError: The format cannot be told, or there is no spec and it needs one.
    """
    problems = Problems()
    found = None
    with problems.collected():
        found = _read(reading, problems)
    if found is not None:
        if not len(found.records):
            problems.refuse(None, "SRC", "no record to import")
        there = set(found.records.subjects)
        for cohort, subject in () if joining else found.schema.cohorts.listed():
            if subject not in there:
                problems.refuse(None, cohort, f"lists {subject!r}, who is not in the data")
    refused = any(problem.effect == "refused" for problem in problems.found)
    return Validated(None if refused else found, tuple(problems.found))


def format_of(source: Path) -> str:
    """Which importer reads a source.

    Raises:
        NotFoundError: No such source.
        UsageError: It is of no known kind.
    """
    if source.is_dir():
        if not (source / MANIFEST).is_file():
            raise NotFoundError(f"{source}: a folder without {MANIFEST}", field="SRC")
        return "npy"
    if not source.exists():
        raise NotFoundError(f"{source}: no such file", field="SRC")
    for name, importer in _IMPORTERS.items():
        if source.suffix.lower() in importer.suffixes:
            return name
    raise UsageError(
        f"{source}: unknown kind of file", field="SRC",
        hint=f"say what it is with --format: {', '.join(FORMATS)}",
    )  # fmt: skip


def _read(reading: Reading, problems: Problems) -> Imported | None:
    content = b"" if reading.spec is None else spec_bytes(reading.spec)
    name = reading.format or format_of(reading.source)
    importer = _IMPORTERS[name]
    if reading.spec is None and not importer.defaults:
        raise UsageError(
            f"{name} needs a spec", field="--spec", hint="`mbd data import --help` explains it"
        )
    spec = read_spec(
        content,
        problems,
        "spec" if reading.spec is None else str(reading.spec),
        defaults=importer.defaults,
        overrides=reading.overrides,
    )
    return None if spec is None else importer.read(reading.source, spec, problems)
