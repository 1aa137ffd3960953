"""Did a retraining leave out what it had to? Asked of what it says that it learned from.

The training says which records it was given, as the root of their items. Here that root is
computed once more, from the store, bucket by bucket, with other code: what is held, less what
is suppressed, less what the requests revoke. And the rows that were made are looked at.
"""

from __future__ import annotations

from collections.abc import Iterable

from mbd.canonical.items import sorted_leaves
from mbd.canonical.tree import tree_root
from mbd.data.items import items_of
from mbd.data.prepared import PreparedStore
from mbd.data.store import Store
from mbd.database.journal import Request
from mbd.database.suppressions import Suppressions
from mbd.errors import ArithmeticRefused
from mbd.values import parse_availability
from mbd.workflows.batch import by_bucket, detail_of


def check_left_out(
    store: Store,
    suppressed: Suppressions,
    members: Iterable[Request],
    *,
    prepared: PreparedStore,
    learned_from: str,
) -> None:
    """Refuse a retraining that learned from other records than it may, or made rows of them.

    Args:
        store: Everything that is held; what the requests revoke is still there.
        suppressed: Every channel that is off.
        members: The requests that the retraining carries out.
        prepared: The rows that it made.
        learned_from: Root (hex) of the items that it was given.

    Raises:
        ArithmeticRefused: `taint.untouched`.
    """
    asked = list(members)
    if learned_from != _retained_root(store, suppressed, asked):
        raise _untouched("policy", "it was given other records than those that are retained")
    for bucket, near in by_bucket(store, asked):
        found = prepared.read_bucket(bucket)
        for member in near:
            detail = detail_of(member)
            for head, rows in sorted(found.items()):
                if detail["subject"] not in rows.subjects:
                    continue
                if not parse_availability(head).isdisjoint(detail["modalities"]):
                    raise _untouched(head, "it has rows of what is revoked")


def _retained_root(store: Store, suppressed: Suppressions, members: Iterable[Request]) -> str:
    """Root (hex) over the items of all that is held and neither suppressed nor revoked."""
    revoked = {
        (detail_of(member)["subject"], modality)
        for member in members
        for modality in detail_of(member)["modalities"]
    }

    def off(subject: str, modality: str) -> bool:
        return (subject, modality) in revoked or suppressed.blocks(subject, modality)

    leaves: list[bytes] = []
    for bucket in store.buckets():
        leaves += sorted_leaves(items_of(store.read_bucket(bucket).without(off)))
    return tree_root(sorted(leaves)).hex()


def _untouched(name: str, why: str) -> ArithmeticRefused:
    return ArithmeticRefused(
        f"nothing is released: the retraining did not leave the data out: {name}: {why}",
        code="taint.untouched",
        field=name,
    )
