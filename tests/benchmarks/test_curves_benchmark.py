"""The curves run as README says; what they measure is not judged here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.scripts import run_benchmark


@pytest.mark.slow
def test_a_quick_run_without_data_sets_measures_the_synthetic_one(tmp_path: Path) -> None:
    done = run_benchmark("curves", "--quick", "--data", str(tmp_path))

    assert done.returncode == 0, done.stderr
    assert "RAVDESS left out: ravdess_av.npz is not in" in done.stderr
    for line in ("foundation 0.5: core + heads", "deep, trained on everybody", "d = 4096"):
        assert line in done.stdout
    assert done.stdout.count(", chosen; mae on test rows") == 1


def test_an_unknown_table_is_refused() -> None:
    assert run_benchmark("curves", "--table", "other").returncode == 2
