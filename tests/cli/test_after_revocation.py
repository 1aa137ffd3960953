"""Once revoked, a channel is not used again, whichever way it arrives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli import clips
from tests.workspaces import must_run, run_mbd

USER, OTHER = "p05", "p06"


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """A workspace of clips in which USER revoked the voice."""
    root = tmp_path / "service"
    must_run(tmp_path, "init", "service")
    source, how = clips.write(tmp_path, clips.spec())
    must_run(root, "data", "import", source, "--spec", how)
    must_run(root, "train", "--core", "none", "--set", "heads.width=64")
    must_run(root, "revoke", "--user", USER, "--modality", "voice")
    return root


def test_a_stored_record_is_predicted_without_it(service: Path) -> None:
    record = f"clip{clips.PEOPLE.index(USER) * clips.EACH:03d}"
    made = must_run(service, "predict", "--record", record, "--json").json
    assert (made["used"], made["refused"]) == (["face"], ["voice"])
    none_left = run_mbd(service, "predict", "--record", record, "--without", "face", "--json")
    assert (none_left.code, none_left.json["error"]["field"]) == (5, "voice")


def test_an_input_that_brings_it_is_answered_as_if_it_did_not(
    service: Path, tmp_path: Path
) -> None:
    face = np.linspace(-1, 1, 4)

    def ask(user: str, **more: np.ndarray) -> dict[str, object]:
        np.savez(tmp_path / "in.npz", face=face, **more)
        command = ["predict", "--input", str(tmp_path / "in.npz"), "--user", user, "--json"]
        return dict(must_run(service, *command).json)

    alone = ask(USER)
    for voice in (np.ones((4, 3)), np.full((4, 3), np.nan), np.ones(99), np.array([{}] * 2)):
        assert ask(USER, voice=voice) == alone
    assert (alone["used"], alone["refused"]) == (["face"], ["voice"])
    assert ask(OTHER, voice=np.ones((4, 3)))["used"] == ["face", "voice"]


def test_a_new_import_brings_none_of_it(service: Path, tmp_path: Path) -> None:
    source, how = clips.write(tmp_path, clips.spec(), **clips.arrays(prefix="more", seed=1))
    told = must_run(service, "data", "import", source, "--spec", how, "--json").json
    assert told["suppressed"] == clips.EACH
    shown = must_run(service, "data", "show", "--user", USER, "--json").json
    assert shown["revoked"] == ["voice"]
    assert len(shown["records"]) == 2 * clips.EACH
    assert all(record["available"] == ["face"] for record in shown["records"])
    must_run(service, "train", "--core", "none", "--set", "heads.width=64")
    learned = must_run(service, "data", "show", "--user", USER, "--json").json["models"]
    assert [set(model["heads"]) for model in learned] == [{"face"}]
    assert must_run(service, "state", "check", "--json").json["ok"]


def test_whoever_revokes_everything_leaves_nothing_behind(service: Path, tmp_path: Path) -> None:
    must_run(service, "revoke", "--user", USER, "--modality", "face")
    shown = must_run(service, "data", "show", "--user", USER, "--json").json
    assert (shown["records"], shown["models"]) == ([], [])
    source, how = clips.write(tmp_path, clips.spec(), **clips.arrays(prefix="more", seed=1))
    told = must_run(service, "data", "import", source, "--spec", how, "--json").json
    assert told["suppressed"] == 2 * clips.EACH
    assert told["droppedCount"] == clips.EACH
    assert all("revoked" in gone["reason"] for gone in told["dropped"])
    np.savez(tmp_path / "in.npz", face=np.ones(4), voice=np.ones((2, 3)))
    ran = run_mbd(service, "predict", "--input", str(tmp_path / "in.npz"), "--user", USER, "--json")
    assert (ran.code, ran.json["error"]["field"]) == (5, "face, voice")
