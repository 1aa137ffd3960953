"""Damage between two steps: what an interrupted request needs is not what it was."""

from __future__ import annotations

import shutil
from itertools import cycle, islice
from pathlib import Path

import pytest
from damage import (
    DAMAGES,
    DEATHS,
    damage_file,
    kill_database,
    lock_database,
    new_files,
    take_database,
)
from faults import Fault
from kills import Bench
from places import Place
from trials import RECOVERIES, Trial, strikes_by_stage

from tests.faults.conftest import new_trial

LEDGER, SECRETS = "ledger.db", "secrets.db"


@pytest.fixture(scope="module")
def interrupted(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trial]:
    """A request at each stage, by stage."""
    folder = tmp_path_factory.mktemp("interrupted")
    whole = new_trial(bench, bench.original.copy(folder / "whole"), "single")
    found = {}
    for stage, fault in strikes_by_stage(whole.place, whole.asked).items():
        trial = new_trial(bench, bench.original.copy(folder / stage), "single")
        trial.strike(fault)
        assert trial.stage == stage
        found[stage] = trial
    return found


def copy_of(trial: Trial, folder: Path) -> Trial:
    """Another trial at the same point."""
    other = Trial(trial.place.copy(folder), trial.asked, trial.whole)
    other.struck = trial.struck
    return other


@pytest.mark.parametrize(
    ("stage", "name", "death"),
    [
        ("received", LEDGER, "removed"),
        ("suppressed", LEDGER, "halved"),
        ("staged", SECRETS, "removed"),
        ("staged", LEDGER, "a folder"),
        ("activated", LEDGER, "emptied"),
        ("erased", LEDGER, "scribbled"),
        ("scanned", SECRETS, "scribbled"),
        ("logged", LEDGER, "removed"),
    ],
)
def test_without_its_database_a_request_waits_and_that_is_said(
    interrupted: dict[str, Trial], tmp_path: Path, stage: str, name: str, death: str
) -> None:
    _die(copy_of(interrupted[stage], tmp_path / "copy"), name, death)


@pytest.mark.slow
@pytest.mark.parametrize("name", [LEDGER, SECRETS])
def test_without_a_database_a_request_waits_at_every_step(
    interrupted: dict[str, Trial], tmp_path: Path, name: str
) -> None:
    deaths = cycle(DEATHS)
    for stage, trial in interrupted.items():
        for death in islice(deaths, 2):
            _die(copy_of(trial, tmp_path / stage), name, death)
            shutil.rmtree(tmp_path / stage)


def _die(trial: Trial, name: str, death: str) -> None:
    kill_database(trial, name, DEATHS[death])
    trial.recover(RECOVERIES[0])
    trial.judge()


@pytest.mark.parametrize("stage", ["suppressed", "activated"])
def test_while_somebody_holds_the_database_a_request_waits_and_readers_go_on(
    interrupted: dict[str, Trial], tmp_path: Path, stage: str
) -> None:
    trial = copy_of(interrupted[stage], tmp_path / "copy")
    lock_database(trial, LEDGER)
    trial.recover(RECOVERIES[0])
    trial.judge()


def test_a_database_that_is_taken_away_from_a_running_revocation_costs_nothing(
    trial: Trial,
) -> None:
    take_database(trial, Fault.parse("stop@rename:1:models"))
    trial.recover(RECOVERIES[0])
    trial.judge()


@pytest.mark.parametrize(
    ("stage", "part", "damage"),
    [
        ("staged", "staging", "flipped"),
        ("staged", "models", "flipped"),
        ("staged", "state", "removed"),
        ("activated", "staging", "removed"),
        ("activated", "models", "halved"),
    ],
)
def test_a_damaged_file_is_refused_or_made_again(
    interrupted: dict[str, Trial],
    bench: Bench,
    tmp_path: Path,
    stage: str,
    part: str,
    damage: str,
) -> None:
    trial = interrupted[stage]
    files = [path.relative_to(trial.place.service) for path in new_files(trial, bench.original)]
    file = next(path for path in files if path.parts[0] == part)
    _damage(copy_of(trial, tmp_path / "copy"), file, damage)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["suppressed", "staged", "activated"])
def test_any_damaged_file_is_refused_or_made_again(
    interrupted: dict[str, Trial], bench: Bench, tmp_path: Path, stage: str
) -> None:
    trial = interrupted[stage]
    for path, damage in zip(new_files(trial, bench.original), cycle(DAMAGES), strict=False):
        file = path.relative_to(trial.place.service)
        _damage(copy_of(trial, tmp_path / "copy"), file, damage)
        shutil.rmtree(tmp_path / "copy")


def _damage(trial: Trial, file: Path, damage: str) -> None:
    place: Place = trial.place
    damage_file(trial, place.service / file, DAMAGES[damage])
    trial.recover(RECOVERIES[0])
    trial.judge()
