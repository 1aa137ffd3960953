"""The rules by which any source becomes records: labels, splits, cohorts, bad values, doubles."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mbd.data.channels import Array, Channel, Fields
from mbd.data.checks import name_flaw
from mbd.data.problems import Problems
from mbd.data.records import Records, Sequence2D
from mbd.data.schema import LABEL, DatasetSchema
from mbd.data.spec import ImportSpec
from mbd.errors import DataError
from mbd.values import ModalityInfo, Split, Task


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
    """What a source holds, as records."""

    records: Records
    schema: DatasetSchema
    dropped: tuple[Dropped, ...]
    bad_values: tuple[BadValue, ...]


def assemble(fields: Fields, spec: ImportSpec, name: str, problems: Problems) -> Imported | None:
    """The records of a source, as far as there are any.

    Args:
        fields: The source as the spec names it.
        spec: How to read it.
        name: What the data set is called if the spec gives no name.
        problems: Takes everything that is wrong; if a problem refuses the import, the result
            is not to be used.

    Returns:
        What can be taken; None where a whole part is missing.
    """
    ids: tuple[str, ...] = ()
    with problems.collected():
        ids = fields.record_ids(problems)
    if not ids:
        if not problems.found:
            problems.refuse(None, "record_id", "there is no record")
        return None
    _check_ids(ids, problems)
    subjects = splits = labels = task = schema = None
    with problems.collected():
        subjects = fields.subjects(problems)
        _check_subjects(subjects, ids, problems)
    with problems.collected():
        task = _task(fields, spec)
        labels = fields.labels(task.classes, problems)
        _check_labels(labels, task, spec, ids, problems)
    with problems.collected():
        splits = _splits(fields, spec)
    columns: dict[str, _Column] = {}
    for modality in sorted(spec.modalities):
        with problems.collected():
            columns[modality] = _column(fields, spec, modality, ids, problems)
    with problems.collected():
        rules = spec.cohort_rules()
        if task is not None and len(columns) == len(spec.modalities):
            schema = DatasetSchema(
                name=spec.name or name,
                task=task,
                modalities=tuple(column.info for column in columns.values()),
                cohorts=rules,
                label_derived_from=tuple(spec.derived_from.get(LABEL, ())),
            )
    if subjects is None or splits is None or labels is None or schema is None:
        return None
    return _imported(ids, subjects, splits, labels, columns, schema, problems)


def _check_ids(ids: tuple[str, ...], problems: Problems) -> None:
    for row, name in enumerate(ids):
        if flaw := name_flaw(name):
            problems.refuse(f"row {row + 1}", "record_id", f"{name[:60]!r}: {flaw}")
    for name, count in Counter(ids).items():
        if count > 1:
            problems.refuse(name, "record_id", f"appears {count} times; want each once")


def _check_subjects(subjects: tuple[str, ...], ids: tuple[str, ...], problems: Problems) -> None:
    for record, name in zip(ids, subjects, strict=True):
        if flaw := name_flaw(name):
            problems.refuse(record, "subject", f"subject {name[:60]!r}: {flaw}")


def _task(fields: Fields, spec: ImportSpec) -> Task:
    if spec.label_range is not None:
        low, high = spec.label_range
        return Task(kind="regression", label_range=(low, high))
    classes = fields.classes()
    if len(classes) < 2 or len(set(classes)) != len(classes):
        raise DataError("want at least two classes, each once", field="classes")
    for name in classes:
        if flaw := name_flaw(name):
            raise DataError(f"class {name[:60]!r}: {flaw}", field="classes")
    return Task(kind="classification", classes=classes)


def _check_labels(
    labels: npt.NDArray[np.float64],
    task: Task,
    spec: ImportSpec,
    ids: tuple[str, ...],
    problems: Problems,
) -> None:
    low, high = task.label_range or (0.0, float(len(task.classes) - 1))
    fractional = (task.kind == "classification") & (labels != np.floor(labels))
    wrong = ~np.isnan(labels) & ~((labels >= low) & (labels <= high) & ~fractional)
    for index in np.flatnonzero(wrong):
        reason = f"{spec.label} is {labels[index]:g}, outside {low:g} to {high:g}"
        problems.refuse(ids[index], "label", reason)


def _splits(fields: Fields, spec: ImportSpec) -> list[Split | None]:
    """The split of each record; None where the value means none."""
    meant: list[tuple[int | str, Split]] = [
        (spec.split.train, "train"), (spec.split.valid, "valid"), (spec.split.test, "test")
    ]  # fmt: skip
    by_value = {str(value): split for value, split in meant}
    if len(by_value) != 3:
        raise DataError("train, valid and test want three different values", field="split")
    return [by_value.get(value) for value in fields.splits()]


@dataclass(frozen=True, eq=False)
class _Column:
    """One modality of all records."""

    info: ModalityInfo
    values: tuple[Sequence2D | None, ...]


def _column(
    fields: Fields, spec: ImportSpec, name: str, ids: tuple[str, ...], problems: Problems
) -> _Column:
    channel = fields.channel(name, problems)
    longest = spec.max_steps.get(name, channel.longest)
    bounds = spec.range.get(name)
    values: list[Sequence2D | None] = []
    for row, (record, found) in enumerate(zip(ids, channel.values, strict=True)):
        value, flaw = _usable(found, bounds)
        flaw = channel.flaws.get(row, flaw)
        if flaw:
            problems.absent(record, name, flaw)
        elif value is not None and len(value) > longest:
            reason = f"{name} has {len(value)} steps, more than {longest}"
            problems.refuse(record, f"max_steps.{name}", reason)
        values.append(None if flaw else value)
    return _Column(_info(spec, name, channel, longest), tuple(values))


def _info(spec: ImportSpec, name: str, channel: Channel, longest: int) -> ModalityInfo:
    bounds = spec.range.get(name)
    return ModalityInfo(
        name=name,
        width=channel.width,
        max_length=longest,
        range=(bounds[0], bounds[1]) if bounds else None,
        derived_from=tuple(spec.derived_from.get(name, ())),
    )


def _usable(
    found: Array | None, bounds: list[float] | None
) -> tuple[Sequence2D | None, str | None]:
    """The values as float32, and why they cannot be used if so; (None, None) where absent."""
    if found is None or not len(found):
        return None, None
    # A value too large for float32 becomes infinite here, and its modality absent.
    with np.errstate(over="ignore", invalid="ignore"):
        value: Sequence2D = found.astype(np.float32, copy=False)
    if not np.isfinite(value).all():
        return None, "a value is not finite"
    if bounds and not (bounds[0] <= value.min() <= value.max() <= bounds[1]):
        return None, f"a value is outside {bounds[0]:g} to {bounds[1]:g}"
    return value, None


def _imported(
    ids: tuple[str, ...],
    subjects: tuple[str, ...],
    splits: list[Split | None],
    labels: npt.NDArray[np.float64],
    columns: dict[str, _Column],
    schema: DatasetSchema,
    problems: Problems,
) -> Imported:
    """The rows that can be records; the others are noted as dropped."""
    kept: list[int] = []
    for row, record in enumerate(ids):
        if record in problems.refused:
            continue  # one reason is enough, and there will be no import
        if splits[row] is None:
            problems.drop(record, "split", "its split value is neither train, valid nor test")
        elif np.isnan(labels[row]):
            problems.drop(record, "label", "no label")
        elif all(column.values[row] is None for column in columns.values()):
            problems.drop(record, "modalities", "no modality left")
        else:
            kept.append(row)
    cohorts = {name: schema.cohorts.cohort_of(name) for name in set(subjects)}
    records = Records(
        record_ids=tuple(ids[i] for i in kept),
        subjects=tuple(subjects[i] for i in kept),
        cohorts=tuple(cohorts[subjects[i]] for i in kept),
        splits=tuple(split for i in kept if (split := splits[i]) is not None),
        labels=labels[np.array(kept, dtype=np.intp)],
        x={name: tuple(column.values[i] for i in kept) for name, column in columns.items()},
    )
    return Imported(
        records,
        schema,
        tuple(Dropped(p.record or "", p.reason) for p in problems.found if p.effect == "dropped"),
        tuple(
            BadValue(p.record or "", p.field or "", p.reason)
            for p in problems.found
            if p.effect == "absent"
        ),
    )
