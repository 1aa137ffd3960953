"""What one channel of one record contributes to the digest of a data set.

An item binds everything that learning reads: who, which part, the label, the features.
"""

from __future__ import annotations

from mbd.canonical.digest import sha256_hex
from mbd.canonical.json import dumps
from mbd.canonical.numbers import to_decimal
from mbd.canonical.tree import leaf_hash, tree_root
from mbd.data.columns import sequence_bytes
from mbd.data.records import Records


def item_leaves(records: Records) -> list[bytes]:
    """RFC 6962 leaf hash of every item, ordered by record id, then modality."""
    keyed = [
        (record_id, name, _leaf(records, index, name))
        for index, record_id in enumerate(records.record_ids)
        for name in records.modalities
        if records.x[name][index] is not None
    ]
    return [leaf for _, _, leaf in sorted(keyed)]


def items_root(records: Records) -> str:
    """Root (hex) of the tree over the items of `records`, whatever their order."""
    return tree_root(item_leaves(records)).hex()


def _leaf(records: Records, index: int, modality: str) -> bytes:
    value = records.x[modality][index]
    assert value is not None  # the caller asks for items that exist
    item = {
        "record": records.record_ids[index],
        "subject": records.subjects[index],
        "cohort": records.cohorts[index],
        "split": records.splits[index],
        "label": to_decimal(float(records.labels[index])),
        "modality": modality,
        "steps": value.shape[0],
        "sha256": sha256_hex(sequence_bytes(value)),
    }
    return leaf_hash(dumps(item))
