"""What is held, in numbers: by person and in total, after suppression."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mbd.data.columns import Outline
from mbd.data.records import Suppressions
from mbd.data.schema import DatasetSchema
from mbd.values import COHORTS, SPLITS, Availability, Cohort, ModalityInfo, Split


@dataclass(frozen=True)
class SubjectSummary:
    """What is held on one person."""

    user: str
    cohort: Cohort
    available: Availability
    """Modalities that at least one record has."""
    records: int


@dataclass(frozen=True)
class Description:
    """What is held in total."""

    records: int
    subjects: int
    modalities: tuple[tuple[ModalityInfo, int], ...]
    """Each channel with the number of records that have it."""
    cohorts: dict[Cohort, int]
    """Subjects in each."""
    splits: dict[Split, int]
    """Records in each."""


def summarise(
    outlines: Iterable[Outline], suppressions: Suppressions | None = None
) -> list[SubjectSummary]:
    """Everybody in `outlines`, in natural order ("2" before "10").

    A person whose every channel is suppressed has 0 records and nothing available.
    """
    cohorts: dict[str, Cohort] = {}
    available: dict[str, Availability] = {}
    records: Counter[str] = Counter()
    for subject, cohort, _, channels in _rows(outlines, suppressions):
        cohorts[subject] = cohort
        available[subject] = available.get(subject, frozenset()) | channels
        records[subject] += bool(channels)
    found = [
        SubjectSummary(name, cohorts[name], available[name], records[name]) for name in cohorts
    ]
    return sorted(found, key=lambda one: (len(one.user), one.user))


def describe(
    schema: DatasetSchema, outlines: Iterable[Outline], suppressions: Suppressions | None = None
) -> Description:
    """Numbers of a data set: what could be learned from, and in which part."""
    rows = [row for row in _rows(outlines, suppressions) if row[3]]
    channels = Counter(name for _, _, _, available in rows for name in available)
    cohorts = Counter({subject: cohort for subject, cohort, _, _ in rows}.values())
    splits = Counter(split for _, _, split, _ in rows)
    return Description(
        records=len(rows),
        subjects=cohorts.total(),
        modalities=tuple((info, channels[info.name]) for info in schema.modalities),
        cohorts={cohort: cohorts[cohort] for cohort in COHORTS},
        splits={split: splits[split] for split in SPLITS},
    )


def _rows(
    outlines: Iterable[Outline], suppressions: Suppressions | None
) -> Iterator[tuple[str, Cohort, Split, Availability]]:
    for outline in outlines:
        columns = (outline.subjects, outline.cohorts, outline.splits, outline.available)
        for subject, cohort, split, available in zip(*columns, strict=True):
            off = {
                name
                for name in available
                if suppressions is not None and suppressions.blocks(subject, name)
            }
            yield subject, cohort, split, available - off
