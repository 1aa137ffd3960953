"""Erasing some modalities of one person: plan, needles, erase, search.

Every step can be repeated: killed at any instant and run again, it ends in the same place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbd.canonical.items import Item, root_of_items
from mbd.data.columns import sequence_bytes
from mbd.data.items import items_of
from mbd.data.needles import Needles, held_nowhere, pieces
from mbd.data.prepared import PreparedRows, PreparedStore
from mbd.data.records import Records
from mbd.data.store import Store
from mbd.values import parse_availability


@dataclass(frozen=True, kw_only=True)
class ErasePlan:
    """What will be erased where; JSON-able, and destroyed when the request is complete."""

    subject: str
    modalities: tuple[str, ...]
    """Sorted; whoever plans has added what is derived from them."""
    bucket: int
    touched: tuple[str, ...]
    """Ids of records that lose a modality and stay."""
    vanishing: tuple[str, ...]
    """Ids of records that have nothing left."""
    rows: dict[str, int]
    """Prepared rows to be removed, by head, over all prepared stores."""
    items: tuple[Item, ...]
    """What is to be erased, salts included: once it is gone, only a receipt still has them."""
    deleted_set: str
    """Root (hex) of the tree over `items`."""
    root_before: str
    """Root (hex) of the data set."""
    root_after: str
    """Root (hex) of the data set once they are erased."""

    def covers(self, subject: str, modality: str) -> bool:
        """Whether this channel of this person is to be erased."""
        return subject == self.subject and modality in self.modalities

    def covers_head(self, head: str) -> bool:
        """Whether the rows of the person in this head are to be erased."""
        return not parse_availability(head).isdisjoint(self.modalities)

    def to_json(self) -> dict[str, Any]:
        """JSON form; keys are the field names."""
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            **{name: list(getattr(self, name)) for name in _LISTS},
            "items": [item.to_json() for item in self.items],
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> ErasePlan:
        """Inverse of `to_json`."""
        fields: dict[str, Any] = {name: value[name] for name in _PLAIN}
        fields.update({name: tuple(value[name]) for name in _LISTS})
        return ErasePlan(**fields, items=tuple(Item(**item) for item in value["items"]))


_LISTS = ("modalities", "touched", "vanishing")
_PLAIN = ("subject", "bucket", "rows", "deleted_set", "root_before", "root_after")


def plan_erasure(
    store: Store,
    prepared: Sequence[PreparedStore],
    subject: str,
    modalities: Iterable[str],
) -> ErasePlan:
    """What erasing `modalities` of `subject` would do; changes nothing.

    Args:
        store: The data.
        prepared: Prepared rows of every model that is kept.
        subject: Whose; someone unknown has nothing to erase.
        modalities: Which; with everything derived from them (`DatasetSchema.cascade`).
    """
    chosen = tuple(sorted(set(modalities)))
    bucket = store.bucket_of(subject)
    held = store.read_bucket(bucket)
    kept = held.without(lambda who, name: who == subject and name in chosen)
    removed = held.without(lambda who, name: not (who == subject and name in chosen))
    staying, items = set(kept.record_ids), items_of(removed)
    return ErasePlan(
        subject=subject,
        modalities=chosen,
        bucket=bucket,
        touched=tuple(name for name in removed.record_ids if name in staying),
        vanishing=tuple(name for name in removed.record_ids if name not in staying),
        rows=_row_counts(prepared, subject, chosen),
        items=items,
        deleted_set=root_of_items(items).hex(),
        root_before=store.root(),
        root_after=store.root({bucket: kept}),
    )


def _row_counts(
    prepared: Sequence[PreparedStore], subject: str, modalities: tuple[str, ...]
) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in prepared:
        for head, rows in one.rows_of(subject).items():
            if not parse_availability(head).isdisjoint(modalities):
                found[head] = found.get(head, 0) + len(rows)
    return found


def build_needles(store: Store, prepared: Sequence[PreparedStore], plan: ErasePlan) -> Needles:
    """What a later `scan` looks for; call it before `erase`, and keep the result."""
    held = store.read_bucket(plan.bucket)
    rows = [one.read_bucket(one.bucket_of(plan.subject)) for one in prepared]
    others = [*_feature_bytes(held, plan, erased=False), *_row_bytes(rows, plan, erased=False)]
    features = [p for content in _feature_bytes(held, plan, erased=True) for p in pieces(content)]
    removed = [p for content in _row_bytes(rows, plan, erased=True) for p in pieces(content)]
    names = [form for name in plan.vanishing for form in id_forms(name)]
    return Needles(
        {
            "features": held_nowhere(features, others),
            "prepared rows": held_nowhere(removed, others),
            "record ids": tuple(names),
            "salts": tuple(bytes.fromhex(item.salt) for item in plan.items),
        }
    )


def _feature_bytes(records: Records, plan: ErasePlan, *, erased: bool) -> Iterator[bytes]:
    """Stored bytes of the sequences that go, or of those that stay."""
    for name, column in records.x.items():
        for subject, value in zip(records.subjects, column, strict=True):
            if value is not None and plan.covers(subject, name) == erased:
                yield sequence_bytes(value)


def _row_bytes(
    buckets: Sequence[dict[str, PreparedRows]], plan: ErasePlan, *, erased: bool
) -> Iterator[bytes]:
    """Stored bytes of the prepared inputs that go (row by row), or of those that stay."""
    for bucket in buckets:
        for head, rows in bucket.items():
            mine = [name == plan.subject and plan.covers_head(head) for name in rows.subjects]
            for row, goes in zip(rows.v, mine, strict=True):
                if goes == erased:
                    yield row.astype("<i2", copy=False).tobytes()


def id_forms(record_id: str) -> Iterator[bytes]:
    """How a record id lies in a Parquet file and in JSON text."""
    name = record_id.encode("utf-8")
    yield len(name).to_bytes(4, "little") + name
    yield b'"' + name + b'"'


def erase(store: Store, prepared: Sequence[PreparedStore], plan: ErasePlan) -> list[Path]:
    """Rewrite every file that holds what `plan` covers, and unlink the old ones.

    Safe to repeat, and after a crash at any instant.

    Returns:
        The files now in force where something was erased, by this call or an earlier one.

    Raises:
        StorageError: The disk refused; repeat when it can.
    """
    _erase_records(store, plan)
    for one in prepared:
        _erase_rows(one, plan)
    stores: list[Store | PreparedStore] = [store, *prepared]
    return [path for one in stores for path in one.bucket_files(one.bucket_of(plan.subject))]


def _erase_records(store: Store, plan: ErasePlan) -> None:
    bucket = store.bucket_of(plan.subject)
    held = store.read_bucket(bucket)
    if any(True for _ in _feature_bytes(held, plan, erased=True)):
        store.replace_bucket(bucket, held.without(plan.covers))
    store.sweep()


def _erase_rows(prepared: PreparedStore, plan: ErasePlan) -> None:
    bucket = prepared.bucket_of(plan.subject)
    held = prepared.read_bucket(bucket)
    if any(plan.covers_head(head) and plan.subject in held[head].subjects for head in held):
        prepared.write_bucket(
            bucket,
            {
                head: rows.without_subject(plan.subject) if plan.covers_head(head) else rows
                for head, rows in held.items()
            },
        )
    prepared.sweep()
