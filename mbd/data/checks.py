"""The last gate before the store: records that contradict themselves or their schema."""

from __future__ import annotations

from collections import Counter

import numpy as np

from mbd.data.records import Records
from mbd.data.schema import DatasetSchema
from mbd.errors import DataError
from mbd.values import COHORTS, SPLITS, Cohort


def check_records(records: Records, schema: DatasetSchema) -> None:
    """Refuse records that the store must not hold.

    Raises:
        DataError: A record id twice, a subject in two cohorts, a label or a shape that the
            schema does not allow, a value that is not finite; names record and field.
    """
    check_names(records.record_ids, "record_id")
    check_names(records.subjects, "subject")
    check_unique(records.record_ids)
    subject_cohorts(records)
    unknown = set(records.x) - set(schema.names)
    if unknown:
        raise DataError(f"modality {min(unknown)!r} is not in the schema", field="modalities")
    for index, record_id in enumerate(records.record_ids):
        if records.splits[index] not in SPLITS or records.cohorts[index] not in COHORTS:
            raise DataError(f"record {record_id!r}: unknown split or cohort", field="split")
        if not records.availability(index):
            raise DataError(f"record {record_id!r} has no modality", field="modalities")
    check_labels(records, schema)
    for name in records.modalities:
        _check_shapes(records, schema, name)


def check_names(names: tuple[str, ...], field: str) -> None:
    """Refuse ids that are empty, long, or that a terminal would act upon."""
    for name in set(names):
        if flaw := name_flaw(name):
            raise DataError(f"{field} {name[:60]!r}: {flaw}", field=field)


def name_flaw(name: str) -> str | None:
    """What is wrong with an id; None if nothing is."""
    if 0 < len(name) <= 200 and name.isprintable():
        return None
    return "want 1 to 200 printable characters"


def check_unique(record_ids: tuple[str, ...]) -> None:
    """Refuse a record id that appears twice."""
    twice = [name for name, count in Counter(record_ids).items() if count > 1]
    if twice:
        raise DataError(
            f"record id {twice[0]!r} appears twice ({len(twice)} such ids)", field="record_id"
        )


def subject_cohorts(records: Records) -> dict[str, Cohort]:
    """The cohort of each subject; one who is in two is refused."""
    found: dict[str, Cohort] = {}
    for subject, cohort in zip(records.subjects, records.cohorts, strict=True):
        if found.setdefault(subject, cohort) != cohort:
            raise DataError(
                f"subject {subject!r} is in two cohorts: {found[subject]} and {cohort}",
                field="cohort",
            )
    return found


def check_labels(records: Records, schema: DatasetSchema) -> None:
    """Refuse a label outside the declared range, or that is not the index of a class."""
    labels = records.labels
    if schema.task.kind == "classification":
        low, high = 0.0, float(len(schema.task.classes) - 1)
        wrong = ~((labels >= low) & (labels <= high) & (labels == np.floor(labels)))
    else:
        low, high = schema.task.label_range or (-np.inf, np.inf)
        wrong = ~((labels >= low) & (labels <= high) & np.isfinite(labels))
    for index in np.flatnonzero(wrong):
        raise DataError(
            f"record {records.record_ids[index]!r}: label {labels[index]:g} is outside "
            f"{low:g} to {high:g}",
            field="label",
        )


def _check_shapes(records: Records, schema: DatasetSchema, name: str) -> None:
    info = schema.modality(name)
    for record_id, value in zip(records.record_ids, records.x[name], strict=True):
        if value is None:
            continue
        where = f"record {record_id!r}: {name}"
        steps, width = value.shape if value.ndim == 2 else (0, 0)
        if not 0 < steps <= info.max_length or width != info.width:
            raise DataError(
                f"{where} has shape {value.shape}; want (1 to {info.max_length}, {info.width})",
                field=name,
            )
        if not np.isfinite(value).all():
            raise DataError(f"{where} holds a value that is not finite", field=name)
