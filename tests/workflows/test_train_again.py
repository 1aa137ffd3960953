"""What a certificate of a retraining says can be repeated is repeated by a command."""

from __future__ import annotations

import time
from functools import partial

import pytest

from mbd.canonical.times import timestamp
from mbd.canonical.ulid import ulid_time
from tests.workflows.children import KILLED, child_mbd, die_before, table_of
from tests.workspaces import WIDTH, TrainedWorkspace, must_run, run_mbd


def test_training_again_gives_the_policy_and_the_state_that_are_there(
    trained_workspace: TrainedWorkspace,
) -> None:
    root = trained_workspace.root
    user = trained_workspace.foundation[0]
    must_run(root, "revoke", "--user", user, "--modality", "audio", "--method", "retrain")

    found = must_run(root, "state", "check", "--train-again", "--json").json

    assert found["ok"]
    assert found["findings"] == []


def test_training_again_notices_data_that_the_model_was_not_made_from(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, session = trained_workspace.root, trained_workspace.session()
    store, user = session.store(), trained_workspace.foundation[0]
    bucket = store.bucket_of(user)
    records = store.read_bucket(bucket)
    changed = records.without(lambda who, name: (who, name) == (user, "text"))
    store.replace_bucket(bucket, changed)

    found = run_mbd(root, "state", "check", "--train-again", "--json")

    assert found.code == 1
    assert any("core, scaling or choices" in one for one in found.json["findings"])


def test_a_batch_previewed_says_what_the_batch_says(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, people = trained_workspace.root, trained_workspace.revocable
    path = root.parent / "requests.csv"
    rows = [
        f"{people[0]},audio,a",
        f"{people[1]},audio,no/id",
        f"{people[2]},audio,a",
        "nobody,audio,b",
        f"{trained_workspace.foundation[0]},audio,c",
    ]
    path.write_text("\n".join(["user,modality,requestId", *rows]) + "\n")

    before = run_mbd(root, "revoke", "--batch", str(path), "--dry-run", "--json")
    done = run_mbd(root, "revoke", "--batch", str(path), "--json")
    again = run_mbd(root, "revoke", "--batch", str(path), "--dry-run", "--json")

    codes = [[row["exitCode"] for row in ran.json["rows"]] for ran in (before, done, again)]
    assert codes == [[0, 2, 6, 4, 5]] * 3
    assert (before.code, done.code, again.code) == (8, 8, 8)
    assert before.json["rows"][0]["certificateId"] is None
    assert again.json["rows"][0]["certificateId"] == done.json["rows"][0]["certificateId"]


def test_what_waits_for_a_retraining_does_not_make_the_model_another(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, people = trained_workspace.root, trained_workspace.foundation
    queue = ("--modality", "audio", "--method", "retrain", "--queue")
    check = ("state", "check", "--train-again", "--json")

    must_run(root, "revoke", "--user", people[0], *queue)
    assert must_run(root, *check).json["ok"], "the model in force learned from what waits"

    time.sleep(1.1)  # requests are dated to the second
    must_run(root, "train", "--core", "none", "--set", f"heads.width={WIDTH}")
    assert must_run(root, *check).json["ok"], "this model did not"
    time.sleep(1.1)
    must_run(root, "revoke", "--user", people[1], *queue)
    assert must_run(root, *check).json["ok"]


def test_a_request_of_the_second_of_the_training_is_in_no_known_order(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.foundation[0]
    must_run(
        root, "revoke", "--user", user, "--modality", "audio", "--method", "retrain", "--queue"
    )
    session = trained_workspace.session()
    trained_at = timestamp(ulid_time(session.model().policy.training_id))
    with session.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE request SET received_at = ?", (trained_at,))

    ran = run_mbd(root, "state", "check", "--train-again", "--json")

    assert (ran.code, ran.json["error"]["code"]) == (5, "request.queued")
    assert "mbd resume" in ran.json["error"]["hint"]


@pytest.mark.parametrize("batch", [False, True])
def test_a_dry_run_does_not_finish_what_somebody_else_began(
    trained_workspace: TrainedWorkspace, batch: bool
) -> None:
    root, people = trained_workspace.root, trained_workspace.revocable
    kill = partial(die_before, table_of("activated"), "activated")
    begun = ("revoke", "--user", people[0], "--modality", "text", "--request-id", "R1")
    assert child_mbd(root, *begun, prelude=kill).code == KILLED
    path = root.parent / "requests.csv"
    path.write_text(f"user,modality\n{people[1]},audio\n")
    one = ("--user", people[1], "--modality", "audio")
    asked = ("--batch", str(path)) if batch else one

    ran = must_run(root, "revoke", *asked, "--dry-run")

    assert "Nothing was changed." in ran.out
    assert "mbd resume" in ran.err
    assert not list((root / "certs").iterdir())
    must_run(root, "revoke", "--cancel", "R1")


def test_a_batch_previewed_is_refused_where_nothing_would_be_left_to_learn_from(
    trained_workspace: TrainedWorkspace,
) -> None:
    root = trained_workspace.root
    people = [one.user for one in trained_workspace.session().store().subjects()]
    path = root.parent / "requests.csv"
    path.write_text("user,modality\n" + "".join(f"{who},all\n" for who in people))
    command = ("revoke", "--batch", str(path), "--method", "retrain", "--json")

    preview, done = run_mbd(root, *command, "--dry-run"), run_mbd(root, *command)

    assert preview.code == done.code == 5
    assert preview.json["error"] == done.json["error"]
