"""The benchmark of revocations runs as README says; what it measures is not judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "benchmarks" / "revoke.py"


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def _like_mosi(folder: Path) -> Path:
    """A folder with the files that `--mosi` wants: random numbers, 12 people, 10 records each."""
    rng, people, each = np.random.default_rng(0), 12, 10
    records = people * each
    np.savez(
        folder / "mosi_utt.npz",
        record_id=np.array([f"r{i}" for i in range(records)]),
        user_id=np.repeat(np.arange(people), each),
        user_name=np.array([f"person {i}" for i in range(people)]),
        split_within_user=np.tile([0] * 7 + [1] + [2] * 2, people),
        label_score=rng.uniform(-3, 3, records),
        text=rng.normal(size=(records, 312)),
        audio=rng.normal(size=(records, 73)),
    )
    (folder / "mosi.toml").write_text(
        """
        task = "regression"
        label = "label_score"
        label_range = [-3.0, 3.0]
        record_id = "record_id"
        subject = { index = "user_id", names = "user_name" }
        split = { array = "split_within_user", train = 0, valid = 1, test = 2 }
        foundation = { fraction = 0.4, seed = 0 }
        [modalities]
        text = ["text"]
        audio = ["audio"]
        """
    )
    return folder


@pytest.mark.slow
def test_a_quick_run_reports_every_number_for_every_size(tmp_path: Path) -> None:
    done = _run("--quick", "--json", "--keep", str(tmp_path / "kept"))

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [size["records"] for size in report["sizes"]] == [100, 200, 400]
    for size in report["sizes"]:
        assert size["subjects"] * 20 == size["records"]
        assert set(size["seconds"]) == {"engine", "total", "rebuild", "retraining"}
        assert 0 < size["seconds"]["engine"] < size["seconds"]["total"]
        assert size["seconds"]["rebuild"] > 0
        parts = size["retraining"]
        assert size["seconds"]["retraining"] == parts["deep"] + parts["heads"]
        assert parts["epochs"] == 2
        assert not parts["toTheEnd"], "two epochs must not pass for the whole reference"
        assert size["cheaper"] == size["seconds"]["retraining"] / size["seconds"]["engine"]
    estimated = [size["retraining"]["estimated"] for size in report["sizes"]]
    assert estimated == [False, False, True], "what was multiplied says so"
    assert report["processes"] is None
    assert report["flat"] > 0
    issued = list((tmp_path / "kept" / "records-100" / "certs").iterdir())
    assert len(issued) == 2, "revocations are real: each leaves a certificate"


@pytest.mark.slow
def test_a_revocation_is_timed_as_a_process_from_start_to_exit(tmp_path: Path) -> None:
    done = _run("--quick", "--records", "100", "--mosi", str(_like_mosi(tmp_path)), "--json")

    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["processes"]
    seconds, memory = found["seconds"], found["memory"]
    assert (found["width"], found["heads"], len(found["each"])) == (448, 2, 2)
    assert 0 < seconds["engine"] < seconds["walk"] < seconds["process"]
    assert seconds["floor"] > 0
    assert seconds["disk"] > 0
    assert 0 < seconds["imports"] < seconds["process"]
    assert 3 * 448 * 449 * 8 < memory["state"] < 3 * 448 * 450 * 8, "G and H of three heads"
    assert memory["peak"] == max(one["memory"] for one in found["each"])
    assert memory["peak"] > memory["imports"] > 10**7
    assert found["ofState"] == memory["peak"] / memory["state"]
    fastest = min(one["engine"] for one in found["each"])
    assert found["ofFloor"] == fastest / seconds["floor"]


def test_only_large_sizes_are_refused_because_their_epochs_are_unknown() -> None:
    done = _run("--quick", "--records", "400")

    assert done.returncode != 0
    assert "one size below 400 records is needed" in done.stderr


def test_more_revocations_than_revocable_subjects_are_refused() -> None:
    done = _run("--quick", "--records", "40", "--revocations", "9")

    assert done.returncode != 0
    assert "revocable subjects" in done.stderr
