"""Engines that cheat, sign and log with honest keys: the retained data refutes each of them."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

import mbd.workflows.release as release_workflow
from mbd.database import pointers
from mbd.workflows.demo import keep_model, plant_lazy_engine
from tests.workflows import cheats
from tests.workflows.auditing import Revoked, Verdict, escrow_of, handed_over, judge, revoke
from tests.workflows.cheats import Cheat
from tests.workspaces import TrainedWorkspace, run_mbd


def cheated(workspace: TrainedWorkspace, cheat: Cheat, *options: str) -> Revoked:
    """A certificate that a cheating engine signed and logged, with honest keys."""
    with pytest.MonkeyPatch.context() as patch:
        cheat(patch, workspace.session())
        return revoke(workspace, workspace.revocable[0], *options)


def assert_refuted(found: Verdict, *codes: str) -> None:
    assert (found.exit_code, found.result) == (1, "fail"), found
    assert found.code in codes, found
    assert found.reason.startswith("REFUTED: ")


def the_same(size: int) -> np.ndarray:
    """The vector that nobody drew: whoever wrote it down takes it off again."""
    return np.random.default_rng(7).standard_normal(size)


def twice(size: int) -> np.ndarray:
    """Half of it drawn, and used again."""
    half = np.random.default_rng().standard_normal(size - size // 2)
    return np.concatenate([half, half])[:size]


def partly(size: int) -> np.ndarray:
    """Three of ten coordinates without any."""
    return np.random.default_rng().standard_normal(size) * (np.arange(size) >= 0.3 * size)


REFUTED: dict[str, tuple[Cheat, str]] = {
    "did nothing to the heads": (cheats.old_heads, "reproduce.head"),
    "did nothing at all": (cheats.did_nothing, "reproduce.forget_set"),
    "noise ten times too small": (cheats.noise_times(0.1), "reproduce.head"),
    "noise ten times too large": (cheats.noise_times(10), "reproduce.head"),
    "no noise": (cheats.noise_times(0), "reproduce.head"),
    "the same noise in every head": (cheats.noise_of(the_same), "reproduce.noise"),
    "half of the noise twice": (cheats.noise_of(twice), "reproduce.noise"),
    "noise on some coordinates": (cheats.noise_of(partly), "reproduce.noise"),
    "noise where no records lie": (cheats.noise_beside_the_records, "reproduce.noise"),
    "another lambda": (cheats.another_lambda, "reproduce.head"),
    "a doctored state": (cheats.doctored_state, "reproduce.state"),
    "a tolerance that nothing reaches": (cheats.tolerance_of_nothing, "reproduce.tolerance"),
    "a policy that was never announced": (cheats.policy_never_announced, "reproduce.policy"),
    "data under the name of a core": (cheats.data_in_the_model, "artifact.core"),
    "kept the records": (cheats.kept_records, "reproduce.forget_set"),
    "kept the rows": (cheats.kept_rows, "reproduce.forget_set"),
    "kept the rows under another name": (cheats.rows_renamed, "reproduce.rows"),
    "kept the rows as those of other records": (cheats.rows_carried, "reproduce.rows"),
    "kept everything under another name": (cheats.records_renamed, "reproduce.forget_set"),
    "kept everything under new names": (cheats.records_laundered, "reproduce.before"),
}


ALSO = {"noise on some coordinates": ("reproduce.head",)}
"""Other tests of the noise, which may be the first to see it."""


@pytest.mark.parametrize("name", REFUTED)
def test_a_cheating_engine_is_refuted_whatever_it_signed(
    trained_workspace: TrainedWorkspace, name: str
) -> None:
    cheat, code = REFUTED[name]
    revoked = cheated(trained_workspace, cheat)
    assert run_mbd(revoked.root, "verify", str(revoked.bundle)).code == 0, "the paper is perfect"
    assert_refuted(judge(revoked, handed_over(revoked)), code, *ALSO.get(name, ()))


def test_the_workspaces_own_check_finds_noise_that_is_none(
    trained_workspace: TrainedWorkspace,
) -> None:
    revoked = cheated(trained_workspace, cheats.noise_of(the_same))
    found = run_mbd(revoked.root, "state", "check")
    assert found.code != 0
    assert "the noise is not drawn afresh" in found.out + found.err


@pytest.mark.parametrize("name", ["another lambda", "a doctored state"])
def test_an_exact_certificate_that_is_not_is_refuted(
    trained_workspace: TrainedWorkspace, name: str
) -> None:
    revoked = cheated(trained_workspace, REFUTED[name][0], "--method", "exact")
    assert_refuted(judge(revoked, handed_over(revoked)), REFUTED[name][1], "reproduce.head")


OUT_OF_SIGHT = (
    "did nothing at all",
    "kept the records",
    "kept everything under another name",
    "kept everything under new names",
)


@pytest.mark.parametrize("name", [name for name in REFUTED if name not in OUT_OF_SIGHT])
def test_an_escrow_is_enough_to_refute_what_rows_and_model_show(
    trained_workspace: TrainedWorkspace, name: str
) -> None:
    revoked = cheated(trained_workspace, REFUTED[name][0])
    found = judge(revoked, handed_over(revoked), escrow=escrow_of(revoked))
    assert_refuted(found, "reproduce.head", "reproduce.rows", "reproduce.state", REFUTED[name][1])


@pytest.mark.parametrize("name", OUT_OF_SIGHT)
def test_what_an_escrow_cannot_refute_is_said(
    trained_workspace: TrainedWorkspace, name: str
) -> None:
    """Nobody without the receipt knows whose data should be gone."""
    revoked = cheated(trained_workspace, REFUTED[name][0])
    found = judge(revoked, handed_over(revoked), escrow=escrow_of(revoked))
    assert found.result == "pass"
    assert found.reason.startswith("REPRODUCED: model only: whose data is gone was not checked")
    assert found.level == "LOGGED+REPRODUCED(model)"


def test_a_policy_that_nobody_can_ask_the_log_for_is_said(
    trained_workspace: TrainedWorkspace,
) -> None:
    revoked = cheated(trained_workspace, cheats.policy_never_announced)
    found = judge(revoked, handed_over(revoked, without=("ledger.db",)))
    assert found.result == "pass"
    assert "not checked: whether the log announced the policy" in found.reason


def test_the_model_of_before_in_service_is_refuted(
    trained_workspace: TrainedWorkspace, tmp_path: Path
) -> None:
    before = keep_model(trained_workspace.root, tmp_path / "before")
    revoked = revoke(trained_workspace, trained_workspace.revocable[0])
    plant_lazy_engine(revoked.root, before, tmp_path / "cheat")
    assert_refuted(judge(revoked, tmp_path / "cheat"), "reproduce.model", "reproduce.head")


def test_an_older_model_that_the_database_calls_current_is_refuted(
    trained_workspace: TrainedWorkspace,
) -> None:
    """The certificate's own model lies beside it, for show."""
    old = trained_workspace.session().model().snapshot
    kept = shutil.copytree(old.folder, trained_workspace.root.parent / "kept")
    revoked = revoke(trained_workspace, trained_workspace.revocable[0])
    honest = judge(revoked, revoked.root)
    current = trained_workspace.session().model().snapshot.model_id
    assert f"model {current} is in service" in honest.reason

    shutil.copytree(kept, old.folder)
    found = judge(revoked, revoked.root)
    assert (found.exit_code, found.code) == (3, "reproduce.other_model")
    assert old.model_id in found.reason
    with trained_workspace.session().database.transaction() as connection:
        pointers.set(connection, "model", old.to_pointer())
    found = judge(revoked, revoked.root)
    assert_refuted(found, "reproduce.in_service")
    assert old.model_id in found.reason


def test_records_put_back_afterwards_are_refuted(trained_workspace: TrainedWorkspace) -> None:
    session, user = trained_workspace.session(), trained_workspace.revocable[0]
    bucket = session.store().bucket_of(user)
    records = session.store().read_bucket(bucket)
    revoked = revoke(trained_workspace, user)
    trained_workspace.session().store().replace_bucket(bucket, records)
    assert_refuted(judge(revoked, handed_over(revoked)), "reproduce.forget_set")


def test_rows_put_back_afterwards_are_refuted(trained_workspace: TrainedWorkspace) -> None:
    session, user = trained_workspace.session(), trained_workspace.revocable[0]
    training = session.model().policy.training_id
    bucket = session.prepared(training).bucket_of(user)
    rows = session.prepared(training).read_bucket(bucket)
    revoked = revoke(trained_workspace, user)
    trained_workspace.session().prepared(training).write_bucket(bucket, rows)
    assert_refuted(judge(revoked, handed_over(revoked)), "reproduce.forget_set")
    found = judge(revoked, revoked.root, escrow=escrow_of(revoked))
    assert_refuted(found, "reproduce.head", "reproduce.rows", "reproduce.state")


def test_rows_that_vanished_are_refuted(trained_workspace: TrainedWorkspace) -> None:
    """Less data than the model learned from: the commitment tells."""
    revoked = revoke(trained_workspace, trained_workspace.revocable[0])
    prepared = trained_workspace.session().prepared(_training(trained_workspace))
    rows = prepared.read_bucket(0)
    fewer = {head: found.select(np.arange(len(found) - 1)) for head, found in rows.items()}
    prepared.write_bucket(0, fewer)
    for found in (
        judge(revoked, revoked.root),
        judge(revoked, revoked.root, escrow=escrow_of(revoked)),
    ):
        assert_refuted(found, "reproduce.state", "reproduce.head")


def test_rows_of_an_earlier_training_that_were_kept_are_refuted(
    trained_workspace: TrainedWorkspace,
) -> None:
    folder = trained_workspace.session().prepared_folder(_training(trained_workspace))
    kept = shutil.copytree(folder, trained_workspace.root.parent / "kept")
    revoked = revoke(trained_workspace, trained_workspace.revocable[0])
    shutil.copytree(kept, folder.with_name("01J00000000000000000000000"))
    assert_refuted(judge(revoked, handed_over(revoked)), "reproduce.forget_set")


def test_an_old_state_that_was_kept_is_refuted(trained_workspace: TrainedWorkspace) -> None:
    session = trained_workspace.session()
    old, kept = session.state().folder, trained_workspace.root.parent / "old"
    shutil.copytree(old, kept)
    revoked = revoke(trained_workspace, trained_workspace.revocable[0])
    shutil.copytree(kept, old)
    assert_refuted(judge(revoked, handed_over(revoked)), "reproduce.kept_state")


def test_sums_of_others_in_the_place_of_the_state_are_refuted(
    trained_workspace: TrainedWorkspace,
) -> None:
    """The workspace itself says that they are its state: nothing was copied badly."""
    session = trained_workspace.session()
    old = {path.name: path.read_bytes() for path in session.state().folder.iterdir()}
    recorded = session.state()
    revoked = revoke(trained_workspace, trained_workspace.revocable[0])
    session = trained_workspace.session()
    folder = session.state().folder
    for name, content in old.items():
        (folder / name).unlink()  # it may be another name of a file elsewhere
        (folder / name).write_bytes(content)
    kept = dataclasses.replace(recorded, state_id=folder.name, folder=folder)
    with session.database.transaction() as connection:
        pointers.set(connection, "state", kept.to_pointer())
    assert_refuted(judge(revoked, revoked.root), "reproduce.kept_state")


def test_a_head_that_declares_other_noise_is_refuted(trained_workspace: TrainedWorkspace) -> None:
    def undeclared(patch: pytest.MonkeyPatch, session: object) -> None:
        patch.setattr(release_workflow, "noise_steps", lambda sigma, grid: 1)

    revoked = cheated(trained_workspace, undeclared)
    assert_refuted(judge(revoked, handed_over(revoked)), "artifact.noise")


def test_a_lie_in_the_pointers_changes_nothing(trained_workspace: TrainedWorkspace) -> None:
    """Files are found by their digests: what the database calls current does not matter."""
    revoked = revoke(trained_workspace, trained_workspace.revocable[0])
    with trained_workspace.session().database.transaction() as connection:
        pointers.set(connection, "model", "{}")
    assert judge(revoked, revoked.root).result == "pass"


def _training(workspace: TrainedWorkspace) -> str:
    return workspace.session().model().policy.training_id
