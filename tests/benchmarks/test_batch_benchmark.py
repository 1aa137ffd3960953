"""The benchmark of batches runs as README says; its seconds are not judged here."""

from __future__ import annotations

import json

import pytest

from tests.benchmarks.scripts import run_benchmark


@pytest.mark.slow
def test_a_quick_run_issues_a_certificate_for_each_of_one_release() -> None:
    done = run_benchmark("batch", "--quick", "--json")

    assert done.returncode == 0, done.stderr
    sizes = json.loads(done.stdout)["sizes"]
    assert [one["requests"] for one in sizes] == [20, 60]
    for one in sizes:
        assert one["batch"]["releases"] == 1
        assert one["batch"]["certificates"] == one["requests"]
        assert one["equal"]
        assert one["batch"]["memory"] > 0


def test_a_batch_of_one_is_refused() -> None:
    done = run_benchmark("batch", "--requests", "1")

    assert done.returncode == 2
    assert "--requests" in done.stderr
