"""Is every prepared row that of its record? Each is made again, as training made it.

A row with the right name may hold somebody else's numbers. With core `none` a row is plain
arithmetic on its record, so one that differs among others that do not is foreign. A core is a
program as much as its weights, and another version of it may say otherwise: then nobody is accused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mbd.data.prepared import Bucket, PreparedRows
from mbd.data.store import Store
from mbd.model.inference import Extractor
from mbd.verify.case import Undecided
from mbd.workflows.policy import Policy
from mbd.workflows.rows import prepare

_ONE_UNIT = 1
"""Of the integers in a row: what is rounded near a half may differ between two machines."""


@dataclass
class RemadeRows:
    """The rows of a training beside those that its policy, core and records give."""

    policy: Policy
    extractor: Extractor
    store: Store
    places: Mapping[str, int]
    """Bucket of each training record."""
    same: Counter[str] = field(default_factory=Counter)
    """Rows that were found to be their record's, by head."""
    other: Counter[str] = field(default_factory=Counter)
    """Rows that were not."""

    def compare(self, bucket: int, buckets: int, rows: Bucket) -> None:
        """Make the rows of one bucket again.

        Args:
            bucket: Which.
            buckets: How many of them the prepared rows have.
            rows: What is stored.
        """
        wanted = {name for found in rows.values() for name in found.record_ids}
        made: dict[str, list[PreparedRows]] = {}
        for place in self._near(bucket, buckets, wanted):
            records = self.store.read_bucket(place)
            chosen = records.select(i for i, one in enumerate(records.record_ids) if one in wanted)
            for head, again in prepare(self.extractor, self.policy, chosen).items():
                made.setdefault(head, []).append(again)
        for head, found in rows.items():
            equal = _equal(found, made.get(head, []))
            self.same[head] += int(equal.sum())
            self.other[head] += int((~equal).sum())

    def problems(self) -> tuple[str, ...]:
        """Heads with rows that are not their record's, beside more that are.

        Raises:
            Undecided: Most are not, or a core made them: another program did (`reproduce.remade`).
        """
        foreign = [head for head, count in sorted(self.other.items()) if count]
        unlike = [head for head in foreign if self.other[head] >= self.same[head]]
        if unlike or (foreign and self.policy.core != "none"):
            head = (unlike or foreign)[0]
            raise Undecided(
                f"{self.other[head]} rows of head {head}, of {self.other[head] + self.same[head]}, "
                "are not what this program makes of their records",
                code="reproduce.remade",
            )
        return tuple(f"head {head}: a row is not that of its record" for head in foreign)

    def _near(self, bucket: int, buckets: int, wanted: set[str]) -> Iterator[int]:
        """Buckets of records in which those of this bucket of rows can be.

        Both numbers of buckets are multiples of one that they began with, and people are spread
        by a hash modulo the number.
        """
        held = len(self.store.buckets())
        least = min(held, buckets)
        if max(held, buckets) % least:
            raise Undecided("records and rows are spread otherwise", code="reproduce.unreadable")
        needed = {self.places[name] for name in wanted & self.places.keys()}
        return (place for place in sorted(needed) if place % least == bucket % least)


def _equal(found: PreparedRows, made: list[PreparedRows]) -> npt.NDArray[np.bool_]:
    """(n,) whether each row found is, up to one unit, the one made of its record."""
    again = PreparedRows.concat(made) if made else None
    if again is None or (again.v.shape[1], again.t.shape[1]) != (
        found.v.shape[1],
        found.t.shape[1],
    ):
        return np.zeros(len(found), np.bool_)
    places = {name: place for place, name in enumerate(again.record_ids)}
    known = np.array([name in places for name in found.record_ids], np.bool_)
    at = np.array([places.get(name, 0) for name in found.record_ids], np.intp)
    return known & _near(found.v, again.v[at]) & _near(found.t, again.t[at])


def _near(left: npt.NDArray[np.integer], right: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    difference = np.abs(left.astype(np.int64) - right.astype(np.int64))
    return np.asarray((difference <= _ONE_UNIT).all(axis=1))
