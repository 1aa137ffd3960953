"""A request that can never be released is given up, and leaves no trace but in the ledger."""

from __future__ import annotations

from functools import partial

import pytest

from tests.workflows.children import KILLED, child_mbd, die_before
from tests.workflows.disk import MODALITY, assert_nothing_left, revoke, stage_of
from tests.workspaces import TrainedWorkspace, must_run, run_mbd

STEPS = "mbd.workflows.steps"


IMPOSSIBLE = ["--epsilon", "1e-12", "--delta", "1e-15"]


def test_a_request_that_cannot_be_released_is_cancelled_and_the_channel_serves_again(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    files = {path: path.read_bytes() for path in root.rglob("*.safetensors")}

    refused = run_mbd(root, *revoke(user, *IMPOSSIBLE, "--request-id", "r-1"))

    assert refused.code == 1
    error = refused.json["error"]
    assert error["code"] == "arithmetic.tolerance"
    assert "larger epsilon" in error["hint"]
    assert "cancelled" in error["message"]
    assert {path: path.read_bytes() for path in root.rglob("*.safetensors")} == files
    assert stage_of(trained_workspace) == "completed"
    assert list((root / "staging").iterdir()) == []
    assert not trained_workspace.session().suppressions.blocks(user, MODALITY)
    shown = must_run(root, "data", "show", "--user", user, "--json").json
    assert shown["revoked"] == []
    assert run_mbd(root, *revoke(user, *IMPOSSIBLE, "--request-id", "r-1")).code == 6
    must_run(root, *revoke(user))
    assert_nothing_left(trained_workspace, user)


TRAIN = ["train", "--core", "none", "--set", "heads.width=160"]


@pytest.mark.parametrize("command", [["resume"], ["data", "info"], TRAIN])
def test_an_interrupted_request_that_cannot_be_released_stops_nobody(
    trained_workspace: TrainedWorkspace, command: list[str]
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    kill = partial(die_before, f"{STEPS}.STEPS", "suppressed")
    assert child_mbd(root, *revoke(user, *IMPOSSIBLE), prelude=kill).code == KILLED
    ran = must_run(root, *command)
    assert "tolerance" in ran.out + ran.err
    assert not trained_workspace.session().suppressions.blocks(user, MODALITY)
    must_run(root, *revoke(user))
    assert_nothing_left(trained_workspace, user)
