"""The state is the sum of the rows, however they come and wherever blocks end."""

from __future__ import annotations

import pytest

from mbd.data.prepared import PreparedRows
from mbd.workflows import sums
from mbd.workflows.sums import in_blocks, sum_rows
from tests.workspaces import TrainedWorkspace


@pytest.mark.parametrize("size", [1, 7, 50, 4096])
def test_blocks_hold_every_row_once_and_their_sum_is_the_state(
    trained_workspace: TrainedWorkspace, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(sums, "BLOCK_ROWS", size)
    session = trained_workspace.session()
    policy, state = session.model().policy, session.state()
    prepared = session.prepared(policy.training_id)
    single = [
        {head: rows.select([i])}
        for bucket in prepared.all_rows()
        for head, rows in bucket.items()
        for i in range(len(rows))
    ]

    blocks = list(in_blocks(single))
    found = sum_rows(policy, single)

    for head, (digest, count) in state.heads.items():
        mine = [block for name, block in blocks if name == head]
        assert [len(block) for block in mine[:-1]] == [size] * (len(mine) - 1)
        ids = PreparedRows.concat(mine).record_ids
        assert len(ids) == len(set(ids)) == count
        assert found[head].digest() == digest


def test_buckets_without_rows_add_nothing(trained_workspace: TrainedWorkspace) -> None:
    session = trained_workspace.session()
    policy = session.model().policy
    bucket = next(session.prepared(policy.training_id).all_rows())
    empty = {head: rows.select([]) for head, rows in bucket.items()}

    assert list(in_blocks([empty, {}])) == []
    assert all(not state.rows for state in sum_rows(policy, [empty]).values())
