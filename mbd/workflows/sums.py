"""The state as sums of stored rows: integers, the same in any order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mbd.data.prepared import Bucket, PreparedRows
from mbd.head.state import HeadState, contribution
from mbd.workflows.policy import Policy

BLOCK_ROWS = 4096
"""Rows of one head that are multiplied at a time."""


def contributions(policy: Policy, rows: Bucket) -> dict[str, HeadState]:
    """What prepared rows add to the state of each head; heads without rows are left out."""
    return {
        head: contribution(policy.heads[head].feature_map.expand(found.v), found.t)
        for head, found in rows.items()
        if len(found)
    }


def sum_rows(policy: Policy, buckets: Iterable[Bucket]) -> dict[str, HeadState]:
    """The state of all these rows: integer sums, the same in any order."""
    total = {
        head: HeadState.empty(design.constants.dimension, design.constants.outputs)
        for head, design in policy.heads.items()
    }
    for head, block in in_blocks(buckets):
        total[head] = total[head] + contributions(policy, {head: block})[head]
    return total


def in_blocks(buckets: Iterable[Bucket]) -> Iterator[tuple[str, PreparedRows]]:
    """The rows in blocks of one head each, large enough for fast arithmetic; none is empty."""
    waiting: dict[str, list[PreparedRows]] = {}
    for bucket in buckets:
        for name, rows in bucket.items():
            parts = waiting.setdefault(name, [])
            if len(rows):
                parts.append(rows)
            if sum(map(len, parts)) >= BLOCK_ROWS:
                yield name, PreparedRows.concat(waiting.pop(name))
    for name, parts in waiting.items():
        if parts:
            yield name, PreparedRows.concat(parts)
