"""`torchrun -m mbd train`: the state of one process, whatever the number of ranks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workspaces import TrainedWorkspace, must_run

pytestmark = pytest.mark.slow

ARGUMENTS = {
    "none": ["train", "--core", "none", "--set", "heads.width=160", "--json"],
    "trained": [
        "train", "--core", "trained", "--seed", "3", "--json", "--set", "heads.width=200",
        "--set", "core.epochs=2", "--set", "core.hidden=4", "--set", "core.activations=4",
    ],
}  # fmt: skip


@pytest.fixture
def service(tmp_path: Path) -> TrainedWorkspace:
    """Several buckets of people, so that every rank has some."""
    root = tmp_path / "service"
    must_run(tmp_path, "init", str(root))
    must_run(root, "data", "synth", "--users", "90", "--records", "300", "--seed", "2")
    must_run(root, *ARGUMENTS["none"])
    found = TrainedWorkspace(root, (), ())
    assert len(found.session().store().buckets()) == 4
    return found


def torchrun(cwd: Path, size: int, *program: str) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(size)]
    return subprocess.run(
        [*launcher, *program],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )


@pytest.mark.parametrize("core", ARGUMENTS)
def test_the_state_is_the_same_for_one_two_and_three_ranks(
    service: TrainedWorkspace, core: str
) -> None:
    root = service.root
    alone = must_run(root, *ARGUMENTS[core]).json
    for size in (2, 3):
        ran = torchrun(root, size, "-m", "mbd", *ARGUMENTS[core])
        assert ran.returncode == 0, ran.stderr
        found = json.loads(ran.stdout)  # one document: only the first rank says anything
        assert found["state"] == alone["state"]
        assert found["model"] != alone["model"]
        assert must_run(root, "state", "check", "--json").json["ok"]
    policies = must_run(root, "ledger", "list", "--type", "policy", "--json").json["entries"]
    assert (
        len(policies) == 4
    )  # each was announced once: of the fixture, alone, and of two and three


FAILING = """
import os, signal, sys
from mbd.cli.main import run
from mbd.errors import StorageError
from mbd.workflows import ranks
def fail(*arguments):
    if "{how}" == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    raise StorageError("no space for this rank")
if os.environ["RANK"] == "{rank}":
    ranks.{where} = fail
run(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("rank", "where", "how"),
    [(1, "_rows_of", "killed"), (1, "_added_up", "refused"), (0, "_added_up", "killed")],
)
def test_a_rank_that_fails_ends_all_and_nothing_is_in_force(
    service: TrainedWorkspace, tmp_path: Path, rank: int, where: str, how: str
) -> None:
    root = service.root
    before = service.session().model().snapshot
    script = tmp_path / "failing.py"
    script.write_text(FAILING.format(rank=rank, where=where, how=how))

    ran = torchrun(root, 2, str(script), *ARGUMENTS["none"][:-1])

    assert ran.returncode != 0
    if how == "refused":
        assert "no space for this rank" in ran.stderr
    assert service.session().model().snapshot == before
    assert must_run(root, "state", "check", "--json").json["ok"]
    assert must_run(root, *ARGUMENTS["none"]).json["model"] != before.model_id
    folders = [one.name for one in (root / "data" / "prepared").iterdir()]
    assert folders == [service.session().model().policy.training_id]
