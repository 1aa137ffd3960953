"""Records on their way into a workspace: the first ones make the store, later ones join it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mbd.data.buckets import MANIFEST
from mbd.data.columns import Outline
from mbd.data.records import Records, Suppressions
from mbd.data.rules import Dropped
from mbd.data.schema import DatasetSchema
from mbd.data.store import Store
from mbd.errors import ConflictError, DataError
from mbd.values import ModalityInfo


@dataclass(frozen=True)
class Intake:
    """What became of records that arrived."""

    store: Store
    taken: int
    """Records now held because of this."""
    suppressed: int
    """Channels that arrived and were not taken, because their person revoked them."""
    dropped: tuple[Dropped, ...]


def take_in(
    folder: Path,
    key: bytes,
    records: Records,
    schema: DatasetSchema,
    suppressions: Suppressions | None = None,
    before: Callable[[Records, Sequence[Outline]], None] = lambda kept, held: None,
) -> Intake:
    """Hold `records` in the store at `folder`, without any channel that is suppressed.

    Args:
        folder: Where the store is, or will be.
        key: The workspace key.
        records: What arrives.
        schema: What the records are.
        suppressions: What may not be taken.
        before: Called with what is going to join a store that exists, and what that holds,
            when all of it is found good and nothing has changed yet.

    Raises:
        DataError: The records cannot be held; names record and field. Nothing changed.
        ConflictError: A record id is held already, or the store is of another data set.
        StorageError: The disk refused; what was held is as it was.
    """
    if not len(records):
        raise DataError("no record to import", field="SRC")
    kept = records.unsuppressed(suppressions)
    left = set(kept.record_ids)
    dropped = tuple(
        Dropped(name, "no modality left: revoked")
        for name in records.record_ids
        if name not in left
    )
    if (folder / MANIFEST).exists():
        store = Store.open(folder, key)
        _check_same(store.schema, schema)
        known = {one.user for one in store.subjects()} if any(schema.cohorts.listed()) else set()
        _check_listed(schema, known | set(records.subjects))
        store.add(kept, partial(before, kept))
    else:
        _check_listed(schema, set(records.subjects))
        store = Store.create(folder, schema, kept, key)
    return Intake(store, len(kept), _channels(records) - _channels(kept), dropped)


def _channels(records: Records) -> int:
    return sum(value is not None for column in records.x.values() for value in column)


def _check_same(held: DatasetSchema, new: DatasetSchema) -> None:
    """Refuse what the models of the workspace could not read: only the name may differ.

    Sequences may be shorter than those held, not longer: a model has one padded length.
    """
    lengths = {info.name: info.max_length for info in held.modalities}
    for info in new.modalities:
        if info.max_length > lengths.get(info.name, info.max_length):
            raise DataError(
                f"{info.name} has up to {info.max_length} steps; this data set holds up to "
                f"{lengths[info.name]}",
                field=f"lengths.{info.name}",
            )
    one = replace(held, name="", modalities=tuple(map(_anyhow_long, held.modalities)))
    two = replace(new, name="", modalities=tuple(map(_anyhow_long, new.modalities)))
    parts = ("task", "modalities", "cohorts", "label_derived_from")
    different = [part for part in parts if getattr(one, part) != getattr(two, part)]
    if different:
        raise ConflictError(
            f"this workspace holds another data set ({held.name}): {', '.join(different)} differ",
            code="data.schema",
            field=different[0],
            hint="import it into a workspace of its own (`mbd init DIR`)",
        )


def _anyhow_long(info: ModalityInfo) -> ModalityInfo:
    return replace(info, max_length=1)


def _check_listed(schema: DatasetSchema, known: Collection[str]) -> None:
    for cohort, subject in schema.cohorts.listed():
        if subject not in known:
            raise DataError(f"{cohort} lists {subject!r}, who is not in the data", field=cohort)
