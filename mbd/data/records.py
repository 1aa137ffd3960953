"""Records in memory: ragged sequences per modality, any of which may be absent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mbd.errors import DataError, NotFoundError
from mbd.values import Availability, Cohort, Split

Sequence2D = npt.NDArray[np.float32]
"""One modality of one record: (T, D) float32, T >= 1; T is 1 for a plain vector."""


class Suppressions(Protocol):
    """Which channels of which people are off, whatever arrives or is still stored."""

    def blocks(self, subject: str, modality: str) -> bool:
        """Whether `modality` of `subject` was revoked."""


@dataclass(frozen=True, eq=False)
class Records:
    """N records, column by column; every column has length N.

    Raises:
        DataError: The columns differ in length.
    """

    record_ids: tuple[str, ...]
    subjects: tuple[str, ...]
    cohorts: tuple[Cohort, ...]
    splits: tuple[Split, ...]
    labels: npt.NDArray[np.float64]
    """(N,): label units for regression, class indices for classification."""
    x: Mapping[str, tuple[Sequence2D | None, ...]]
    """Per modality, one (T, D) array for each record, or None where it is absent."""
    salts: Mapping[str, tuple[bytes | None, ...]] = field(default_factory=dict)
    """Per modality, what the store drew for each value; nothing for records not stored yet."""

    def __post_init__(self) -> None:
        columns = {"subjects": self.subjects, "cohorts": self.cohorts, "splits": self.splits}
        lengths = {name: len(column) for name, column in {**columns, **self.x}.items()}
        lengths["labels"] = len(self.labels)
        lengths.update({f"salts of {name}": len(column) for name, column in self.salts.items()})
        for name, length in lengths.items():
            if length != len(self.record_ids):
                raise DataError(f"{length} values for {len(self.record_ids)} records", field=name)

    def __len__(self) -> int:
        return len(self.record_ids)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the columns of `x`, sorted; a record may lack any of them."""
        return tuple(sorted(self.x))

    def availability(self, index: int) -> Availability:
        """The modalities that record `index` has."""
        return frozenset(name for name, column in self.x.items() if column[index] is not None)

    def index_of(self, record_id: str) -> int:
        """Where a record is.

        Raises:
            NotFoundError: It is not here.
        """
        try:
            return self.record_ids.index(record_id)
        except ValueError as error:
            raise NotFoundError(f"no record {record_id!r}", field="record") from error

    def select(self, indices: Iterable[int]) -> Records:
        """The records at `indices`, in that order; arrays are shared, not copied."""
        chosen = [int(index) for index in indices]
        return Records(
            record_ids=tuple(self.record_ids[i] for i in chosen),
            subjects=tuple(self.subjects[i] for i in chosen),
            cohorts=tuple(self.cohorts[i] for i in chosen),
            splits=tuple(self.splits[i] for i in chosen),
            labels=self.labels[np.array(chosen, dtype=np.intp)],
            x={name: tuple(column[i] for i in chosen) for name, column in self.x.items()},
            salts={name: tuple(column[i] for i in chosen) for name, column in self.salts.items()},
        )

    def sorted(self) -> Records:
        """These records in the order of their ids."""
        return self.select(sorted(range(len(self)), key=lambda index: self.record_ids[index]))

    def where(
        self,
        *,
        cohort: Cohort | None = None,
        split: Split | None = None,
        subjects: Collection[str] | None = None,
        having: Availability = frozenset(),
    ) -> Records:
        """The records that meet every condition given, in their order here."""
        wanted = None if subjects is None else frozenset(subjects)
        return self.select(
            i
            for i in range(len(self))
            if (cohort is None or self.cohorts[i] == cohort)
            and (split is None or self.splits[i] == split)
            and (wanted is None or self.subjects[i] in wanted)
            and (not having or having <= self.availability(i))
        )

    def without(self, predicate: Callable[[str, str], bool]) -> Records:
        """These records with `predicate(subject, modality)` channels absent.

        A record that has no modality left vanishes.
        """
        x = {
            name: tuple(
                None if value is None or predicate(subject, name) else value
                for subject, value in zip(self.subjects, column, strict=True)
            )
            for name, column in self.x.items()
        }
        salts = {
            name: tuple(
                None if value is None else salt for value, salt in zip(x[name], column, strict=True)
            )
            for name, column in self.salts.items()
        }
        masked = replace(self, x=x, salts=salts)
        left = [i for i in range(len(self)) if any(column[i] is not None for column in x.values())]
        return masked if len(left) == len(self) else masked.select(left)

    def unsuppressed(self, suppressions: Suppressions | None) -> Records:
        """`without` what was revoked; these records themselves if nothing can be."""
        return self if suppressions is None else self.without(suppressions.blocks)

    @staticmethod
    def concat(parts: Sequence[Records], modalities: Iterable[str] = ()) -> Records:
        """All records of `parts`, in order.

        Args:
            parts: Any number of records; a modality that one part lacks is absent there.
            modalities: Columns the result has even if no part has them.
        """
        names = sorted({*modalities, *(name for part in parts for name in part.x)})
        salted = sorted({name for part in parts for name in part.salts})
        labels = [part.labels for part in parts]
        return Records(
            record_ids=tuple(value for part in parts for value in part.record_ids),
            subjects=tuple(value for part in parts for value in part.subjects),
            cohorts=tuple(value for part in parts for value in part.cohorts),
            splits=tuple(value for part in parts for value in part.splits),
            labels=np.concatenate(labels) if labels else np.empty(0),
            x={
                name: tuple(
                    value for part in parts for value in part.x.get(name, (None,) * len(part))
                )
                for name in names
            },
            salts={
                name: tuple(
                    salt for part in parts for salt in part.salts.get(name, (None,) * len(part))
                )
                for name in salted
            },
        )
