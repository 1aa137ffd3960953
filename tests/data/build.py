"""Small records for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mbd.data.prepared import PreparedRows, PreparedStore
from mbd.data.records import Records
from mbd.data.schema import DatasetSchema
from mbd.data.store import Store
from mbd.data.synthetic import synthesise
from mbd.values import availability_name, nonempty_subsets

KEY = bytes(range(32))


class Revoked:
    """Suppressions as a set of pairs."""

    def __init__(self, *pairs: tuple[str, str]) -> None:
        self._pairs = set(pairs)

    def blocks(self, subject: str, modality: str) -> bool:
        return (subject, modality) in self._pairs


def small(users: int = 6, records: int = 48, seed: int = 0) -> tuple[Records, DatasetSchema]:
    return synthesise(users, records, seed)


def prepare(records: Records, modalities: Sequence[str]) -> dict[str, PreparedRows]:
    """Rows for every head, different for every record and head, the same in every call."""
    found = {}
    for p in nonempty_subsets(modalities):
        rows = records.where(having=p)
        head = availability_name(p)
        v = [
            np.random.default_rng([len(p), *f"{head}{name}".encode()]).integers(-32767, 32768, 40)
            for name in rows.record_ids
        ]
        found[head] = PreparedRows(
            rows.record_ids,
            rows.subjects,
            np.array(v, np.int16).reshape(-1, 40),
            rows.labels.astype(np.int32)[:, None],
        )
    return found


def stores(folder: Path, users: int = 6, records: int = 48) -> tuple[Store, PreparedStore]:
    """A data store of three files and the prepared rows that belong to it."""
    made, schema = small(users, records)
    store = Store.create(folder / "store", schema, made, KEY, buckets=3)
    buckets = ((b, prepare(store.read_bucket(b), schema.names)) for b in store.buckets())
    return store, PreparedStore.create(folder / "prepared" / "one", KEY, 3, buckets)


def same(one: Records, two: Records) -> bool:
    """Whether two sets of records are equal but for order."""

    def keyed(records: Records) -> dict[str, object]:
        return {
            name: (
                records.subjects[i],
                records.cohorts[i],
                records.splits[i],
                float(records.labels[i]),
                {
                    m: (column[i].shape, column[i].tobytes())
                    for m, column in records.x.items()
                    if column[i] is not None
                },
            )
            for i, name in enumerate(records.record_ids)
        }

    return len(one) == len(two) and keyed(one) == keyed(two)
