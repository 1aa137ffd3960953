"""The benchmark of batches runs as README says; its seconds are not judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "benchmarks" / "batch.py"


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_a_quick_run_issues_a_certificate_for_each_of_one_release() -> None:
    done = _run("--quick", "--json")

    assert done.returncode == 0, done.stderr
    sizes = json.loads(done.stdout)["sizes"]
    assert [one["requests"] for one in sizes] == [20, 60]
    for one in sizes:
        assert one["batch"]["releases"] == 1
        assert one["batch"]["certificates"] == one["requests"]
        assert one["equal"]
        assert one["batch"]["memory"] > 0


def test_a_batch_of_one_is_refused() -> None:
    done = _run("--requests", "1")

    assert done.returncode == 2
    assert "--requests" in done.stderr
