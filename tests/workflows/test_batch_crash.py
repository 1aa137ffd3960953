"""Killed at any instant, a batch is finished by the next command: every request exactly once."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from mbd.database.journal import SHARED, STAGES
from tests.conftest import SERVICE, STATE
from tests.workflows.children import (
    KILLED,
    Prelude,
    child_mbd,
    die_after,
    die_before,
    table_of,
)
from tests.workflows.conftest import Spread, spread_at
from tests.workflows.disk import (
    MODALITY,
    assert_finished,
    assert_nothing_unnoised,
    secrets_of,
    stages_of,
)
from tests.workspaces import must_run

STAGE = "mbd.workflows.stage"
STEPS = "mbd.workflows.steps"
PAPERS = "mbd.workflows.papers"
ERASURE = "mbd.data.erasure"
BATCHES = "mbd.database.batches.Batches"
JOURNAL = "mbd.database.journal.Journal"
REDRAWN = 2  # attempts, where the kill came after an attempt was counted and before its record


@dataclass(frozen=True)
class Moment:
    """An instant of the walk of requests that are in two buckets."""

    name: str
    kill: Prelude
    first: str
    """How far the requests in the first bucket are."""
    second: str
    """Those in the second one."""
    attempts: int = 1


def _together(name: str, kill: Prelude, stage: str, attempts: int = 1) -> Moment:
    return Moment(name, kill, stage, stage, attempts)


def _shared(before: str, reached: str) -> list[Moment]:
    """Around the record of a step that all take together."""
    lost = partial(die_before, BATCHES, "advance", only=reached)
    attempts = REDRAWN if reached == "staged" else 1
    return [
        _together(f"{reached} done, not recorded", lost, before, attempts),
        _together(f"{reached} recorded", partial(die_after, table_of(before), before), reached),
    ]


def _apart(before: str, reached: str) -> list[Moment]:
    """Around the record of a step that each bucket takes for itself."""
    name, owner = ("complete", None) if reached == STAGES[-1] else ("advance", reached)
    lost = partial(die_before, JOURNAL, name, only=owner)
    after = partial(die_after, table_of(before), before)
    return [
        Moment(f"{reached} by the first, not recorded", lost, before, "scanned"),
        Moment(f"{reached} by the first", after, reached, "scanned"),
        Moment(f"{reached} by the second", partial(after, call=2), STAGES[-1], reached),
    ]


MOMENTS = [
    _together("received", partial(die_before, table_of("received"), "received"), "received"),
    *(moment for one, two in pairwise(SHARED) for moment in _shared(one, two)),
    *(moment for one, two in pairwise(STAGES[len(SHARED) - 1 :]) for moment in _apart(one, two)),
    _together("list of one bucket written", partial(die_after, f"{ERASURE}.BucketErasure", "save"),
              "suppressed"),
    _together("attempt counted", partial(die_after, STAGE, "_count_attempt"),
              "suppressed", REDRAWN),
    _together("records of one bucket erased, rows not", partial(die_before, ERASURE, "_erase_rows"),
              "activated"),
    _together("one bucket erased", partial(die_before, ERASURE, "_erase_records", call=2),
              "activated"),
    _together("one bucket searched", partial(die_before, STEPS, "scan", call=2), "erased"),
    Moment("published, no bundle", partial(die_before, "mbd.ledger.log.Log", "proof_bundles"),
           "logged", "scanned"),
    Moment("one bundle, no receipt", partial(die_after, PAPERS, "write_all_atomically"),
           "logged", "scanned"),
    Moment("receipts, no salts", partial(die_before, "mbd.database.secrets.Secrets",
           "put_all_salts"), "logged", "scanned"),
    Moment("list of the first removed", partial(die_after, PAPERS, "remove_file"),
           "logged", "scanned"),
    Moment("staging removed, not recorded", partial(die_after, PAPERS, "remove_folder"),
           STAGES[-1], "logged"),
]  # fmt: skip

QUICK = {
    "attempt counted",
    "one bucket erased",
    "logged by the first, not recorded",
    "completed by the first",
}

NEXT = (["resume"], ["data", "info"], ["eval"])


@pytest.mark.parametrize(
    ("moment", "command"),
    [
        pytest.param(
            moment,
            NEXT[number % len(NEXT)],
            id=moment.name,
            marks=() if moment.name in QUICK else pytest.mark.slow,
        )
        for number, moment in enumerate(MOMENTS)
    ],
)
def test_killed_anywhere_the_next_command_finishes_every_request_of_a_batch_once(
    spread: Spread, moment: Moment, command: list[str]
) -> None:
    workspace, users = spread.workspace, spread.users[:3]
    root, secrets = workspace.root, secrets_of(workspace, *users)
    buckets = Counter(sorted(map(workspace.session().store().bucket_of, users)))
    expected = Counter[str]()
    for stage, people in zip((moment.first, moment.second), buckets.values(), strict=True):
        expected[stage] += people

    ran = child_mbd(root, "revoke", "--batch", batch_of(root, *users), prelude=moment.kill)

    assert ran.code == KILLED
    del expected[STAGES[-1]]
    assert Counter(stages_of(workspace)) == expected
    assert assert_nothing_unnoised(workspace, secrets) >= len(secrets.before)
    must_run(root, *command)
    stated = assert_finished(workspace, users, attempts=moment.attempts)
    assert_nothing_unnoised(workspace, secrets)
    epsilons = {float(one["guarantee"]["epsilon"]) for one in stated}
    assert all((epsilon > 1) == (moment.attempts > 1) for epsilon in epsilons)
    assert must_run(root, "resume", "--json").json["finished"] == []
    again = must_run(root, "revoke", "--batch", batch_of(root, *users), "--json").json["rows"]
    assert sorted(row["certificateId"] for row in again) == [s["certificateId"] for s in stated]


def batch_of(root: Path, *users: str) -> str:
    """A file that asks for the channel of these people."""
    path = root.parent / "batch.csv"
    lines = [f"{user},{MODALITY},r-{user}" for user in users]
    path.write_text("\n".join(["user,modality,requestId", *lines]))
    return str(path)


@pytest.mark.slow
def test_killed_again_and_again_a_batch_still_ends(spread: Spread) -> None:
    """Each resume gets a step further, each staging that is lost costs a draw."""
    workspace, users = spread.workspace, spread.users[:3]
    root = workspace.root
    lost = partial(die_before, BATCHES, "advance", only="staged")
    kills = [
        lost,
        lost,
        partial(die_after, table_of("staged"), "staged"),
        partial(die_before, ERASURE, "_erase_records", call=2),
        partial(die_after, table_of("scanned"), "scanned"),
        partial(die_after, table_of("signed"), "signed"),
        partial(die_before, PAPERS, "write_all_atomically", call=2),
    ]
    command = ["revoke", "--batch", batch_of(root, *users)]
    for kill in kills:
        assert child_mbd(root, *command, prelude=kill).code == KILLED
        command = ["resume"]
    must_run(root, *command)
    assert_finished(workspace, users, attempts=3)


@pytest.mark.slow
def test_killed_at_any_flush_of_a_file_or_folder_a_batch_is_finished_once(
    original_spread: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 400, 4):
        folder = tmp_path / str(number)
        shutil.copytree(original_spread, folder)
        monkeypatch.setenv("XDG_STATE_HOME", str(folder / STATE))
        there = spread_at(folder / SERVICE)
        root, users = there.workspace.root, there.users[:3]
        kill = partial(die_before, "os", "fsync", call=number)
        command = ["revoke", "--batch", batch_of(root, *users)]
        ran = child_mbd(root, *command, prelude=kill)
        if ran.code == 0:
            assert number > 20, "that many files are written at least"
            return
        assert ran.code == KILLED
        must_run(root, *NEXT[number % len(NEXT)])
        must_run(root, *command)
        entries = must_run(root, "ledger", "list", "--json").json["entries"]
        drawn = sum(entry["type"] == "attempt" for entry in entries)
        assert_finished(there.workspace, users, attempts=drawn)
        shutil.rmtree(folder)
