"""Classes instead of scores; calibration, declared ranges, or neither, instead of a foundation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli import clips
from tests.cli.test_bad_input import refused
from tests.workspaces import Ran, must_run, run_mbd

CALIBRATION = 'calibration = ["p00", "p01", "p02"]\n'
SIZE = ("--set", "heads.width=64")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A new workspace; data files go beside it."""
    must_run(tmp_path, "init", "service")
    return tmp_path / "service"


def learn(root: Path, text: str, core: str = "none") -> Ran:
    source, how = clips.write(root.parent, text)
    must_run(root, "data", "import", source, "--spec", how)
    return run_mbd(root, "train", "--core", core, *SIZE, "--json")


def revoke_voice(root: Path, user: str) -> dict[str, object]:
    """Revoke, verify, check; what the certificate says."""
    done = must_run(root, "revoke", "--user", user, "--modality", "voice", "--json").json
    assert must_run(root, "verify", done["bundle"], "--json").json["verdict"] == "valid"
    assert must_run(root, "state", "check", "--json").json["ok"]
    return dict(done)


def test_classes_from_import_to_verified_certificate(root: Path, tmp_path: Path) -> None:
    assert learn(root, clips.spec(clips.CLASSIFICATION)).code == 0
    rows = must_run(root, "eval", "--json").json["rows"]
    assert [row["available"] for row in rows] == [["face"], ["voice"], ["face", "voice"]]
    for row in rows:
        assert set(row["metrics"]) == set(row["baseline"]) >= {"accuracy", "macroF1"}
        assert row["metrics"]["accuracy"] > row["baseline"]["accuracy"] + 0.2
    glad = np.array([0, 2, 0, 0], np.float32)
    np.savez(tmp_path / "in.npz", face=glad)
    command = ["predict", "--input", str(tmp_path / "in.npz"), "--user", "p07"]
    made = must_run(root, *command, "--json").json
    assert made["prediction"] == "glad"
    assert set(made["scores"]) == set(clips.CLASSES)
    assert max(made["scores"], key=made["scores"].get) == "glad"
    assert "prediction     glad" in must_run(root, *command).out
    done = revoke_voice(root, "p07")
    assert (done["class"], done["heads"]) == ("certified", ["face+voice", "voice"])


def test_a_calibration_cohort_is_enough_for_scaling(root: Path) -> None:
    assert learn(root, clips.spec(cohorts=CALIBRATION)).code == 0
    told = must_run(root, "data", "info", "--json").json["cohorts"]
    assert told == {"foundation": 0, "calibration": 3, "revocable": 9}
    assert must_run(root, "eval", "--cohort", "calibration", "--json").json["rows"]
    command = ["revoke", "--user", "p00", "--modality", "voice", "--json"]
    assert "calibration" in refused(run_mbd(root, *command), 5)["message"]
    assert revoke_voice(root, "p04")["class"] == "certified"


def test_declared_ranges_are_enough_and_then_everybody_may_revoke(root: Path) -> None:
    assert learn(root, clips.spec(cohorts="", more=clips.RANGES)).code == 0
    listed = must_run(root, "data", "subjects", "--cohort", "revocable", "--json").json["subjects"]
    assert [one["user"] for one in listed] == list(clips.PEOPLE)
    for user in clips.PEOPLE[:2]:
        assert revoke_voice(root, user)["class"] == "certified"


def test_without_ranges_or_cohorts_training_refuses_and_says_why(root: Path) -> None:
    error = refused(learn(root, clips.spec(cohorts="")), 5)
    assert "scale" in error["message"]
    for way in ("range", "calibration"):
        assert way in error["hint"]
    assert refused(run_mbd(root, "eval", "--json"), 4)["hint"] == "run `mbd train`"


def test_a_core_needs_a_foundation(root: Path) -> None:
    error = refused(learn(root, clips.spec(cohorts="", more=clips.RANGES), core="trained"), 5)
    assert "foundation" in error["message"]
