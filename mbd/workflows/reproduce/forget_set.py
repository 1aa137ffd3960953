"""What a receipt says is gone, and where it was met while the retained data was read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from mbd.canonical.items import Item
from mbd.certificate.receipt import Receipt
from mbd.data.prepared import Bucket
from mbd.data.records import Sequence2D
from mbd.values import parse_availability

_LEAST_DIFFERENT = 3
"""Different numbers that a value has, to be one that nobody else says by chance."""


@dataclass
class ForgetSet:
    """What a receipt says is gone, and where it was met."""

    receipt: Receipt
    kept: set[str] = field(default_factory=set)
    """Erased items that are still there: their salts are."""
    there: set[str] = field(default_factory=set)
    """Places where the person has a revoked channel, whatever its content."""
    equal: Counter[str] = field(default_factory=Counter)
    """Digests of erased values that are stored under other names and salts, and how often."""

    @property
    def items(self) -> tuple[Item, ...]:
        """What was erased, as the data set held it."""
        who = self.receipt.subject
        return tuple(
            Item(subject=who, **one.model_dump(exclude={"index", "proof"}))
            for one in self.receipt.items
        )

    def __post_init__(self) -> None:
        items = self.receipt.items
        self._salts = {one.salt for one in items}
        self._values = {one.features for one in items}
        self._records = {(one.record, one.modality, one.features) for one in items}
        self._modalities = frozenset(self.receipt.modalities)

    def meet(self, item: Item, value: Sequence2D) -> None:
        """Look at one stored item.

        A salt was drawn at random when the value was stored, so the same salt is the same
        item. An equal value with another salt may be somebody else's own, or a copy: nobody can
        tell. One that hardly varies says nothing.
        """
        name = item.modality
        own = item.subject == self.receipt.subject
        renamed = not own and (item.record, name, item.features) in self._records
        if item.salt in self._salts or renamed:
            self.kept.add(f"{name} of record {item.record}")
        elif own and name in self._modalities:
            self.there.add(f"{name} in the data store")
        elif item.features in self._values and len(np.unique(value)) >= _LEAST_DIFFERENT:
            self.equal[item.features] += 1

    def meet_rows(self, rows: Bucket) -> None:
        """Look at prepared rows of one bucket."""
        for head, found in rows.items():
            revoked = self._modalities & parse_availability(head)
            if revoked and self.receipt.subject in found.subjects:
                self.there.add(f"{', '.join(sorted(revoked))} in the rows of head {head}")
