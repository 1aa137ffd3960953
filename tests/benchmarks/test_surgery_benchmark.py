"""The benchmark of updates runs as README says; its seconds are not judged here."""

from __future__ import annotations

import json

from tests.benchmarks.scripts import run_benchmark


def test_a_quick_run_measures_every_way_and_only_whole_solutions_are_accepted() -> None:
    done = run_benchmark("surgery", "--quick", "--json")

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    updates = report["updates"]
    sizes = {(one["width"], one["outputs"], one["subjects"]) for one in updates}
    assert sizes == {(d, k, n) for d in (160, 256) for k in (1, 8) for n in (1, 3)}
    ways = {one["method"] for one in updates}
    assert len(updates) == len(sizes) * len(ways) == len(sizes) * 10
    for one in updates:
        assert one["seconds"] > 0
        if one["method"] == "BLAS floor":
            assert one["residual"] is None
            continue
        partial = one["method"].endswith("d/2")
        assert one["accepted"] is not partial, one
        assert (one["noise_needed"] > 1.0) is partial, one
        assert one["residual"] > 0
    for engine in report["engine"]:
        assert engine["ratio"] > 0
        assert engine["memory"] >= 0
        assert engine["estimated"] > 0


def test_more_subjects_than_there_are_is_refused() -> None:
    done = run_benchmark("surgery", "--quick", "--subjects", "40")

    assert done.returncode == 2
    assert "--subjects" in done.stderr
