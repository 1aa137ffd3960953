"""Deletions that deleted nothing, and were certified."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mbd.workflows import release, stage, staging
from mbd.workflows.demo import keep_model
from tests.workspaces import TrainedWorkspace, must_run, run_mbd


def certificates(root: Path) -> list[Path]:
    return sorted((root / "certs").glob("*.json"))


def revoke(workspace: TrainedWorkspace, *more: str) -> Any:
    user = workspace.revocable[0]
    return run_mbd(
        workspace.root, "revoke", "--user", user, "--modality", "audio", *more, "--json"
    )  # fmt: skip


@pytest.mark.parametrize("method", ["surgical", "exact"])
def test_a_signed_certificate_for_a_deletion_that_changed_no_weight(
    trained_workspace: TrainedWorkspace, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Elsewhere records were marked as deleted before the scrub, which then found none to scrub.

    Here the same order of things (the channel is switched off first, then rows are looked for):
    a search that comes back empty stops the request, and no certificate is made.
    """
    monkeypatch.setattr(stage, "removed_rows", lambda *_: iter(()))

    ran = revoke(trained_workspace, "--method", method)

    assert (ran.code, ran.json["error"]["code"]) == (1, "taint.untouched")
    assert certificates(trained_workspace.root) == []
    listed = must_run(trained_workspace.root, "ledger", "list", "--json").json["entries"]
    assert not [one for one in listed if one["type"] == "certificate"]


def test_a_subtraction_that_does_nothing_is_refused_before_noise_is_drawn(
    trained_workspace: TrainedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "subtract_rows", lambda state, *_: state)
    monkeypatch.setattr(release, "certified_release", lambda *_: pytest.fail("noise was drawn"))

    ran = revoke(trained_workspace)

    assert ran.json["error"]["code"] == "deletion.unchanged"
    assert certificates(trained_workspace.root) == []


def test_heads_that_are_left_as_they_were_are_not_released(
    trained_workspace: TrainedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state changed, the weights did not: the files say so before anything is signed."""
    snapshot = trained_workspace.session().model().snapshot

    def idle(policy: Any, states: Any, parameters: Any) -> dict[str, Any]:
        return {name: snapshot.head(name) for name in states}

    monkeypatch.setattr(staging, "release_with_noise", idle)

    ran = revoke(trained_workspace)

    assert ran.json["error"]["code"] == "taint.untouched"
    assert certificates(trained_workspace.root) == []


def test_every_weight_of_the_heads_that_a_certificate_selects_is_new(
    trained_workspace: TrainedWorkspace, tmp_path: Path
) -> None:
    """And with the model of before in its place, the same certificate is invalid."""
    root = trained_workspace.root
    old = keep_model(root, tmp_path / "before").folder / "models"
    done = revoke(trained_workspace).json
    model = trained_workspace.session().model().snapshot
    (before,) = [path.parent for path in old.rglob("policy.json")]

    for name in done["heads"]:
        file = Path("heads") / f"{name}.safetensors"
        assert (before / file).read_bytes() != (model.folder / file).read_bytes()

    told = must_run(root, "verify", done["bundle"], "--model", str(model.folder), "--json").json
    assert told["levelReached"] == "LOGGED+ARTIFACTS"
    told = run_mbd(root, "verify", done["bundle"], "--model", str(before), "--json")
    assert told.code == 1
    assert "artifact.changed" in {one["code"] for one in told.json["checks"]}


def test_final_accuracy_reported_for_the_weights_before_removal(
    trained_workspace: TrainedWorkspace,
) -> None:
    """Elsewhere the table in the report was computed before the last step changed the weights.

    Here a report names its model: after a revocation it is the one that the certificate is about,
    and the numbers of the heads that were replaced are others.
    """
    root = trained_workspace.root

    def evaluated() -> tuple[str, dict[str, Any]]:
        found = must_run(root, "eval", "--protocol", "subsets", "--json").json
        return found["model"], {row["series"]: row["metrics"]["mae"] for row in found["rows"]}

    old, before = evaluated()
    done = revoke(trained_workspace).json
    new, after = evaluated()

    snapshot = trained_workspace.session().model().snapshot
    assert new == snapshot.model_id != old
    must_run(root, "verify", done["bundle"], "--model", str(snapshot.folder))
    for name in ("audio", "audio+text", "audio+vision"):
        assert before[name] != after[name]
    for name in ("text", "vision", "text+vision"):
        assert before[name] == after[name]
