"""Consent given again counts for what arrives later, and brings nothing back."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mbd.database import suppressions
from tests.workflows.arrivals import archive, from_scratch
from tests.workspaces import TrainedWorkspace, must_run, run_mbd

MODALITY = "audio"


@pytest.fixture
def user(trained_workspace: TrainedWorkspace) -> str:
    """Somebody who revoked their voice."""
    name = trained_workspace.revocable[0]
    must_run(trained_workspace.root, "revoke", "--user", name, "--modality", MODALITY)
    return name


def grant(workspace: TrainedWorkspace, user: str, modality: str = MODALITY) -> list[str]:
    return ["consent", "grant", "--user", user, "--modality", modality, "--json"]


def test_without_consent_a_revoked_channel_is_not_taken_and_that_is_counted(
    trained_workspace: TrainedWorkspace, user: str
) -> None:
    arguments = archive(trained_workspace, ["n1", "n2"], user)
    done = must_run(trained_workspace.root, "data", "add", *arguments, "--json").json
    assert (done["imported"], done["suppressed"]) == (2, 2)
    assert done["learned"] == {"text": 2, "text+vision": 2, "vision": 2}
    held = trained_workspace.session().store().read(subjects=[user])
    assert all(value is None for value in held.x[MODALITY])


def test_consent_counts_for_what_arrives_later_and_brings_nothing_back(
    trained_workspace: TrainedWorkspace, user: str
) -> None:
    root = trained_workspace.root
    (old,) = must_run(root, "data", "show", "--user", user, "--json").json["records"][:1]

    done = must_run(root, *grant(trained_workspace, user)).json

    assert done["granted"] == [MODALITY]
    shown = must_run(root, "data", "show", "--user", user, "--json").json
    assert (shown["revoked"], shown["granted"]) == ([], [MODALITY])
    assert not any(MODALITY in record["available"] for record in shown["records"])
    added = must_run(root, "data", "add", *archive(trained_workspace, ["n1"], user), "--json").json
    assert (added["suppressed"], added["learned"][MODALITY]) == (0, 1)
    used = {
        name: must_run(root, "predict", "--record", name, "--json").json["used"]
        for name in (old["record"], "n1")
    }
    assert MODALITY not in used[old["record"]]
    assert MODALITY in used["n1"]
    session = trained_workspace.session()
    assert session.state().digest == from_scratch(session)
    assert must_run(root, "state", "check", "--json").json["findings"] == []


def test_what_arrived_with_consent_can_be_revoked_with_a_certificate_of_its_own(
    trained_workspace: TrainedWorkspace, user: str
) -> None:
    root = trained_workspace.root
    revoke = ["revoke", "--user", user, "--modality", MODALITY, "--json"]
    must_run(root, *grant(trained_workspace, user))
    must_run(root, "data", "add", *archive(trained_workspace, ["n1"], user))
    assert must_run(root, "data", "show", "--user", user, "--json").json["models"]

    second = must_run(root, *revoke).json

    assert second["class"] == "certified"
    receipt = ["--receipt", second["receipt"]]
    assert must_run(root, "verify", second["bundle"], *receipt, "--json").json["exitCode"] == 0
    assert must_run(root, "state", "check", *receipt, "--json").json["findings"] == []
    for bundle in (root / "certs").iterdir():
        assert must_run(root, "verify", str(bundle), "--json").json["verdict"] == "valid"
    again = run_mbd(root, *revoke)
    assert again.code == 6
    assert second["certificateId"] in again.json["error"]["message"]
    must_run(root, *grant(trained_workspace, user))


def test_the_receipt_of_before_says_what_is_gone_not_what_was_granted_since(
    trained_workspace: TrainedWorkspace, user: str
) -> None:
    root = trained_workspace.root
    (receipt,) = (root / "receipts").iterdir()
    check = ["state", "check", "--receipt", str(receipt), "--json"]
    off = must_run(root, *check[:-1]).out
    assert f"{MODALITY} of {user} is switched off; nothing" in off
    assert "granted" not in off
    must_run(root, *grant(trained_workspace, user))
    must_run(root, "data", "add", *archive(trained_workspace, ["n1"], user))
    found = must_run(root, *check).json
    assert (found["findings"], found["grantedAgain"]) == ([], [MODALITY])
    on = must_run(root, *check[:-1]).out
    assert "consent was granted again since; nothing" in on
    assert "switched off" not in on


def test_a_channel_that_was_switched_on_without_a_logged_consent_is_caught(
    trained_workspace: TrainedWorkspace, user: str
) -> None:
    root, session = trained_workspace.root, trained_workspace.session()
    (receipt,) = (root / "receipts").iterdir()
    with session.database.transaction() as connection:
        suppressions.lift(connection, session.key, user, MODALITY, datetime.now(UTC))
    ran = run_mbd(root, "state", "check", "--receipt", str(receipt), "--json")
    assert ran.json["findings"] == [f"the receipt's {MODALITY} is still in use"]


def test_erased_data_that_is_put_back_under_a_consent_is_caught(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    must_run(root, "data", "add", *archive(trained_workspace, ["n1"], user))
    done = must_run(root, "revoke", "--user", user, "--modality", MODALITY, "--json").json
    must_run(root, *grant(trained_workspace, user))
    must_run(root, "data", "add", *archive(trained_workspace, ["n2"], user))  # the same values
    ran = run_mbd(root, "state", "check", "--receipt", done["receipt"], "--json")
    assert ran.json["findings"] == [f"the receipt's {MODALITY} is in the data store again"]


def test_what_is_not_revoked_cannot_be_granted(
    trained_workspace: TrainedWorkspace, user: str
) -> None:
    root = trained_workspace.root
    assert run_mbd(root, *grant(trained_workspace, user, "text")).code == 6
    assert run_mbd(root, *grant(trained_workspace, user, "smell")).code == 4
    assert run_mbd(root, *grant(trained_workspace, "nobody")).code == 4
    must_run(root, *grant(trained_workspace, user))
    assert run_mbd(root, *grant(trained_workspace, user)).code == 6


def test_somebody_who_has_no_data_left_can_consent_again(
    trained_workspace: TrainedWorkspace, user: str
) -> None:
    root = trained_workspace.root
    for modality in ("text", "vision"):
        must_run(root, "revoke", "--user", user, "--modality", modality)
    assert must_run(root, "data", "show", "--user", user, "--json").json["records"] == []
    must_run(root, *grant(trained_workspace, user))
    assert must_run(root, "data", "show", "--user", user, "--json").json["granted"] == [MODALITY]
    added = must_run(root, "data", "add", *archive(trained_workspace, ["n1"], user), "--json").json
    assert (added["learned"], added["suppressed"]) == ({MODALITY: 1}, 2)


def test_consent_is_logged_and_the_log_names_nobody(
    trained_workspace: TrainedWorkspace, user: str
) -> None:
    root = trained_workspace.root
    done = must_run(root, *grant(trained_workspace, user)).json
    shown = must_run(root, "ledger", "show", str(done["entry"]), "--json").json
    assert shown["type"] == "consent"
    body = shown["body"] if isinstance(shown["body"], dict) else {}
    assert body.keys() == {"consentId", "granted"}
    assert must_run(root, "ledger", "check", "--json").json["ok"]
    salts = trained_workspace.session().secrets.salts(done["consentId"])
    assert salts.keys() == {MODALITY}


def test_a_grant_is_taken_back_before_data_arrives_and_revoked_after(
    trained_workspace: TrainedWorkspace, user: str
) -> None:
    root = trained_workspace.root
    withdraw = ["consent", "withdraw", "--user", user, "--modality", MODALITY, "--json"]
    assert run_mbd(root, *withdraw).code == 6
    must_run(root, *grant(trained_workspace, user))
    assert must_run(root, *withdraw).json["withdrawn"] == [MODALITY]
    assert trained_workspace.session().suppressions.blocks(user, MODALITY)
    assert run_mbd(root, "revoke", "--user", user, "--modality", MODALITY).code == 6
    must_run(root, *grant(trained_workspace, user))
    must_run(root, "data", "add", *archive(trained_workspace, ["n1"], user))
    assert run_mbd(root, *withdraw).code == 6
    must_run(root, "revoke", "--user", user, "--modality", MODALITY)
    assert must_run(root, "state", "check", "--json").json["findings"] == []


def test_consent_to_what_waits_for_a_retraining_is_refused(
    trained_workspace: TrainedWorkspace,
) -> None:
    """The data is still held: a grant would bring it back, and its retraining would fail."""
    root, user = trained_workspace.root, trained_workspace.foundation[0]
    command = ["revoke", "--user", user, "--modality", "audio", "--method", "retrain", "--queue"]
    must_run(root, *command, "--request-id", "r-1")
    grant = ["consent", "grant", "--user", user, "--modality", "audio", "--json"]
    refused = run_mbd(root, *grant)
    assert (refused.code, refused.json["error"]["code"]) == (6, "consent.waiting")
    assert "--cancel r-1" in refused.json["error"]["hint"]
    assert trained_workspace.session().suppressions.blocks(user, "audio")
    must_run(root, "revoke", "--cancel", "r-1")
    assert run_mbd(root, *grant).json["error"]["code"] == "consent.not_revoked"
