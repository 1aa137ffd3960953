"""The benchmark of a training runs as README says; its seconds are not judged here."""

from __future__ import annotations

import json

import pytest

from tests.benchmarks.scripts import run_benchmark


@pytest.mark.slow
def test_a_quick_run_measures_a_training_and_a_rate() -> None:
    done = run_benchmark("training", "--quick", "--json", "--turns", "2")

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    (one,) = report["trainings"]
    assert one["core"] == "auto"
    assert one["chosen"] in ("trained", "none")
    assert 0 < one["in_epochs"] < one["inside"] < one["seconds"]
    assert one["epochs"] >= 2
    assert one["cpu"] > 0
    assert report["rate"]["width"] == 256
    for name in ("gflops", "ofGemm", "ofGemmFromRows"):
        assert report[name] > 0
