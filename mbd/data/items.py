"""What one channel of one record contributes to the digest of a data set.

An item binds everything that learning reads: who, which part, the label, the features. Its
salt is drawn when it is stored, lies beside the features and is erased with them.
"""

from __future__ import annotations

import secrets
from dataclasses import replace

from mbd.canonical.digest import sha256_hex
from mbd.canonical.items import Item, root_of_items
from mbd.canonical.numbers import to_decimal
from mbd.data.columns import SALT_BYTES, sequence_bytes
from mbd.data.records import Records
from mbd.errors import DataError


def with_salts(records: Records) -> Records:
    """These records with a fresh salt for every value that has none yet."""
    none = (None,) * len(records)
    salts = {
        name: tuple(
            None if value is None else salt or secrets.token_bytes(SALT_BYTES)
            for value, salt in zip(column, records.salts.get(name, none), strict=True)
        )
        for name, column in records.x.items()
    }
    return replace(records, salts=salts)


def items_of(records: Records) -> tuple[Item, ...]:
    """Every item of records that are stored, ordered by record id, then modality.

    Raises:
        DataError: An item has no salt: these records were not stored yet.
    """
    keyed = sorted(
        (record_id, name, index)
        for index, record_id in enumerate(records.record_ids)
        for name in records.modalities
        if records.x[name][index] is not None
    )
    return tuple(_item(records, index, name) for _, name, index in keyed)


def items_root(records: Records) -> str:
    """Root (hex) of the tree over the items of stored records, whatever their order."""
    return root_of_items(items_of(records)).hex()


def _item(records: Records, index: int, modality: str) -> Item:
    value = records.x[modality][index]
    salt = records.salts[modality][index] if modality in records.salts else None
    assert value is not None  # the caller asks for items that exist
    if salt is None:
        raise DataError(
            f"record {records.record_ids[index]!r}: {modality} has no salt", field=modality
        )
    return Item(
        record=records.record_ids[index],
        subject=records.subjects[index],
        cohort=records.cohorts[index],
        split=records.splits[index],
        label=to_decimal(float(records.labels[index])),
        modality=modality,
        steps=value.shape[0],
        features=sha256_hex(sequence_bytes(value)),
        salt=salt.hex(),
    )
