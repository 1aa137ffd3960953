"""The benchmark of the store runs as README says; its seconds are not judged here."""

from __future__ import annotations

import json

from tests.benchmarks.scripts import run_benchmark


def test_a_quick_run_measures_every_step_and_an_erasure_rewrites_two_files() -> None:
    done = run_benchmark("store", "--quick", "--json")

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [size["records"] for size in report["sizes"]] == [200, 1000]
    for size in report["sizes"]:
        steps = size["steps"]
        assert list(steps) == ["import", "add", "erase", "scan"]
        assert all(step["memory"] > 0 for step in steps.values())
        assert all(cost["seconds"] > 0 for step in steps.values() for cost in step["each"])
        assert len(steps["erase"]["each"]) == 2
        for cost in steps["erase"]["each"]:
            assert cost["files"] == 2, "one file of records and one of prepared rows"
            assert cost["written"] > cost["fileBytes"] > 0
        for cost in steps["scan"]["each"]:
            assert cost["files"] == 0
            assert cost["written"] == 0
            assert cost["read"] > 0
    small, large = report["sizes"]
    assert large["steps"]["erase"]["each"][0]["filesInAll"] > 2
    read = [size["steps"]["scan"]["each"][0]["read"] for size in (small, large)]
    assert read[1] > 2 * read[0], "a scan reads every file"
    assert set(report["ratios"]) == set(report["growth"]) == set(small["steps"])


def test_a_size_without_five_people_is_refused() -> None:
    done = run_benchmark("store", "--records", "99")

    assert done.returncode == 2
    assert "--records" in done.stderr
