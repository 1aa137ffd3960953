"""The benchmark of verifying runs as README says; its seconds are not judged here."""

from __future__ import annotations

import json

from tests.benchmarks.scripts import run_benchmark


def test_a_quick_run_verifies_every_certificate_it_made() -> None:
    done = run_benchmark("verify", "--quick", "--json")

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["bundles"] == 200
    assert found["ratio"] > 1
    assert found["command"] > 0


def test_under_one_checkpoint_its_signature_counts_once() -> None:
    done = run_benchmark("verify", "--bundles", "8", "--one-checkpoint", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["one_checkpoint"] is True


def test_fewer_bundles_than_classes_are_refused() -> None:
    done = run_benchmark("verify", "--bundles", "3")

    assert done.returncode == 2
    assert "--bundles" in done.stderr
