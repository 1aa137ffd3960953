"""Killed by a signal, at any instant: the request is finished exactly once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import kills
import pytest
from faults import Fault
from kills import Bench, plan_trial, run_trial
from places import Place
from trials import RECOVERIES, Trial

from tests.faults.conftest import new_trial

SEED = 20


@pytest.mark.parametrize("number", range(9))
def test_killed_at_random_a_request_is_finished_once(
    bench: Bench, tmp_path: Path, number: int
) -> None:
    planned = plan_trial(bench, number, SEED, tuple(bench.whole), None)
    outcome = run_trial(bench, bench.original.commands, tmp_path / "trial", planned)
    assert outcome.broken == "", f"{outcome.fault}, then {outcome.recovery}"


def test_a_release_that_is_lost_is_drawn_again_and_costs_more(trial: Trial) -> None:
    """From the same state nothing can be drawn twice at the price of once."""
    outcome = trial.run(Fault.parse("stop@create:1:models"), RECOVERIES[0])
    assert (outcome.stage, outcome.redrawn) == ("suppressed", True)
    assert outcome.attempts == 2
    assert outcome.broken == "", "the judge compares attempts and epsilon"


def test_a_cancelled_request_s_release_counts_for_the_next_one(
    trial: Trial, bench: Bench, tmp_path: Path
) -> None:
    place, asked = trial.place, trial.asked
    trial.strike(Fault.parse("kill@rename:1:models"))
    assert trial.stage == "suppressed"
    place.must("revoke", "--cancel", asked.requests[0])
    again = place.must(*asked.arguments[:-1], "r-1")
    assert float(again["epsilon"]) > trial.whole.epsilon


@pytest.mark.slow
def test_the_script_runs_as_its_readme_says(bench: Bench) -> None:
    script = Path(kills.__file__)
    command = [sys.executable, str(script), "--trials", "2", "--kind", "single", "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    assert [trial["number"] for trial in report["trials"]] == [0, 1]
    assert report["broken"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("call", ["fsync", "rename", "mkdir", "truncate"])
def test_killed_at_every_call_a_request_is_finished_once(
    bench: Bench, tmp_path: Path, call: str
) -> None:
    _sweep(bench, tmp_path, "single", call, 1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["batch", "retrain"])
@pytest.mark.parametrize(("call", "step"), [("fsync", 12), ("rename", 5), ("mkdir", 3)])
def test_killed_anywhere_requests_of_other_kinds_are_finished_once(
    bench: Bench, tmp_path: Path, kind: str, call: str, step: int
) -> None:
    _sweep(bench, tmp_path, kind, call, step)


@pytest.mark.slow
@pytest.mark.parametrize("call", ["write", "unlink", "create"])
def test_killed_at_every_ninth_call_a_request_is_finished_once(
    bench: Bench, tmp_path: Path, call: str
) -> None:
    _sweep(bench, tmp_path, "single", call, 9)


def _sweep(bench: Bench, folder: Path, kind: str, call: str, step: int) -> None:
    """Kill at the first call of this kind, the one `step` later, and so on to the end."""
    for number in range(1, 10_000, step):
        place: Place = bench.original.copy(folder / str(number))
        action = ("kill", "stop", "tear")[number % 3]
        fault = Fault(action=action, call=call, number=number)
        recovery = RECOVERIES[number % len(RECOVERIES)]
        outcome = new_trial(bench, place, kind).run(fault, recovery)
        assert outcome.broken == "", f"{kind}, {fault}, then {recovery.name}: {outcome.broken}"
        shutil.rmtree(place.folder)
        if outcome.ended != "killed":
            assert number > 3
            return
