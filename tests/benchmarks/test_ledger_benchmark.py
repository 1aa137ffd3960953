"""The benchmark of the ledger runs as README says; its seconds are not judged here."""

from __future__ import annotations

import json
import math

import pytest

from tests.benchmarks.scripts import run_benchmark


@pytest.mark.slow
def test_a_quick_run_measures_both_databases_or_says_why_not() -> None:
    done = run_benchmark("ledger", "--quick", "--json")

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    measured = [one["database"] for one in found["appends"]]
    assert measured == (["SQLite"] if found["noPostgres"] else ["SQLite", "PostgreSQL"])
    assert [one["entries"] for one in found["sizes"]] == [50, 500]
    for one in found["sizes"]:
        assert 0 < one["hashes"] <= math.ceil(math.log2(one["entries"]))
        assert one["check_memory"] > 0


@pytest.mark.slow
def test_the_table_names_what_was_wanted() -> None:
    done = run_benchmark("ledger", "--entries", "60", "--entries", "20", "--quick")

    assert done.returncode == 0, done.stderr
    assert "20 entries  60 entries" in done.stdout
    assert "hashes of a proof, 60 entries  6   want at most 6: met" in done.stdout


def test_a_log_of_one_is_refused() -> None:
    assert run_benchmark("ledger", "--entries", "1").returncode == 2
