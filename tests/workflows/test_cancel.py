"""A request that is given up, asked or not, leaves no trace but in the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mbd.database import pointers
from mbd.workflows.predict import predict_record
from tests.workflows.children import KILLED, Prelude, child_mbd, die_before, table_of
from tests.workflows.conftest import Spread
from tests.workflows.disk import (
    MODALITY,
    assert_finished,
    assert_finished_once,
    assert_nothing_left,
    assert_nothing_unnoised,
    predicate_of,
    revoke,
    secrets_of,
    stage_of,
    stages_of,
)
from tests.workspaces import TrainedWorkspace, must_run, run_mbd

CANCEL = ["revoke", "--cancel"]
SLOW_STAGES = [
    pytest.param(stage, marks=pytest.mark.slow) for stage in ("received", "suppressed", "staged")
]

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
    kill = partial(die_before, table_of("suppressed"), "suppressed")
    assert child_mbd(root, *revoke(user, *IMPOSSIBLE), prelude=kill).code == KILLED
    ran = must_run(root, *command)
    assert "tolerance" in ran.out + ran.err
    assert not trained_workspace.session().suppressions.blocks(user, MODALITY)
    must_run(root, *revoke(user))
    assert_nothing_left(trained_workspace, user)


CANCELLABLE = [
    pytest.param("received", marks=pytest.mark.slow),
    "suppressed",
    pytest.param("staged", marks=pytest.mark.slow),
    "activated",
]


@dataclass(frozen=True)
class Service:
    """What a person can notice, and what is in force."""

    files: dict[Path, bytes]
    """But for databases: data, rows, state, model, staging."""
    pointers: tuple[str | None, str | None]
    predictions: dict[str, Any]


def service_of(workspace: TrainedWorkspace, users: Sequence[str]) -> Service:
    """As it is now."""
    root, session = workspace.root, workspace.session()
    files = {p: p.read_bytes() for p in root.rglob("*") if p.is_file() and ".db" not in p.name}
    with session.database.read() as connection:
        found = (pointers.get(connection, "model"), pointers.get(connection, "state"))
    records = [name for user in users for name in session.store().read(subjects=[user]).record_ids]
    shown = {
        name: {
            key: value
            for key, value in vars(predict_record(session, name)).items()
            if "second" not in key
        }
        for name in records[:4]
    }
    return Service(files, found, shown)


def stop_at(root: Path, stage: str, *command: str) -> None:
    """Kill a command when its request has reached this stage."""
    kill = partial(die_before, table_of(stage), stage)
    assert child_mbd(root, *command, prelude=kill).code == KILLED


@pytest.mark.parametrize("stage", CANCELLABLE)
def test_cancelled_before_erasure_everything_is_as_it_was(
    trained_workspace: TrainedWorkspace, stage: str
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    before = service_of(trained_workspace, [user])
    stop_at(root, stage, *revoke(user, "--request-id", "r-1"))
    assert stage_of(trained_workspace) == stage

    done = must_run(root, *CANCEL, "r-1", "--json").json

    assert (done["cancelled"], done["stage"]) == (True, stage)
    assert stages_of(trained_workspace) == []
    assert service_of(trained_workspace, [user]) == before
    assert not trained_workspace.session().suppressions.blocks(user, MODALITY)
    assert must_run(root, "data", "show", "--user", user, "--json").json["revoked"] == []
    assert logged(root)["cancel"] == 1
    assert logged(root)["certificate"] == 0
    assert must_run(root, "ledger", "check", "--json").json["ok"]
    assert must_run(root, "state", "check", "--json").json["equal"]
    for path in root.glob("*.db*"):
        assert b'"subject"' not in path.read_bytes(), f"{path} still holds the request"
    repeated = must_run(root, *CANCEL, "r-1", "--json").json
    assert repeated["stage"] == "cancelled"
    assert run_mbd(root, *revoke(user, "--request-id", "r-1")).code == 6
    assert must_run(root, "resume", "--json").json["finished"] == []
    assert logged(root)["cancel"] == 1

    drawn = 1 + (stage in ("staged", "activated"))
    must_run(root, *revoke(user))
    stated = assert_finished(trained_workspace, [user], attempts=drawn, cancelled=1)[0]
    assert (float(stated["guarantee"]["epsilon"]) > 1) == (drawn > 1)


@pytest.mark.parametrize(
    "kill",
    [
        partial(die_before, "mbd.data.erasure", "_erase_records"),
        pytest.param(
            partial(die_before, "mbd.data.erasure", "_erase_rows"), marks=pytest.mark.slow
        ),
        pytest.param(partial(die_before, table_of("erased"), "erased"), marks=pytest.mark.slow),
        pytest.param(partial(die_before, table_of("signed"), "signed"), marks=pytest.mark.slow),
    ],
)
def test_once_erasure_has_begun_a_request_is_finished_and_not_cancelled(
    trained_workspace: TrainedWorkspace, kill: Prelude
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    assert child_mbd(root, *revoke(user, "--request-id", "r-1"), prelude=kill).code == KILLED
    stage = stage_of(trained_workspace)
    refused = run_mbd(root, *CANCEL, "r-1", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (6, "request.stage")
    assert "mbd resume" in refused.json["error"]["hint"]
    assert stage_of(trained_workspace) == stage
    assert trained_workspace.session().suppressions.blocks(user, MODALITY)
    must_run(root, "resume")
    assert_finished_once(trained_workspace, user)
    finished = run_mbd(root, *CANCEL, "r-1", "--json")
    assert (finished.code, finished.json["error"]["hint"]) == (6, None)
    assert logged(root)["cancel"] == 0


def test_nobody_cancels_what_nobody_asked_for(trained_workspace: TrainedWorkspace) -> None:
    assert run_mbd(trained_workspace.root, *CANCEL, "r-1", "--json").code == 4


@pytest.mark.parametrize("stage", ["activated", *SLOW_STAGES])
def test_one_of_a_batch_is_cancelled_and_the_others_are_finished(
    spread: Spread, stage: str
) -> None:
    workspace, (one, two, three, *_) = spread.workspace, spread.users
    root = workspace.root
    secrets = secrets_of(workspace, two, three)
    batch = root.parent / "batch.csv"
    lines = [f"{user},{MODALITY},r-{user}" for user in (one, two, three)]
    batch.write_text("\n".join(["user,modality,requestId", *lines]))
    predictions = service_of(workspace, [one]).predictions
    stop_at(root, stage, "revoke", "--batch", str(batch))

    must_run(root, *CANCEL, f"r-{one}")

    suppressed = workspace.session().suppressions
    assert not suppressed.blocks(one, MODALITY)
    assert suppressed.blocks(two, MODALITY) == (stage != "received")
    assert service_of(workspace, [one]).predictions == predictions
    must_run(root, "data", "info")  # any command finishes the rest
    drawn = 1 + (stage in ("staged", "activated"))
    stated = assert_finished(workspace, [two, three], attempts=drawn, cancelled=1)
    assert all((float(c["guarantee"]["epsilon"]) > 1) == (drawn > 1) for c in stated)
    assert_nothing_unnoised(workspace, secrets)
    held = workspace.session().store().read(subjects=[one])
    assert any(value is not None for value in held.x[MODALITY])
    done = must_run(root, *revoke(one)).json
    guarantee = predicate_of(root / "certs" / f"{done['certificateId']}.json")["guarantee"]
    assert guarantee["attempts"] == drawn, "what was drawn and given up counts"
    assert must_run(root, "state", "check", "--json").json["equal"]


def test_a_person_who_asks_again_pays_for_every_draw_from_the_same_state(
    trained_workspace: TrainedWorkspace,
) -> None:
    """Cancelled twice, then asked for in two requests of one batch."""
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    for number in (1, 2):
        name = f"r-{number}"
        stop_at(root, "staged", *revoke(user, "--request-id", name))
        must_run(root, *CANCEL, name)
    batch = root.parent / "batch.csv"
    batch.write_text(f"user,modality\n{user},audio\n{user},vision\n")
    ran = must_run(root, "revoke", "--batch", str(batch), "--json")
    for row in ran.json["rows"]:
        stated = predicate_of(root / "certs" / f"{row['certificateId']}.json")
        assert stated["guarantee"]["attempts"] == 3
        assert float(stated["guarantee"]["epsilon"]) > 1
        must_run(root, "verify", str(root / "certs" / f"{row['certificateId']}.json"))
    assert logged(root)["attempt"] == 3


@pytest.mark.parametrize(
    "kill",
    [
        partial(die_before, "mbd.ledger.log.Log", "publish"),
        partial(die_before, "mbd.workflows.cancel", "remove_folder"),
        pytest.param(
            partial(die_before, "mbd.workflows.cancel", "remove_folder", call=3),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            partial(die_before, "mbd.database.journal.Journal", "cancel"), marks=pytest.mark.slow
        ),
    ],
)
def test_a_cancellation_that_is_killed_is_whole_or_was_not_begun(
    trained_workspace: TrainedWorkspace, kill: Prelude
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    before = service_of(trained_workspace, [user])
    stop_at(root, "activated", *revoke(user, "--request-id", "r-1"))
    assert child_mbd(root, *CANCEL, "r-1", prelude=kill).code == KILLED
    must_run(root, *CANCEL, "r-1")
    must_run(root, "resume")
    assert service_of(trained_workspace, [user]) == before
    assert logged(root)["cancel"] == 1
    assert must_run(root, "ledger", "check", "--json").json["ok"]


def logged(root: Path) -> Counter[str]:
    """How many entries of each type the ledger has."""
    entries = must_run(root, "ledger", "list", "--json").json["entries"]
    return Counter(entry["type"] for entry in entries)
