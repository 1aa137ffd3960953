"""A training or an import that was killed: the old model and data stay in force, or the new."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.workflows.children import KILLED, child_mbd, die_after, die_before
from tests.workflows.disk import archive, assert_finished_once, revoke
from tests.workspaces import TrainedWorkspace, must_run, run_mbd

TRAIN = "mbd.workflows.train"
BUCKETS = "mbd.data.buckets"


@pytest.mark.parametrize(
    "kill",
    [
        pytest.param(partial(die_before, TRAIN, "release_with_noise"), id="rows prepared"),
        pytest.param(partial(die_before, TRAIN, "write_state"), id="model written"),
        pytest.param(partial(die_before, TRAIN, "_activate"), id="state written"),
        pytest.param(partial(die_before, TRAIN, "remove_leftovers"), id="activated"),
    ],
)
def test_a_killed_training_leaves_one_model_in_force_and_nothing_for_long(
    trained_workspace: TrainedWorkspace, kill: partial[None]
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    before = trained_workspace.session().model().snapshot.model_id
    activated = kill.args[1] == "remove_leftovers"

    train = ["train", "--core", "none", "--set", "heads.width=160"]
    assert child_mbd(root, *train, prelude=kill).code == KILLED

    assert (trained_workspace.session().model().snapshot.model_id == before) != activated
    must_run(root, "predict", "--record", "r000000")
    must_run(root, *revoke(user))
    assert_finished_once(trained_workspace, user)


@pytest.mark.parametrize(
    "kill",
    [
        pytest.param(partial(die_before, BUCKETS, "write_atomically", call=1), id="no file"),
        pytest.param(partial(die_before, BUCKETS, "write_atomically", call=2), id="no manifest"),
        pytest.param(partial(die_after, BUCKETS, "write_atomically", call=2), id="not swept"),
    ],
)
def test_a_killed_import_leaves_the_old_data_in_force_or_the_new(
    trained_workspace: TrainedWorkspace, kill: partial[None]
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    before = must_run(root, "data", "info", "--json").json["records"]
    take_in = ["data", "import", str(archive(trained_workspace)), "--spec"]
    take_in.append(str(root.parent / "more.toml"))

    assert child_mbd(root, *take_in, prelude=kill).code == KILLED

    committed = kill.func is die_after
    info = must_run(root, "data", "info", "--json").json
    assert info["records"] == before + 2 * committed
    assert run_mbd(root, *take_in).code == (6 if committed else 0)
    must_run(root, *revoke(user))
    assert_finished_once(trained_workspace, user)


def test_a_first_import_that_was_killed_can_be_repeated(tmp_path: Path) -> None:
    root = tmp_path / "service"
    must_run(tmp_path, "init", str(root))
    synth = ["data", "synth", "--users", "60", "--records", "120", "--seed", "1"]
    kill = partial(die_before, BUCKETS, "write_atomically", call=2)
    assert child_mbd(root, *synth, prelude=kill).code == KILLED
    assert run_mbd(root, "data", "info").code == 4
    must_run(root, *synth)
    session = TrainedWorkspace(root, (), ()).session()
    in_force = {path.name for path in session.store().files()}
    assert {path.name for path in session.store_folder.iterdir()} == in_force
