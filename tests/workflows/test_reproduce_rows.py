"""Rows are those of their records: each is made again, and another program accuses nobody."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mbd.data.prepared import PreparedRows
from mbd.verify.case import Undecided
from mbd.workflows.model import serving
from mbd.workflows.reproduce.data import RetainedData
from mbd.workflows.reproduce.remade import RemadeRows
from tests.workflows.auditing import escrow_of, judge, revoke
from tests.workspaces import TrainedWorkspace, describe, must_run


@pytest.fixture
def remade(trained_workspace: TrainedWorkspace) -> RemadeRows:
    """The rows of an honest workspace, before any of them was made again."""
    session = trained_workspace.session()
    data = RetainedData(trained_workspace.root / "data", lambda done, total: None)
    extractor = serving(session).extractor
    places = data.records(None).places
    return RemadeRows(session.model().policy, extractor, session.store(), places)


def swapped(rows: PreparedRows) -> PreparedRows:
    """The first two rows have each other's numbers: every sum is what it was."""
    order = np.arange(len(rows))
    order[:2] = 1, 0
    return replace(rows, v=rows.v[order], t=rows.t[order])


def test_rows_that_changed_places_are_refuted(trained_workspace: TrainedWorkspace) -> None:
    """No sum shows it; only making the rows again does."""
    revoked = revoke(trained_workspace, trained_workspace.revocable[0])
    session = revoked.workspace.session()
    prepared = session.prepared(session.model().policy.training_id)
    rows = prepared.read_bucket(0)
    prepared.write_bucket(0, {**rows, "text": swapped(rows["text"])})
    for found in (
        judge(revoked, revoked.root),
        judge(revoked, revoked.root, escrow=escrow_of(revoked)),
    ):
        assert (found.exit_code, found.code) == (1, "reproduce.rows"), found
        assert "head text: a row is not that of its record" in found.reason


@pytest.mark.parametrize(("moved", "equal"), [(0, True), (1, True), (2, False)])
def test_a_row_may_be_off_by_one_unit(
    trained_workspace: TrainedWorkspace, remade: RemadeRows, moved: int, equal: bool
) -> None:
    session = trained_workspace.session()
    prepared = session.prepared(session.model().policy.training_id)
    for bucket in prepared.buckets():
        rows = {
            head: replace(found, v=(found.v - moved * np.sign(found.v)).astype(np.int16))
            for head, found in prepared.read_bucket(bucket).items()
        }
        remade.compare(bucket, len(prepared.buckets()), rows)
    assert (not any(remade.other.values())) == equal
    assert (not any(remade.same.values())) != equal


@pytest.mark.parametrize(
    ("core", "same", "other", "problems"),
    [
        ("none", 9, 0, 0),
        ("none", 9, 8, 1),
        ("none", 9, 9, None),  # another program makes other rows of all records
        ("none", 0, 1, None),
        ("trained", 9, 0, 0),
        ("trained", 9, 1, None),  # a core is a program: its version may be another one
    ],
)
def test_only_a_few_rows_among_many_accuse_somebody(
    remade: RemadeRows, core: str, same: int, other: int, problems: int | None
) -> None:
    remade.policy = replace(remade.policy, core=core)
    remade.same, remade.other = Counter(text=same), Counter(text=other)
    if problems is not None:
        assert len(remade.problems()) == problems
        return
    with pytest.raises(Undecided) as caught:
        remade.problems()
    assert caught.value.code == "reproduce.remade"


@pytest.mark.slow
def test_rows_of_a_trained_core_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    root = tmp_path / "service"
    must_run(tmp_path, "init", str(root))
    must_run(root, "data", "synth", "--users", "24", "--records", "240", "--seed", "2")
    small = ("--set", "core.epochs=1", "--set", "core.hidden=8", "--set", "heads.width=448")
    must_run(root, "train", "--core", "trained", *small)
    workspace = describe(root)
    revoked = revoke(workspace, workspace.revocable[0])
    found = judge(revoked, root)
    assert (found.exit_code, found.result) == (0, "pass"), found
    session = workspace.session()
    prepared = session.prepared(session.model().policy.training_id)
    rows = prepared.read_bucket(0)
    prepared.write_bucket(0, {**rows, "text": swapped(rows["text"])})
    found = judge(revoked, root)
    assert (found.exit_code, found.code) == (3, "reproduce.remade"), found
