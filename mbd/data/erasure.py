"""Erasing what requests want erased, bucket by bucket: plan, needles, erase.

However many requests fall in a bucket, its files are read once to plan and rewritten once.
Requests are carried out in their order: what an earlier one takes, a later one does not find.
Every step can be repeated: killed at any instant and run again, it ends in the same place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbd.canonical.items import Item, root_of_items, sorted_leaves
from mbd.canonical.json import dumps, loads_strict
from mbd.canonical.tree import tree_root
from mbd.data.needles import Needles
from mbd.data.pieces import held_by, pieces_of
from mbd.data.prepared import PreparedRows, PreparedStore
from mbd.data.shares import Share, Takers, share_records, share_rows
from mbd.data.store import Store
from mbd.errors import DataError, IntegrityError, NotFoundError
from mbd.workspace.files import storage_errors, write_atomically

_FILE_BYTES = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Erasing:
    """What one request wants erased."""

    request: str
    """The caller's id for it."""
    subject: str
    modalities: tuple[str, ...]
    """Sorted; with everything derived from them (`DatasetSchema.cascade`)."""


@dataclass(frozen=True, kw_only=True)
class ErasePlan:
    """What one request erases; JSON-able, and destroyed when the request is complete."""

    request: str
    subject: str
    modalities: tuple[str, ...]
    touched: tuple[str, ...]
    """Ids of records that lose a modality and stay."""
    vanishing: tuple[str, ...]
    """Ids of records that have nothing left."""
    rows: dict[str, int]
    """Prepared rows to be removed, by head, over all prepared stores; a row goes with the first
    request that takes a modality of its head."""
    items: tuple[Item, ...]
    """What is to be erased, salts included: once it is gone, only a receipt still has them."""
    deleted_set: str
    """Root (hex) of the tree over `items`."""
    needles: Needles
    """What a search looks for afterwards: nobody who stays holds any of it."""
    root_with: str = ""
    """Root (hex) of what stays in the bucket and what this request takes; empty in a list that
    an earlier version wrote."""

    def covers(self, subject: str, modality: str) -> bool:
        """Whether this channel of this person is to be erased."""
        return subject == self.subject and modality in self.modalities

    def to_json(self) -> dict[str, Any]:
        """JSON form; keys are the field names."""
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            **{name: list(getattr(self, name)) for name in _LISTS},
            "items": [item.to_json() for item in self.items],
            "root_with": self.root_with,
            "needles": self.needles.to_json(),
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> ErasePlan:
        """Inverse of `to_json`."""
        fields: dict[str, Any] = {name: value[name] for name in _PLAIN}
        fields["root_with"] = value.get("root_with", "")
        fields.update({name: tuple(value[name]) for name in _LISTS})
        items = tuple(Item(**item) for item in value["items"])
        return ErasePlan(**fields, items=items, needles=Needles.from_json(value["needles"]))


_LISTS = ("modalities", "touched", "vanishing")
_PLAIN = ("request", "subject", "rows", "deleted_set")


@dataclass(frozen=True, kw_only=True)
class BucketErasure:
    """What is to be erased in one bucket."""

    bucket: int
    plans: tuple[ErasePlan, ...]
    """In the order of the requests."""
    root_before: str
    """Root (hex) of the bucket's items."""
    root_after: str
    """Root (hex) of those that stay."""

    def plan_of(self, request: str) -> ErasePlan:
        """The plan of one request.

        Raises:
            NotFoundError: It erases nothing here.
        """
        for one in self.plans:
            if one.request == request:
                return one
        raise NotFoundError(f"bucket {self.bucket}: no plan for request {request}")

    def covers(self, subject: str, modality: str) -> bool:
        """Whether this channel of this person is to be erased."""
        return any(one.covers(subject, modality) for one in self.plans)

    def needles(self) -> Needles:
        """Those of all plans."""
        return Needles.concat([one.needles for one in self.plans])

    def save(self, path: Path) -> None:
        """Write to a file that only its owner can read; it holds what is to be erased."""
        plain = {name: getattr(self, name) for name in ("bucket", "root_before", "root_after")}
        content = dumps({**plain, "plans": [one.to_json() for one in self.plans]})
        write_atomically(path, content, mode=0o600)

    @staticmethod
    def load(path: Path) -> BucketErasure:
        """Inverse of `save`.

        Raises:
            NotFoundError: No such file.
            IntegrityError: Torn or altered.
        """
        if not path.is_file():
            raise NotFoundError(f"{path}: no such file")
        with storage_errors(path):
            content = path.read_bytes()
        try:
            value = loads_strict(content, max_bytes=_FILE_BYTES)
            plans = tuple(ErasePlan.from_json(one) for one in value.pop("plans"))
            return BucketErasure(**value, plans=plans)
        except (DataError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise IntegrityError(f"{path} is not a plan of an erasure: {error}") from error


def plan_bucket(
    store: Store, prepared: Sequence[PreparedStore], bucket: int, wanted: Sequence[Erasing]
) -> BucketErasure:
    """What erasing all that is wanted in one bucket would do; changes nothing.

    Args:
        store: The data.
        prepared: Prepared rows of every model that is kept.
        bucket: Where every subject of `wanted` is; someone unknown has nothing to erase.
        wanted: The requests in their order.

    Raises:
        DataError: A subject belongs to another bucket, or a request is there twice.
    """
    if len({one.request for one in wanted}) != len(wanted):
        raise DataError("a request is there twice", field="request")
    if any(store.bucket_of(one.subject) != bucket for one in wanted):
        raise DataError(f"a subject does not belong to bucket {bucket}", field="subject")
    takers = Takers((one.subject, one.modalities) for one in wanted)
    taken = [Share() for _ in wanted]
    staying = Share()
    share_records(store.read_bucket(bucket), takers, taken, staying)
    for one in prepared:
        for rows in _held_rows(one, {asked.subject for asked in wanted}):
            share_rows(rows, takers, taken, staying)
    leaves = sorted_leaves(staying.items)
    return BucketErasure(
        bucket=bucket,
        plans=_plans(wanted, taken, staying, leaves),
        root_before=store.bucket_root(bucket),
        root_after=tree_root(leaves).hex(),
    )


def _held_rows(prepared: PreparedStore, subjects: set[str]) -> Iterator[dict[str, PreparedRows]]:
    """Rows by head of every bucket that these people are in: one, if the stores are alike."""
    for bucket in sorted({prepared.bucket_of(subject) for subject in subjects}):
        yield prepared.read_bucket(bucket)


def _plans(
    wanted: Sequence[Erasing], taken: Sequence[Share], staying: Share, leaves: list[bytes]
) -> tuple[ErasePlan, ...]:
    features = [dict.fromkeys(pieces_of(one.features)) for one in taken]
    inputs = [dict.fromkeys(pieces_of(one.inputs)) for one in taken]
    candidates = (piece for found in (*features, *inputs) for piece in found)
    held = held_by(candidates, [*staying.features, *staying.inputs])
    return tuple(
        ErasePlan(
            request=asked.request,
            subject=asked.subject,
            modalities=asked.modalities,
            touched=tuple(one.touched),
            vanishing=tuple(one.vanishing),
            rows=one.rows,
            items=tuple(one.items),
            deleted_set=root_of_items(one.items).hex(),
            root_with=tree_root(sorted([*leaves, *sorted_leaves(one.items)])).hex(),
            needles=Needles(
                {
                    "features": tuple(piece for piece in mine if piece not in held),
                    "prepared rows": tuple(piece for piece in row_pieces if piece not in held),
                    "record ids": tuple(form for name in one.vanishing for form in id_forms(name)),
                    "salts": tuple(bytes.fromhex(item.salt) for item in one.items),
                }
            ),
        )
        for asked, one, mine, row_pieces in zip(wanted, taken, features, inputs, strict=True)
    )


def id_forms(record_id: str) -> Iterator[bytes]:
    """How a record id lies in a Parquet file and in JSON text."""
    name = record_id.encode("utf-8")
    yield len(name).to_bytes(4, "little") + name
    yield b'"' + name + b'"'


def erase_bucket(store: Store, prepared: Sequence[PreparedStore], planned: BucketErasure) -> None:
    """Rewrite every file that holds what was planned, and unlink the old ones.

    Safe to repeat, and after a crash at any instant.

    Raises:
        StorageError: The disk refused; repeat when it can.
    """
    _erase_records(store, planned)
    for one in prepared:
        _erase_rows(one, planned)


def bucket_files(
    store: Store, prepared: Sequence[PreparedStore], planned: BucketErasure
) -> list[Path]:
    """The files of records and rows in force where something was, or is to be, erased."""
    subjects = {one.subject for one in planned.plans}
    found = list(store.bucket_files(planned.bucket))
    for one in prepared:
        for bucket in sorted({one.bucket_of(subject) for subject in subjects}):
            found += one.bucket_files(bucket)
    return list(dict.fromkeys(found))


def _erase_records(store: Store, planned: BucketErasure) -> None:
    held = store.read_bucket(planned.bucket)
    gone = any(
        value is not None and planned.covers(subject, name)
        for name, column in held.x.items()
        for subject, value in zip(held.subjects, column, strict=True)
    )
    if gone:
        store.replace_bucket(planned.bucket, held.without(planned.covers))
    else:
        store.sweep()


def _erase_rows(prepared: PreparedStore, planned: BucketErasure) -> None:
    takers = Takers((one.subject, one.modalities) for one in planned.plans)
    kept: dict[int, dict[str, PreparedRows]] = {}
    for bucket in sorted({prepared.bucket_of(one.subject) for one in planned.plans}):
        held = prepared.read_bucket(bucket)
        left = {head: takers.left(head, rows) for head, rows in held.items()}
        if any(len(left[head]) < len(rows) for head, rows in held.items()):
            kept[bucket] = left
    if kept:
        prepared.write_buckets(kept.items())
    else:
        prepared.sweep()
