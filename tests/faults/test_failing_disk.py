"""A disk that is full or fails: a clear error; once it is mended, the request is finished once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from faults import Fault
from kills import Bench
from places import Place
from trials import RECOVERIES, Outcome, Trial

from tests.faults.conftest import new_trial


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("single", "enospc@grow:60+"),
        ("batch", "enospc@grow:150+"),
        ("single", "enospc@write:1:needles"),
        ("single", "eio@fsync:1+:models"),
        ("batch", "eio@fsync:1:ledger.db-wal"),
        ("single", "eio@fsync:9+:ledger.db-wal"),
        ("single", "eio@unlink:1+:models"),
        ("single", "eio@rename:1:certs"),
        ("retrain", "enospc@grow:150+"),
        ("retrain", "eio@fsync:1:core"),
    ],
)
def test_refused_by_the_disk_a_request_is_finished_once(
    bench: Bench, place: Place, kind: str, fault: str
) -> None:
    outcome = new_trial(bench, place, kind).run(Fault.parse(fault), RECOVERIES[0])
    assert outcome.broken == ""


def test_a_reader_on_a_full_disk_says_so_or_goes_on_without_the_channel(trial: Trial) -> None:
    trial.strike(Fault.parse("kill@create:1:models"))
    assert trial.stage == "suppressed"
    for number in (1, 5, 20, 80):
        full = Fault.parse(f"enospc@grow:{number}+")
        trial.serve(fault=full)
    assert trial.place.run("resume", fault=Fault.parse("enospc@grow:40+")).code == 1
    trial.recover(RECOVERIES[0])
    trial.judge()


@pytest.mark.slow
@pytest.mark.parametrize(("call", "step"), [("grow", 17), ("fsync", 8)])
@pytest.mark.parametrize("kind", ["single", "batch", "retrain"])
def test_full_from_any_call_on_a_request_is_finished_once(
    bench: Bench, tmp_path: Path, kind: str, call: str, step: int
) -> None:
    step *= 1 if kind == "single" else 4
    for number in range(1, 10_000, step):
        fault = Fault(action="enospc", call=call, number=number, lasting=True)
        outcome = _run(bench, tmp_path / str(number), kind, fault, number)
        if outcome.ended == "exit 0":
            assert number > 20
            return


@pytest.mark.slow
@pytest.mark.parametrize(("call", "step"), [("fsync", 4), ("change", 17)])
def test_one_call_that_fails_delays_a_request_and_loses_nothing(
    bench: Bench, tmp_path: Path, call: str, step: int
) -> None:
    for number in range(1, bench.whole["single"].changes, step):
        fault = Fault(action="eio", call=call, number=number)
        outcome = _run(bench, tmp_path / str(number), "single", fault, number)
        if call == "fsync" and number > 150:
            assert outcome.ended == "exit 0", "there are not so many"
            return


def _run(bench: Bench, folder: Path, kind: str, fault: Fault, number: int) -> Outcome:
    recovery = RECOVERIES[number % len(RECOVERIES)]
    outcome = new_trial(bench, bench.original.copy(folder), kind).run(fault, recovery)
    assert outcome.broken == "", f"{kind}, {fault}, then {recovery.name}: {outcome.broken}"
    shutil.rmtree(folder)
    return outcome
