"""Import of NumPy `.npz` archives by a spec; see `mbd.data.spec` for the grammar."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mbd.data.archive import Archive, Array
from mbd.data.checks import check_names, check_unique
from mbd.data.records import Records, Sequence2D
from mbd.data.schema import LABEL, DatasetSchema
from mbd.data.spec import ImportSpec, IndexedSubject
from mbd.errors import DataError
from mbd.values import Cohort, ModalityInfo, Split, Task


@dataclass(frozen=True)
class BadValue:
    """A modality of a record that is absent because a value of it cannot be used."""

    record: str
    modality: str
    reason: str


@dataclass(frozen=True)
class Dropped:
    """A record that was not taken, and why."""

    record: str
    reason: str


@dataclass(frozen=True)
class Imported:
    """What an archive holds, as records."""

    records: Records
    schema: DatasetSchema
    dropped: tuple[Dropped, ...]
    bad_values: tuple[BadValue, ...]


def import_npz(source: Path, spec: ImportSpec) -> Imported:
    """Read `source` as `spec` says.

    Raises:
        NotFoundError: No such file.
        DataError: Not an archive of plain arrays, an array missing or of the wrong shape or
            kind, a label out of range, a record id twice; names array and record.
    """
    with Archive.open(source) as archive:
        ids = archive.names(spec.record_id, "record_id")
        archive.rows = len(ids)
        check_names(ids, "record_id")
        check_unique(ids)
        task = _task(archive, spec)
        subjects = _subjects(archive, spec)
        check_names(subjects, "subject")
        labels = _labels(archive, spec, task, ids)
        splits = _splits(archive, spec)
        columns = {name: _modality(archive, spec, name, ids) for name in sorted(spec.modalities)}
    schema = DatasetSchema(
        name=spec.name or source.stem,
        task=task,
        modalities=tuple(column.info for column in columns.values()),
        cohorts=spec.cohort_rules(),
        label_derived_from=tuple(spec.derived_from.get(LABEL, ())),
    )
    dropped = list(_dropped(ids, labels, splits, columns))
    gone = {drop.record for drop in dropped}
    kept = [index for index, name in enumerate(ids) if name not in gone]
    cohorts = {name: schema.cohorts.cohort_of(name) for name in set(subjects)}
    return Imported(
        _records(kept, ids, subjects, cohorts, splits, labels, columns),
        schema,
        tuple(dropped),
        tuple(bad for column in columns.values() for bad in column.bad),
    )


def _task(archive: Archive, spec: ImportSpec) -> Task:
    if spec.label_range is not None:
        low, high = spec.label_range
        return Task(kind="regression", label_range=(low, high))
    named = spec.classes
    classes = archive.names(named, "classes") if isinstance(named, str) else tuple(named or ())
    if len(classes) < 2 or len(set(classes)) != len(classes):
        raise DataError("want at least two classes, each once", field="classes")
    check_names(classes, "classes")
    return Task(kind="classification", classes=classes)


def _subjects(archive: Archive, spec: ImportSpec) -> tuple[str, ...]:
    if not isinstance(spec.subject, IndexedSubject):
        found = archive.names(spec.subject, "subject")
        archive.vector(spec.subject, "subject", "USiu")
        return found
    names = archive.names(spec.subject.names, "subject.names")
    index = archive.vector(spec.subject.index, "subject.index", "iu")
    if len(index) and not 0 <= int(index.min()) <= int(index.max()) < len(names):
        raise DataError(
            f"array {spec.subject.index!r} points outside the {len(names)} names",
            field="subject.index",
        )
    return tuple(names[i] for i in index.tolist())


def _labels(
    archive: Archive, spec: ImportSpec, task: Task, ids: tuple[str, ...]
) -> npt.NDArray[np.float64]:
    """(N,) labels; NaN stays, to be dropped with a reason."""
    labels = archive.vector(spec.label, "label", "fiub").astype(np.float64)
    low, high = task.label_range or (0.0, float(len(task.classes) - 1))
    fractional = task.kind == "classification" and labels != np.floor(labels)
    wrong = ~np.isnan(labels) & ~((labels >= low) & (labels <= high) & ~fractional)
    for index in np.flatnonzero(wrong):
        raise DataError(
            f"record {ids[index]!r}: {spec.label} is {labels[index]:g}, "
            f"outside {low:g} to {high:g}",
            field="label",
        )
    return labels


def _splits(archive: Archive, spec: ImportSpec) -> list[Split | None]:
    """The split of each record; None where the value means none."""
    found = archive.vector(spec.split.array, "split.array", "iubUS")
    meant: list[tuple[int | str, Split]] = [
        (spec.split.train, "train"), (spec.split.valid, "valid"), (spec.split.test, "test")
    ]  # fmt: skip
    if len({str(value) for value, _ in meant}) != 3:
        raise DataError("train, valid and test want three different values", field="split")
    by_value = {str(value): split for value, split in meant}
    text = archive.names(spec.split.array, "split") if found.dtype.kind in "US" else found.tolist()
    return [by_value.get(str(int(v) if isinstance(v, bool) else v)) for v in text]


@dataclass(frozen=True)
class _Column:
    """One modality of all records."""

    info: ModalityInfo
    values: tuple[Sequence2D | None, ...]
    bad: tuple[BadValue, ...]


def _modality(archive: Archive, spec: ImportSpec, name: str, ids: tuple[str, ...]) -> _Column:
    field = f"modalities.{name}"
    parts = [_steps(archive.column(array, field, "fiub"), array, field)
             for array in spec.modalities[name]]  # fmt: skip
    if len({part.shape[1] for part in parts}) > 1:
        raise DataError(
            f"arrays of {name} differ in length: {[part.shape for part in parts]}", field=field
        )
    # A value too large for float32 becomes infinite here, and its modality absent below.
    with np.errstate(over="ignore"):
        joined = np.concatenate([part.astype(np.float32) for part in parts], axis=2)
    lengths = _lengths(archive, spec, name, ids, joined.shape[1])
    bounds = spec.range.get(name)
    values: list[Sequence2D | None] = []
    bad: list[BadValue] = []
    for record, steps, length in zip(ids, joined, lengths, strict=True):
        reason = _flaw(steps[:length], bounds)
        values.append(steps[:length] if length and not reason else None)
        if reason:
            bad.append(BadValue(record, name, reason))
    info = ModalityInfo(
        name=name,
        width=joined.shape[2],
        max_length=joined.shape[1],
        range=(bounds[0], bounds[1]) if bounds else None,
        derived_from=tuple(spec.derived_from.get(name, ())),
    )
    return _Column(info, tuple(values), tuple(bad))


def _steps(array: Array, name: str, field: str) -> Array:
    """Any accepted shape as (N, T, D)."""
    if array.ndim > 3 or 0 in array.shape[1:]:
        raise DataError(
            f"array {name!r} has shape {array.shape}; want (N,), (N, D) or (N, T, D)", field=field
        )
    if array.ndim == 1:
        return array[:, None, None]
    return array[:, None, :] if array.ndim == 2 else array


def _lengths(
    archive: Archive, spec: ImportSpec, name: str, ids: tuple[str, ...], longest: int
) -> list[int]:
    """(N,) steps of each record; 0 where the modality is absent."""
    lengths = np.full(len(ids), longest, np.int64)
    if name in spec.lengths:
        lengths = archive.vector(spec.lengths[name], f"lengths.{name}", "iu").astype(np.int64)
        for index in np.flatnonzero((lengths < 0) | (lengths > longest)):
            raise DataError(
                f"record {ids[index]!r}: length {lengths[index]} of {name} is outside "
                f"0 to {longest}",
                field=f"lengths.{name}",
            )
    if name in spec.present:
        field = f"present.{name}"
        flags = archive.vector(spec.present[name], field, "biu")
        if not np.isin(flags, (0, 1)).all():
            raise DataError(f"array {spec.present[name]!r}: want true or false", field=field)
        lengths = np.where(flags.astype(bool), lengths, 0)
    found: list[int] = lengths.tolist()
    return found


def _flaw(steps: Sequence2D, bounds: list[float] | None) -> str | None:
    """Why these values cannot be used; None if they can."""
    if not np.isfinite(steps).all():
        return "a value is not finite"
    if bounds and steps.size and not (bounds[0] <= steps.min() <= steps.max() <= bounds[1]):
        return f"a value is outside {bounds[0]:g} to {bounds[1]:g}"
    return None


def _dropped(
    ids: tuple[str, ...],
    labels: npt.NDArray[np.float64],
    splits: list[Split | None],
    columns: dict[str, _Column],
) -> Iterator[Dropped]:
    for index, record in enumerate(ids):
        if splits[index] is None:
            yield Dropped(record, "its split value is neither train, valid nor test")
        elif np.isnan(labels[index]):
            yield Dropped(record, "no label")
        elif all(column.values[index] is None for column in columns.values()):
            yield Dropped(record, "no modality left")


def _records(
    kept: list[int],
    ids: tuple[str, ...],
    subjects: tuple[str, ...],
    cohorts: dict[str, Cohort],
    splits: list[Split | None],
    labels: npt.NDArray[np.float64],
    columns: dict[str, _Column],
) -> Records:
    return Records(
        record_ids=tuple(ids[i] for i in kept),
        subjects=tuple(subjects[i] for i in kept),
        cohorts=tuple(cohorts[subjects[i]] for i in kept),
        splits=tuple(split for i in kept if (split := splits[i]) is not None),
        labels=labels[np.array(kept, dtype=np.intp)],
        x={name: tuple(column.values[i] for i in kept) for name, column in columns.items()},
    )
