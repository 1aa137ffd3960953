"""Killed at any instant, a revocation is finished by the next command, exactly once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from mbd.database.journal import SHARED, STAGES
from tests.workflows.children import (
    KILLED,
    Prelude,
    child_mbd,
    die_after,
    die_before,
    table_of,
)
from tests.workflows.disk import (
    assert_finished_once,
    assert_nothing_unnoised,
    copy_of,
    revoke,
    secrets_of,
    stage_of,
)
from tests.workspaces import TrainedWorkspace, must_run, run_mbd

STEPS = "mbd.workflows.steps"
STAGE = "mbd.workflows.stage"
PAPERS = "mbd.workflows.papers"
BATCHES = "mbd.database.batches.Batches"
JOURNAL = "mbd.database.journal.Journal"
REDRAWN = 2  # attempts, where the kill came after an attempt was counted and before its record


@dataclass(frozen=True)
class Moment:
    """An instant of the walk."""

    name: str
    kill: Prelude
    stage: str
    """How far the journal says the request is."""
    attempts: int = 1
    """How many the certificate must state."""


def _recorded(stage: str, reached: str) -> Moment:
    kill = partial(die_after, table_of(stage), stage)
    return Moment(f"{reached} recorded", kill, reached)


def _unrecorded(stage: str, reached: str) -> Moment:
    owner = BATCHES if reached in SHARED else JOURNAL
    kill = partial(die_before, owner, "advance", only=reached)
    attempts = REDRAWN if reached == "staged" else 1
    return Moment(f"{reached} done, not recorded", kill, stage, attempts)


def _inside(name: str, stage: str, kill: Prelude, attempts: int = 1) -> Moment:
    return Moment(name, kill, stage, attempts)


BOUNDARIES = [
    Moment("received", partial(die_before, f"{STEPS}.STEPS", "received"), "received"),
    *(
        make(stage, reached)
        for stage, reached in pairwise(STAGES[:-1])
        for make in (_unrecorded, _recorded)
    ),
    Moment("completed, not recorded", partial(die_before, JOURNAL, "complete"), "logged"),
    Moment("completed recorded", partial(die_after, f"{PAPERS}.PAPERS", "logged"), "completed"),
]

INSIDE = [
    _inside("list of what to erase written", "suppressed",
            partial(die_before, STAGE, "stage_release")),
    _inside("state written, nothing drawn", "suppressed",
            partial(die_before, STAGE, "_count_attempt")),
    _inside("attempt counted, nothing drawn", "suppressed",
            partial(die_after, STAGE, "_count_attempt"), REDRAWN),
    _inside("noise drawn, no head written", "suppressed",
            partial(die_before, "mbd.workflows.staging", "derive_model"), REDRAWN),
    _inside("records erased, rows not", "activated",
            partial(die_before, "mbd.data.erasure", "_erase_rows")),
    _inside("old model removed, old state not", "activated",
            partial(die_before, STEPS, "remove_folder", call=2)),
    _inside("published, no bundle", "logged",
            partial(die_before, "mbd.ledger.log.Log", "proof_bundles")),
    _inside("bundle, no receipt", "logged",
            partial(die_after, PAPERS, "write_all_atomically")),
    _inside("receipt, no salts", "logged",
            partial(die_before, "mbd.database.secrets.Secrets", "put_all_salts")),
    _inside("completed, write-ahead log not emptied", "completed",
            partial(die_before, "mbd.database.engine.Database", "purge", call=2)),
]  # fmt: skip

QUICK = {
    "received",
    "suppressed recorded",
    "attempt counted, nothing drawn",
    "noise drawn, no head written",
    "staged done, not recorded",
    "staged recorded",
    "activated recorded",
    "records erased, rows not",
    "scanned recorded",
    "logged done, not recorded",
    "logged recorded",
    "completed, not recorded",
    "completed, write-ahead log not emptied",
}

NEXT = (["data", "info"], ["resume"], ["predict", "--record", "r000000"], ["eval"])

MOMENTS = [
    pytest.param(
        moment,
        NEXT[number % len(NEXT)],
        id=moment.name,
        marks=() if moment.name in QUICK else pytest.mark.slow,
    )
    for number, moment in enumerate([*BOUNDARIES, *INSIDE])
]


@pytest.mark.parametrize(("moment", "command"), MOMENTS)
def test_killed_anywhere_the_next_command_finishes_the_request_once(
    trained_workspace: TrainedWorkspace, moment: Moment, command: list[str]
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    secrets = secrets_of(trained_workspace, user)

    assert child_mbd(root, *revoke(user), prelude=moment.kill).code == KILLED

    assert stage_of(trained_workspace) == moment.stage
    assert assert_nothing_unnoised(trained_workspace, secrets) >= len(secrets.before)
    must_run(root, *command)
    stated = assert_finished_once(trained_workspace, user, attempts=moment.attempts)
    assert_nothing_unnoised(trained_workspace, secrets)
    assert (float(stated["guarantee"]["epsilon"]) > 1) == (moment.attempts > 1)
    assert must_run(root, "resume", "--json").json["finished"] == []
    again = run_mbd(root, *revoke(user))
    assert again.code == 6
    assert stated["certificateId"] in again.json["error"]["message"]


def test_noise_is_never_drawn_again_once_a_release_is_staged(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    old = set((root / "models").iterdir())
    child_mbd(root, *revoke(user), prelude=partial(die_after, f"{STEPS}.STEPS", "suppressed"))
    (staged,) = set((root / "models").iterdir()) - old
    before = {path.name: path.read_bytes() for path in (staged / "heads").iterdir()}
    must_run(root, "resume")
    model = trained_workspace.session().model().snapshot
    assert model.folder == staged
    assert {path.name: path.read_bytes() for path in (staged / "heads").iterdir()} == before


def test_a_release_that_is_lost_twice_counts_three_attempts(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    lost = partial(die_before, BATCHES, "advance", only="staged")
    assert child_mbd(root, *revoke(user), prelude=lost).code == KILLED
    assert child_mbd(root, "resume", prelude=lost).code == KILLED
    (done,) = must_run(root, "resume", "--json").json["finished"]
    stated = assert_finished_once(trained_workspace, user, attempts=3)
    assert done["certificateId"] == stated["certificateId"]
    assert float(stated["guarantee"]["epsilon"]) > 1.5


def test_a_request_id_finds_the_request_that_a_crash_interrupted(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    command = revoke(user, "--request-id", "r-1")
    killed = partial(die_after, f"{STEPS}.STEPS", "staged")
    assert child_mbd(root, *command, prelude=killed).code == KILLED
    done = must_run(root, *command).json
    assert done["certificateId"] == assert_finished_once(trained_workspace, user)["certificateId"]


def test_resume_with_nothing_open_says_so(trained_workspace: TrainedWorkspace) -> None:
    ran = must_run(trained_workspace.root, "resume")
    assert "Nothing was interrupted" in ran.out
    assert must_run(trained_workspace.root, "resume", "--json").json["finished"] == []


def test_a_verifier_and_an_auditor_leave_an_interrupted_request_alone(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    child_mbd(root, *revoke(user), prelude=partial(die_after, f"{STEPS}.STEPS", "staged"))
    must_run(root, "ledger", "list")
    must_run(root, "ledger", "check")
    assert stage_of(trained_workspace) == "activated"


@pytest.mark.slow
def test_killed_at_any_flush_of_a_file_or_folder_the_request_is_finished_once(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 200):
        there = copy_of(original, tmp_path / str(number), monkeypatch)
        user = there.revocable[0]
        secrets = secrets_of(there, user)
        kill = partial(die_before, "os", "fsync", call=number)
        ran = child_mbd(there.root, *revoke(user), prelude=kill)
        if ran.code == 0:
            assert number > 20, "that many files are written at least"
            return
        assert ran.code == KILLED
        assert_nothing_unnoised(there, secrets)
        must_run(there.root, *NEXT[number % len(NEXT)])
        if not list((there.root / "certs").iterdir()):
            must_run(there.root, *revoke(user))
        entries = must_run(there.root, "ledger", "list", "--json").json["entries"]
        assert_finished_once(there, user, attempts=sum(e["type"] == "attempt" for e in entries))
        assert_nothing_unnoised(there, secrets)
