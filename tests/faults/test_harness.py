"""The harness itself: faults strike where they say, and a judge that is lied to notices."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from commands import KILLED
from faults import COUNT, Fault
from kills import Bench
from places import Broken, Place
from trials import RECOVERIES, Trial, strikes_by_stage

from mbd.database.journal import STAGES
from tests.faults.conftest import new_trial


@pytest.mark.parametrize(
    "text", ["kill@fsync:17", "enospc@grow:30+", "eio@fsync:2:ledger.db", "tear@write:1+:a:b"]
)
def test_a_fault_is_a_line_of_text_and_back(text: str) -> None:
    assert str(Fault.parse(text)) == text


@pytest.mark.parametrize("text", ["", "kill", "kill@fsync", "melt@fsync:1", "kill@sleep:1"])
def test_what_is_no_fault_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"fault|want"):
        Fault.parse(text)


def test_the_same_revocation_makes_the_same_calls_and_sqlite_s_are_among_them(
    bench: Bench, trial: Trial, tmp_path: Path
) -> None:
    places = [trial.place, bench.original.copy(tmp_path / "other")]
    traces = [place.folder / "trace" for place in places]
    for place, trace in zip(places, traces, strict=True):
        assert place.run(*trial.asked.arguments, fault=COUNT, trace=trace).code == 0
    one, two = ([line.split()[0] for line in trace.read_text().splitlines()] for trace in traces)
    assert one == two
    kinds = Counter(one)
    assert all(kinds[kind] for kind in ("write", "fsync", "rename", "unlink", "create", "mkdir"))
    lines = traces[0].read_text().splitlines()
    for line in (
        "fsync /service/ledger.db-wal",
        "write /service/ledger.db",
        "fsync /service/secrets.db-wal",
        "fsync /service/data/store",
    ):
        assert line in lines


def test_a_fault_strikes_the_call_it_names(place: Place) -> None:
    shown = ["data", "info", "--json"]
    assert place.run(*shown, fault=Fault.parse("kill@read:1:manifest")).code == KILLED
    refused = place.run(*shown, fault=Fault.parse("eio@read:1+:manifest"))
    assert refused.code == 1
    assert "manifest.json: Input/output error" in refused.json["error"]["message"]
    assert place.run(*shown, fault=Fault.parse("kill@rename:1")).code == 0, "it renames nothing"


def test_a_revocation_is_stopped_at_every_stage(trial: Trial) -> None:
    found = strikes_by_stage(trial.place, trial.asked)
    assert list(found) == ["unknown", *STAGES] or list(found) == list(STAGES)


@pytest.fixture(scope="module")
def finished(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """A revocation that nothing happened to, and that the judge finds nothing wrong with."""
    place = bench.original.copy(tmp_path_factory.mktemp("finished") / "place")
    trial = new_trial(bench, place, "single")
    outcome = trial.run(Fault.parse("kill@fsync:1000"), RECOVERIES[0])
    assert (outcome.stage, outcome.ended, outcome.broken) == ("completed", "exit 0", "")
    return trial


def _remove_a_certificate(place: Place) -> None:
    next((place.service / "certs").iterdir()).unlink()


def _copy_a_certificate(place: Place) -> None:
    for name in ("certs", "receipts"):
        file = next((place.service / name).iterdir())
        shutil.copy(file, file.with_name(f"7{file.name[1:]}"))


def _leave_a_model(place: Place) -> None:
    model = next((place.service / "models").iterdir())
    shutil.copytree(model, model.with_name(f"7{model.name[1:]}"))


def _leave_a_list(place: Place) -> None:
    (place.service / "staging" / "list").mkdir()


def _alter_the_state(place: Place) -> None:
    folder = next((place.service / "state").iterdir())
    file = next(folder.iterdir())
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def _state_another_attempt(place: Place) -> None:
    file = next((place.service / "certs").iterdir())
    bundle = json.loads(file.read_bytes())
    bundle["envelope"]["signatures"] = []
    file.write_text(json.dumps(bundle))


@pytest.mark.parametrize(
    "lie",
    [
        _remove_a_certificate,
        _copy_a_certificate,
        _leave_a_model,
        _leave_a_list,
        _alter_the_state,
        _state_another_attempt,
    ],
)
def test_the_judge_notices(finished: Trial, tmp_path: Path, lie: Callable[[Place], None]) -> None:
    trial = Trial(finished.place.copy(tmp_path / "copy"), finished.asked, finished.whole)
    trial.struck = finished.struck
    lie(trial.place)
    with pytest.raises(Broken):
        trial.judge()


def test_the_judge_knows_that_a_lost_release_costs_more(trial: Trial) -> None:
    trial.whole = replace(trial.whole, epsilon=100.0)
    outcome = trial.run(Fault.parse("kill@rename:1:models"), RECOVERIES[0])
    assert outcome.redrawn
    assert "as one does" in outcome.broken
