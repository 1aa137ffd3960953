"""What a certificate of a retraining says can be repeated is repeated by a command."""

from __future__ import annotations

from tests.workspaces import TrainedWorkspace, must_run, run_mbd


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
