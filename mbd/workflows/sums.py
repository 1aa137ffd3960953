"""The state as sums of stored rows: integers, the same in any order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mbd.data.prepared import Bucket
from mbd.head.state import HeadState, contribution
from mbd.workflows.policy import Policy


def contributions(policy: Policy, rows: Bucket) -> dict[str, HeadState]:
    """What prepared rows add to the state of each head; heads without rows are left out."""
    return {
        head: contribution(policy.heads[head].feature_map.expand(found.v), found.t)
        for head, found in rows.items()
        if len(found)
    }


def sum_states(policy: Policy, parts: Iterable[Mapping[str, HeadState]]) -> dict[str, HeadState]:
    """The state of all rows: integer sums, the same in any order."""
    total = {
        head: HeadState.empty(design.constants.dimension, design.constants.outputs)
        for head, design in policy.heads.items()
    }
    for part in parts:
        for head, state in part.items():
            total[head] = total[head] + state
    return total
