"""Requests that wait for a retraining: off at once, done together, never put back unasked."""

from __future__ import annotations

from collections import Counter

import pytest

from mbd.errors import RefusedError
from mbd.ledger.bodies import erase_body, has_body
from mbd.workflows import retrain
from mbd.workflows.fit import announce
from tests.workspaces import TrainedWorkspace, must_run, run_mbd

RETRAIN = ["--modality", "audio", "--method", "retrain"]


def test_queued_people_are_off_at_once_and_share_one_training(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, people = trained_workspace.root, trained_workspace.foundation[:3]
    for who in people[:2]:
        queued = must_run(root, "revoke", "--user", who, *RETRAIN, "--queue", "--json").json
        assert queued["queued"]
    off = trained_workspace.session().suppressions
    assert all(off.blocks(who, "audio") for who in people[:2])
    assert must_run(root, "state", "check", "--json").json["ok"], "what waits is still stored"
    found = run_mbd(root, "doctor", "--json").json["findings"]
    assert Counter(one["code"] for one in found)["request.queued"] == 2
    must_run(root, "predict", "--record", "r000000")
    assert not list((root / "certs").iterdir()), "nobody finishes it unasked"

    must_run(root, "revoke", "--user", people[2], *RETRAIN)

    entries = must_run(root, "ledger", "list", "--json").json["entries"]
    kinds = Counter(entry["type"] for entry in entries)
    assert kinds["certificate"] == 3
    assert kinds["policy"] == 2, "one training for all of them"
    certificates = sorted(map(str, (root / "certs").iterdir()))
    must_run(root, "verify", *certificates)
    assert must_run(root, "state", "check", "--json").json["ok"]
    assert must_run(root, "resume", "--json").json["finished"] == []


def test_resume_carries_out_what_waits(trained_workspace: TrainedWorkspace) -> None:
    root, people = trained_workspace.root, trained_workspace.foundation[:2]
    path = root.parent / "requests.csv"
    path.write_text("user,modality\n" + "".join(f"{who},audio\n" for who in people))
    rows = must_run(
        root, "revoke", "--batch", str(path), "--method", "retrain", "--queue", "--json"
    ).json["rows"]
    assert [(row["certificateId"], row["exitCode"]) for row in rows] == [(None, 0)] * 2

    done = must_run(root, "resume", "--json").json["finished"]

    assert {one["requestId"] for one in done} == {row["requestId"] for row in rows}
    assert {one["class"] for one in done} == {"exact"}


def test_a_training_that_is_refused_puts_nobody_back_into_service(
    trained_workspace: TrainedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, people = trained_workspace.root, trained_workspace.foundation[:2]
    must_run(root, "revoke", "--user", people[0], *RETRAIN, "--queue", "--request-id", "first")

    def refuse(*_: object, **__: object) -> None:
        raise RefusedError("nothing is left to learn from", code="train.no_rows")

    with monkeypatch.context() as patched:
        patched.setattr(retrain, "stage_retraining", refuse)
        refused = run_mbd(
            root, "revoke", "--user", people[1], *RETRAIN, "--request-id", "second", "--json"
        )
    assert refused.code == 5
    assert "their channels stay off" in refused.json["error"]["message"]
    off = trained_workspace.session().suppressions
    assert all(off.blocks(who, "audio") for who in people)
    assert list((root / "staging").iterdir()) == []

    must_run(root, "revoke", "--cancel", "second")
    assert not trained_workspace.session().suppressions.blocks(people[1], "audio")
    done = must_run(root, "resume", "--json").json["finished"]
    assert [one["requestId"] for one in done] == ["first"]


def test_waiting_needs_a_retraining_to_wait_for(trained_workspace: TrainedWorkspace) -> None:
    user = trained_workspace.revocable[0]
    refused = run_mbd(
        trained_workspace.root, "revoke", "--user", user, "--modality", "audio", "--queue"
    )
    assert refused.code == 2


def test_a_policy_is_announced_once_and_anew_if_its_body_was_erased(
    trained_workspace: TrainedWorkspace,
) -> None:
    session = trained_workspace.session()
    policy = session.model().policy
    first = announce(session, policy)
    assert announce(session, policy) == first
    with session.database.transaction() as connection:
        erase_body(connection, first)

    again = announce(session, policy)

    assert again > first
    with session.database.read() as connection:
        assert has_body(connection, again)
