"""The benchmark of revocations runs as README says; what it measures is not judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "benchmarks" / "revoke.py"


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_a_quick_run_reports_every_number_for_both_sizes(tmp_path: Path) -> None:
    done = _run("--quick", "--json", "--keep", str(tmp_path / "kept"))

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [size["records"] for size in report["sizes"]] == [100, 200]
    for size in report["sizes"]:
        assert size["subjects"] * 20 == size["records"]
        assert set(size["seconds"]) == {"engine", "total", "rebuild", "retraining"}
        assert 0 < size["seconds"]["engine"] < size["seconds"]["total"]
        assert size["seconds"]["rebuild"] > 0
        parts = size["retraining"]
        assert size["seconds"]["retraining"] == parts["deep"] + parts["heads"]
        assert parts["epochs"] == 2
        assert not parts["toTheEnd"], "two epochs must not pass for the whole reference"
    assert report["flat"] > 0
    issued = list((tmp_path / "kept" / "records-100" / "certs").iterdir())
    assert len(issued) == 2, "revocations are real: each leaves a certificate"


def test_more_revocations_than_revocable_subjects_are_refused() -> None:
    done = _run("--quick", "--records", "40", "--revocations", "9")

    assert done.returncode != 0
    assert "revocable subjects" in done.stderr
