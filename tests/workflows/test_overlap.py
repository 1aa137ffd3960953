"""Two requests for one channel: each keeps it off for itself, and each is carried out."""

from __future__ import annotations

from pathlib import Path

from mbd.certificate.bundle import parse_bundle
from tests.workspaces import TrainedWorkspace, must_run, run_mbd

QUEUED = ["--modality", "text", "--method", "retrain", "--queue", "--request-id", "first"]


def _modalities(root: Path, certificate_id: str) -> tuple[str, ...]:
    bundle = parse_bundle((root / "certs" / f"{certificate_id}.json").read_bytes())
    return tuple(bundle.statement().predicate.deletion.modalities)


def test_cancelling_one_leaves_the_channel_off_for_the_other(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    must_run(root, "revoke", "--user", user, *QUEUED)
    done = must_run(root, "revoke", "--user", user, "--modality", "all", "--json").json

    assert _modalities(root, done["certificateId"]) == (
        "audio",
        "text",
        "vision",
    )
    must_run(root, "revoke", "--cancel", "first")

    assert trained_workspace.session().suppressions.blocks(user, "text")
    assert not len(trained_workspace.session().store().read(subjects=[user]))
    assert must_run(root, "state", "check", "--json").json["ok"]


def test_what_waits_is_taken_by_whoever_asks_for_everything(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    must_run(root, "revoke", "--user", user, *QUEUED)
    must_run(
        root, "revoke", "--user", user, "--modality", "all", "--method", "retrain", "--queue",
        "--request-id", "second",
    )  # fmt: skip
    must_run(root, "revoke", "--cancel", "first")
    (done,) = must_run(root, "resume", "--json").json["finished"]

    stated = _modalities(root, done["certificateId"])
    assert stated == ("audio", "text", "vision")
    assert not len(trained_workspace.session().store().read(subjects=[user]))
    assert must_run(root, "state", "check", "--json").json["ok"]


def test_the_later_one_is_carried_out_though_nothing_is_left_to_erase(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    must_run(root, "revoke", "--user", user, *QUEUED)
    must_run(root, "revoke", "--user", user, "--modality", "all")

    (done,) = must_run(root, "resume", "--json").json["finished"]

    assert done["requestId"] == "first"
    must_run(root, "verify", done["bundle"], "--receipt", done["receipt"])
    assert must_run(root, "state", "check", "--receipt", done["receipt"], "--json").json["ok"]


def test_asking_again_without_the_queue_ends_the_waiting(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.foundation[0]
    must_run(root, "revoke", "--user", user, *QUEUED)

    done = must_run(
        root, "revoke", "--user", user, "--modality", "text", "--method", "retrain",
        "--request-id", "first", "--json",
    ).json  # fmt: skip

    assert (done["class"], done["repeated"]) == ("exact", False)
    assert run_mbd(root, "resume", "--json").json["finished"] == []


def test_a_model_that_was_trained_while_a_request_waited_has_to_learn_again(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    must_run(root, "revoke", "--user", user, *QUEUED)
    must_run(root, "train", "--core", "none", "--set", "heads.width=160")

    cancelled = must_run(root, "revoke", "--cancel", "first", "--json").json

    assert cancelled["trainedWithout"]
