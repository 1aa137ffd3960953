"""An honest service goes on: what changed since is replayed or left open, never an accusation."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mbd.data.buckets import BucketFolder
from mbd.workflows import steps
from mbd.workflows.growth import begin_growth
from mbd.workflows.recipe import Recipe
from tests.conftest import SERVICE
from tests.workflows import cheats
from tests.workflows.arrivals import archive
from tests.workflows.auditing import Revoked, Verdict, escrow_of, handed_over, judge, revoke
from tests.workspaces import TrainedWorkspace, describe, must_run, run_mbd


@pytest.fixture
def revoked(trained_workspace: TrainedWorkspace) -> Revoked:
    """Somebody's voice was honestly revoked."""
    return revoke(trained_workspace, trained_workspace.revocable[0])


def both(revoked: Revoked, folder: Path | None = None) -> tuple[Verdict, Verdict]:
    """With the receipt, and with the escrow."""
    place = folder or revoked.root
    return judge(revoked, place), judge(revoked, place, escrow=escrow_of(revoked))


def assert_open(found: Verdict, code: str) -> None:
    assert (found.exit_code, found.result, found.code) == (3, "skipped", code), found
    assert found.reason.startswith("UNVERIFIABLE: ")


def assert_reproduced(found: Verdict) -> None:
    assert (found.exit_code, found.result) == (0, "pass"), found


def add_test_records(revoked: Revoked, user: str | None = None) -> None:
    """Data that no head learns from: nothing is logged."""
    whose = user or revoked.workspace.revocable[1]
    source, *options = archive(revoked.workspace, ["t1", "t2"], whose)
    with np.load(source) as found:
        arrays = dict(found)
    np.savez(source, **{**arrays, "split": np.full(2, 2)})
    must_run(revoked.root, "data", "add", source, *options)


def grant(revoked: Revoked) -> None:
    must_run(revoked.root, "consent", "grant", "--user", revoked.user, "--modality", "audio")


def drop_row(revoked: Revoked) -> None:
    """Nobody logged that."""
    session = revoked.workspace.session()
    prepared = session.prepared(session.model().policy.training_id)
    rows = prepared.read_bucket(0)
    prepared.write_bucket(
        0, {h: found.select(np.arange(len(found) - 1)) for h, found in rows.items()}
    )


def nudge_row(revoked: Revoked) -> None:
    """So little that no head shows it: only the commitment does."""
    session = revoked.workspace.session()
    prepared = session.prepared(session.model().policy.training_id)
    rows = prepared.read_bucket(0)
    prepared.write_bucket(0, {h: dataclasses.replace(f, t=f.t + 1) for h, f in rows.items()})


QUIET: dict[str, Callable[[Revoked], object]] = {
    "a key": lambda r: must_run(r.root, "key", "rotate"),
    "a consent": grant,
    "a secret": lambda r: must_run(r.root, "secrets", "forget", "--user", r.user, "--yes"),
    "a body": lambda r: must_run(r.root, "ledger", "erase-body", r.bundle.stem, "--yes"),
}


@pytest.mark.parametrize("name", QUIET)
def test_entries_that_change_no_data_are_replayed(revoked: Revoked, name: str) -> None:
    escrow = escrow_of(revoked)
    QUIET[name](revoked)
    assert_reproduced(judge(revoked, handed_over(revoked)))
    assert_reproduced(judge(revoked, revoked.root, escrow=escrow))


@pytest.mark.parametrize("name", QUIET)
def test_entries_that_change_no_data_excuse_nothing(revoked: Revoked, name: str) -> None:
    QUIET[name](revoked)
    nudge_row(revoked)
    for found in both(revoked):
        assert (found.exit_code, found.code) == (1, "reproduce.state"), found


def another(revoked: Revoked) -> None:
    revoke(revoked.workspace, revoked.workspace.revocable[1])


def growth(revoked: Revoked) -> None:
    added = archive(revoked.workspace, ["n1", "n2"], revoked.workspace.revocable[1])
    must_run(revoked.root, "data", "add", *added)


def training(revoked: Revoked) -> None:
    must_run(revoked.root, "train", "--core", "none", "--set", "heads.width=160")


CHANGES: dict[str, tuple[Callable[[Revoked], object], str]] = {
    "another revocation": (another, "certificate"),
    "an addition of data": (growth, "growth"),
    "a training": (training, "policy"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_logged_since_is_named_and_no_refutation(revoked: Revoked, name: str) -> None:
    change, kind = CHANGES[name]
    change(revoked)
    for found in (*both(revoked), judge(revoked, handed_over(revoked))):
        assert_open(found, "reproduce.changed_since")
        assert f"({kind})" in found.reason


def test_a_restored_backup_is_no_refutation(trained_workspace: TrainedWorkspace) -> None:
    root = trained_workspace.root
    before, after = (root.parent / name for name in ("before", "after"))
    must_run(root, "backup", str(before))
    revoked = revoke(trained_workspace, trained_workspace.revocable[0])
    must_run(root, "backup", str(after))

    must_run(root, "restore", str(after))
    for found in both(revoked):
        assert_reproduced(found)

    must_run(root, "restore", str(before))
    for found in both(revoked):
        assert_open(found, "reproduce.changed_since")
        assert "(erasure)" in found.reason


def test_a_request_that_was_given_up_changes_nothing(revoked: Revoked) -> None:
    second = revoked.workspace.revocable[1]
    queued = ("revoke", "--user", second, "--modality", "text", "--method", "retrain", "--queue")
    name = must_run(revoked.root, *queued, "--json").json["requestId"]
    assert_reproduced(judge(revoked, revoked.root))
    must_run(revoked.root, "revoke", "--cancel", name)
    assert_reproduced(judge(revoked, handed_over(revoked)))


def test_records_that_nothing_learns_from_are_no_refutation(revoked: Revoked) -> None:
    add_test_records(revoked)
    for found in both(revoked):
        assert_open(found, "reproduce.dataset")


def test_a_channel_that_came_back_with_consent_is_no_refutation(revoked: Revoked) -> None:
    grant(revoked)
    must_run(revoked.root, "data", "add", *archive(revoked.workspace, ["n1"], revoked.user))
    found = judge(revoked, handed_over(revoked))
    assert_open(found, "reproduce.consent")
    assert "(consent)" in found.reason


def test_a_channel_that_came_back_for_tests_only_is_seen_too(revoked: Revoked) -> None:
    """No row is made of it, so only the records show it."""
    grant(revoked)
    add_test_records(revoked, revoked.user)
    assert_open(judge(revoked, handed_over(revoked)), "reproduce.consent")


def test_the_same_records_given_again_with_consent_are_no_refutation(
    trained_workspace: TrainedWorkspace,
) -> None:
    """Equal values under the same ids: only the salts tell that they were stored anew."""
    user = trained_workspace.revocable[0]
    given = archive(trained_workspace, ["n1", "n2"], user)
    must_run(trained_workspace.root, "data", "add", *given)
    revoked = revoke(trained_workspace, user, modality="all")
    for name in ("audio", "text", "vision"):
        must_run(trained_workspace.root, "consent", "grant", "--user", user, "--modality", name)
    must_run(trained_workspace.root, "data", "add", *given)
    assert_open(judge(revoked, trained_workspace.root), "reproduce.consent")


def test_consent_does_not_excuse_what_was_never_erased(trained_workspace: TrainedWorkspace) -> None:
    with pytest.MonkeyPatch.context() as patch:
        cheats.kept_records(patch, trained_workspace.session())
        revoked = revoke(trained_workspace, trained_workspace.revocable[0])
    grant(revoked)
    another(revoked)
    found = judge(revoked, handed_over(revoked))
    assert (found.exit_code, found.code) == (1, "reproduce.forget_set"), found


def test_heads_that_are_still_the_certificates_are_still_held_against_their_rows(
    trained_workspace: TrainedWorkspace,
) -> None:
    """A later request for another channel leaves heads alone: bad noise on them still shows."""
    with pytest.MonkeyPatch.context() as patch:
        cheats.noise_times(10)(patch, trained_workspace.session())
        revoked = revoke(trained_workspace, trained_workspace.revocable[0])
    revoke(trained_workspace, trained_workspace.revocable[1], modality="text")
    for found in both(revoked, handed_over(revoked)):
        assert (found.exit_code, found.code) == (1, "reproduce.head"), found
        assert "text" not in found.reason.split(":")[1]


def test_honest_heads_that_are_left_are_no_refutation(revoked: Revoked) -> None:
    revoke(revoked.workspace, revoked.workspace.revocable[1], modality="text")
    for found in both(revoked):
        assert_open(found, "reproduce.changed_since")


def test_a_sibling_of_the_same_batch_explains_nothing(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, (one, two, *_) = trained_workspace.root, trained_workspace.revocable
    path = root.parent / "batch.csv"
    path.write_text(f"user,modality\n{one},audio\n{two},audio\n")
    must_run(root, "revoke", "--batch", str(path))
    members = [
        Revoked(trained_workspace, "", root / "certs" / receipt.name, receipt)
        for receipt in sorted((root / "receipts").iterdir())
    ]
    assert [judge(member, root).result for member in members] == ["pass", "pass"]
    nudge_row(members[0])
    for member in members:
        found = judge(member, root)
        assert (found.exit_code, found.code) == (1, "reproduce.state"), found
    copy = handed_over(members[0], without=("certs",))
    codes = sorted(judge(member, copy).code for member in members)
    # For the first in the log: who knows what the second one is about?
    assert codes == ["reproduce.changed_since", "reproduce.state"]


def interrupted_request(revoked: Revoked) -> None:
    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    command = ("revoke", "--user", revoked.workspace.revocable[1], "--modality", "audio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(steps.STEPS, "activated", killed)
        assert run_mbd(revoked.root, *command).code == 130


def interrupted_addition(revoked: Revoked) -> None:
    begin_growth(revoked.workspace.session())
    drop_row(revoked)


def interrupted_restore(revoked: Revoked) -> None:
    folder = revoked.root / "staging" / ".restore"
    folder.mkdir()
    (folder / "intent.json").write_text("{}")
    drop_row(revoked)


@pytest.mark.parametrize(
    "interrupt", [interrupted_request, interrupted_addition, interrupted_restore]
)
def test_what_is_half_done_is_no_refutation(
    revoked: Revoked, interrupt: Callable[[Revoked], None]
) -> None:
    escrow = escrow_of(revoked)
    interrupt(revoked)
    assert_open(judge(revoked, revoked.root), "reproduce.unfinished")
    assert_open(judge(revoked, revoked.root, escrow=escrow), "reproduce.unfinished")


def test_what_only_the_write_ahead_log_knows_counts_and_nothing_is_written_beside_it(
    revoked: Revoked,
) -> None:
    """A copy of a running service: the ledger's last words are not in its file yet."""
    session = revoked.workspace.session()
    with contextlib.closing(sqlite3.connect(session.workspace.ledger_db)) as reader:
        reader.execute("SELECT count(*) FROM pointer").fetchone()
        begin_growth(session)
        assert (revoked.root / "ledger.db-wal").stat().st_size
        copy = handed_over(revoked)
    (copy / "ledger.db-shm").unlink(missing_ok=True)
    drop_rows_of(copy)
    files = {path.name for path in copy.iterdir()}
    assert_open(judge(revoked, copy), "reproduce.unfinished")
    assert {path.name for path in copy.iterdir()} == files


def drop_rows_of(copy: Path) -> None:
    """In a copy without keys: one bucket as it would be with nothing in it."""
    (folder,) = (copy / "data" / "prepared").iterdir()
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)
    BucketFolder.open(folder).commit([(0, None)])


def test_a_difference_without_a_ledger_is_no_refutation(revoked: Revoked) -> None:
    another(revoked)
    assert_open(judge(revoked, handed_over(revoked, without=("ledger.db",))), "reproduce.no_ledger")


def test_a_torn_ledger_is_no_refutation(revoked: Revoked) -> None:
    another(revoked)
    for index, content in enumerate((b"", b"SQLite format 3\0" + b"x" * 5000)):
        copy = handed_over(revoked, name=f"copy{index}")
        (copy / "ledger.db").chmod(0o600)
        (copy / "ledger.db").write_bytes(content)
        assert_open(judge(revoked, copy), "reproduce.no_ledger")


def test_an_altered_ledger_explains_nothing_and_accuses_nobody(revoked: Revoked) -> None:
    another(revoked)
    with contextlib.closing(sqlite3.connect(revoked.root / "ledger.db")) as connection:
        connection.execute("UPDATE entry SET leaf = (SELECT leaf FROM entry WHERE entry_index = 0)")
        connection.commit()
    assert_open(judge(revoked, revoked.root), "reproduce.other_ledger")


def test_a_ledger_that_lost_its_end_explains_nothing(revoked: Revoked) -> None:
    another(revoked)
    with contextlib.closing(sqlite3.connect(revoked.root / "ledger.db")) as connection:
        connection.execute(
            "DELETE FROM entry WHERE entry_index = (SELECT max(entry_index) FROM entry)"
        )
        connection.commit()
    assert_open(judge(revoked, revoked.root), "reproduce.no_ledger")


def test_a_model_of_a_program_with_fewer_settings_is_reproduced(
    workspace_of_before: TrainedWorkspace,
) -> None:
    revoked = revoke(workspace_of_before, workspace_of_before.revocable[0])
    (model,) = (revoked.root / "models").iterdir()
    recipe = json.loads((model / "policy.json").read_bytes())["recipe"]
    assert "precision" not in recipe["network"], "as training wrote it then"
    for found in (*both(revoked), judge(revoked, revoked.root, "--model", str(model))):
        assert_reproduced(found)


@pytest.fixture
def workspace_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainedWorkspace:
    """Trained by a program that did not know one of the settings yet."""
    honest = Recipe.to_json

    def of_then(recipe: Recipe) -> dict[str, Any]:
        found = honest(recipe)
        del found["network"]["precision"]
        return found

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    must_run(tmp_path, "init", SERVICE)
    must_run(
        tmp_path / SERVICE, "data", "synth", "--users", "24", "--records", "240", "--seed", "2"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recipe, "to_json", of_then)
        must_run(tmp_path / SERVICE, "train", "--core", "none", "--set", "heads.width=160")
    return describe(tmp_path / SERVICE)


def test_a_copy_from_before_is_no_refutation(trained_workspace: TrainedWorkspace) -> None:
    before = trained_workspace.root.parent / "before"
    shutil.copytree(trained_workspace.root, before)
    revoked = revoke(trained_workspace, trained_workspace.revocable[0])
    for found in both(revoked, before):
        assert_open(found, "reproduce.other_ledger")


def test_the_workspace_of_another_service_is_no_refutation(
    revoked: Revoked, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path / "state of another"))
        must_run(tmp_path, "init", "other")
        sizes = ("--users", "24", "--records", "240", "--seed", "2")
        must_run(tmp_path / "other", "data", "synth", *sizes)
        must_run(tmp_path / "other", "train", "--core", "none", "--set", "heads.width=160")
    assert_open(judge(revoked, tmp_path / "other"), "reproduce.other_ledger")


def test_entries_that_no_checkpoint_covers_are_unfinished(revoked: Revoked) -> None:
    drop_row(revoked)
    with contextlib.closing(sqlite3.connect(revoked.root / "ledger.db")) as connection:
        connection.execute(
            "INSERT INTO entry SELECT entry_index + 1, type, time, leaf, leaf_hash, "
            "guarantee_class, modalities, NULL FROM entry ORDER BY entry_index DESC LIMIT 1"
        )
        connection.commit()
    assert_open(judge(revoked, revoked.root), "reproduce.unfinished")


def test_a_restore_in_the_making_is_found_by_its_intent(revoked: Revoked) -> None:
    interrupted_restore(revoked)
    assert "restore" in judge(revoked, revoked.root).reason
