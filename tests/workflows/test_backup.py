"""A backup is put back whole, and never brings back what was revoked since."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from mbd.database import suppressions
from tests.conftest import STATE
from tests.workflows.children import KILLED, Prelude, child_mbd, die_after, die_before
from tests.workflows.disk import archive
from tests.workspaces import Ran, TrainedWorkspace, describe, must_run, run_mbd

RESTORE, RESTORATION = "mbd.workflows.restore", "mbd.workflows.restoration"


def back_up(workspace: TrainedWorkspace, *options: str, name: str = "backup") -> Path:
    folder = workspace.root.parent / name
    must_run(workspace.root, "backup", str(folder), *options)
    return folder


def revoke(workspace: TrainedWorkspace, *options: str, modality: str = "audio") -> dict[str, str]:
    command = ["revoke", "--user", workspace.revocable[0], "--modality", modality, "--json"]
    done: dict[str, str] = must_run(workspace.root, *command, *options).json
    return done


def values_of(workspace: TrainedWorkspace, modality: str = "audio") -> list[bytes]:
    """Bytes of the first person's values, as they lie in files."""
    held = workspace.session().store().read(subjects=[workspace.revocable[0]])
    return [value.tobytes()[:48] for value in held.x[modality] if value is not None]


def assert_gone(root: Path, values: list[bytes], receipt: Path | str) -> None:
    """Not in any file, not served, and everything is as it must be."""
    assert values
    for path in (path for path in root.rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert not any(value in content for value in values), path
    must_run(root, "data", "scan", "--receipt", str(receipt))
    there = describe(root)
    user = TrainedWorkspace(root, (), ()).session()
    assert not any(
        user.suppressions.blocks(subject, name)
        for _, outline in user.store().outlines()
        for subject, names in zip(outline.subjects, outline.available, strict=True)
        for name in names
    )
    for command in (["state", "check"], ["ledger", "check"], ["predict", "--record", "r000000"]):
        must_run(there.root, *command)
    must_run(root, "state", "check", "--receipt", str(receipt))


def digests(folder: Path) -> dict[str, str]:
    """Every file but the databases' logs, which any reader may touch."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


def error_of(ran: Ran) -> str:
    return str(json.loads(ran.out)["error"]["code"])


def test_a_restored_backup_holds_what_it_held(trained_workspace: TrainedWorkspace) -> None:
    root = trained_workspace.root
    before = digests(root / "data")
    folder = back_up(trained_workspace)
    listed = {
        path for path, _, _ in json.loads((folder / "backup.json").read_bytes())["body"]["files"]
    }
    assert listed == digests(folder).keys() - {"backup.json"}
    assert not any(path.startswith(("keys", "receipts", "staging")) for path in listed)
    must_run(root, "data", "add", str(archive(trained_workspace)),
             "--spec", str(root.parent / "more.toml"))  # fmt: skip
    shutil.rmtree(root / "models")
    (root / "models").mkdir()

    restored = must_run(root, "restore", str(folder), "--json").json

    assert (restored["channelsErased"], restored["headsReleased"]) == (0, [])
    assert digests(root / "data") == before
    assert not any((root / "staging").iterdir())
    assert len(list((root / "state").iterdir())) == 1
    must_run(root, "state", "check")
    must_run(root, "ledger", "check")
    must_run(root, "eval")


@pytest.mark.parametrize("method", ["surgical", "exact"])
def test_what_was_revoked_since_does_not_come_back(
    trained_workspace: TrainedWorkspace, method: str
) -> None:
    root, values = trained_workspace.root, values_of(trained_workspace)
    folder = back_up(trained_workspace)
    done = revoke(trained_workspace, "--method", method)

    restored = must_run(root, "restore", str(folder), "--json").json

    assert restored["channelsErased"] == 1
    assert restored["headsReleased"] == done["heads"]
    assert_gone(root, values, done["receipt"])
    verified = must_run(root, "verify", done["bundle"], "--receipt", done["receipt"], "--json").json
    assert verified["verdict"] == "valid"
    second = revoke(trained_workspace, modality="text")
    must_run(root, "state", "check", "--receipt", second["receipt"])
    assert_gone(root, values, done["receipt"])


def test_a_revocation_before_the_backup_and_a_training_since_are_no_trouble(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, values = trained_workspace.root, values_of(trained_workspace)
    done = revoke(trained_workspace, "--method", "exact")
    folder = back_up(trained_workspace)
    must_run(root, "train", "--core", "none", "--set", "heads.width=160")
    revoke(trained_workspace, modality="text")
    must_run(root, "restore", str(folder))
    assert_gone(root, values, done["receipt"])


def test_consent_granted_since_does_not_bring_the_old_data_back(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    values, folder = values_of(trained_workspace), back_up(trained_workspace)
    done = revoke(trained_workspace)
    grant(trained_workspace)
    must_run(root, "data", "add", str(archive(trained_workspace)),
             "--spec", str(root.parent / "more.toml"))  # fmt: skip
    later = back_up(trained_workspace, name="later")

    must_run(root, "restore", str(later))
    held = trained_workspace.session().store().read(subjects=[user])
    assert sum(value is not None for value in held.x["audio"]) == 2, "granted, and stays"
    must_run(root, "state", "check")

    must_run(root, "restore", str(folder))
    held = trained_workspace.session().store().read(subjects=[user])
    assert not any(value is not None for value in held.x["audio"])
    for path in (path for path in root.rglob("*") if path.is_file()):
        assert not any(value in path.read_bytes() for value in values), path
    must_run(root, "state", "check")
    must_run(root, "data", "scan", "--receipt", done["receipt"])


def grant(workspace: TrainedWorkspace) -> None:
    """What `mbd consent grant` does to the list."""
    session, user = workspace.session(), workspace.revocable[0]
    with session.database.transaction() as connection:
        assert suppressions.lift(connection, session.key, user, "audio", datetime.now(UTC))


UNDECIDED = [
    pytest.param(partial(die_before, RESTORE, "open_staged"), id="copied"),
    pytest.param(partial(die_before, RESTORE, "erase_doomed"), id="released, not erased"),
    pytest.param(partial(die_before, RESTORE, "decide"), id="staged"),
]
DECIDED = [
    pytest.param(partial(die_after, RESTORE, "decide"), id="decided"),
    pytest.param(partial(die_after, "os", "rename"), id="data set aside"),
    pytest.param(partial(die_after, "os", "rename", call=2), id="data put back"),
    pytest.param(partial(die_after, "os", "rename", call=3), id="model put back"),
    pytest.param(partial(die_before, RESTORATION, "_activate"), id="not activated"),
    pytest.param(partial(die_after, RESTORATION, "_activate"), id="activated"),
    pytest.param(partial(die_before, RESTORATION, "remove_folder", call=2), id="published"),
    pytest.param(partial(die_before, RESTORATION, "remove_file"), id="old data removed"),
    pytest.param(partial(die_after, RESTORATION, "remove_file"), id="no intent any more"),
]


@pytest.mark.parametrize("kill", UNDECIDED)
def test_killed_before_it_is_decided_a_restore_has_not_happened(
    trained_workspace: TrainedWorkspace, kill: Prelude
) -> None:
    root, values = trained_workspace.root, values_of(trained_workspace)
    folder, done = back_up(trained_workspace), revoke(trained_workspace)
    before = digests(root / "data"), digests(root / "models")
    assert child_mbd(root, "restore", str(folder), prelude=kill).code == KILLED
    must_run(root, "predict", "--record", "r000000")
    must_run(root, "resume")
    assert (digests(root / "data"), digests(root / "models")) == before
    assert_gone(root, values, done["receipt"])


COMMANDS = ("predict --record r000000", "resume")
FINISHED_BY = [
    pytest.param(*kill.values, command, id=f"{kill.id}-{command.split()[0]}",
                 marks=() if (number + turn) % 4 == 1 else pytest.mark.slow)
    for number, kill in enumerate(DECIDED)
    for turn, command in enumerate(COMMANDS)
]  # fmt: skip


@pytest.mark.parametrize(("kill", "command"), FINISHED_BY)
def test_killed_after_it_is_decided_a_restore_is_finished_by_the_next_command(
    trained_workspace: TrainedWorkspace, kill: Prelude, command: str
) -> None:
    root, values = trained_workspace.root, values_of(trained_workspace)
    folder, done = back_up(trained_workspace), revoke(trained_workspace)
    assert child_mbd(root, "restore", str(folder), prelude=kill).code == KILLED
    must_run(root, *command.split())
    entries = must_run(root, "ledger", "list", "--json").json["entries"]
    assert sum(entry["type"] == "erasure" for entry in entries) == 1
    must_run(root, "resume")
    assert_gone(root, values, done["receipt"])
    assert not any((root / "staging").iterdir())
    assert not must_run(root, "doctor", "--json").json["findings"][1:], "but for the receipt"


def test_an_altered_backup_is_named_and_changes_nothing(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, folder = trained_workspace.root, back_up(trained_workspace)
    revoke(trained_workspace)
    before = digests(root)
    bucket = next((folder / "data" / "store").glob("*.parquet"))
    for path in (bucket, folder / "ledger.db", folder / "backup.json", folder / "mbd.toml"):
        good = path.read_bytes()
        for bad in (good[:-1], good[:-9] + bytes([good[-9] ^ 1]) + good[-8:]):
            path.write_bytes(bad)
            ran = run_mbd(root, "restore", str(folder), "--json")
            assert (ran.code, error_of(ran)) == (1, "backup.altered")
            assert str(path) in ran.json["error"]["message"]
        path.unlink()
        assert run_mbd(root, "restore", str(folder)).code in (1, 4)
        path.write_bytes(good)
    assert digests(root) == before
    must_run(root, "restore", str(folder))


def test_a_backup_cannot_make_files_outside_a_workspace(
    trained_workspace: TrainedWorkspace,
) -> None:
    folder = back_up(trained_workspace)
    listing = json.loads((folder / "backup.json").read_bytes())
    listing["body"]["files"][0][0] = "data/../../outside"
    body = json.dumps(listing["body"], sort_keys=True, separators=(",", ":")).encode()
    listing["sha256"] = hashlib.sha256(body).hexdigest()
    (folder / "backup.json").write_text(json.dumps(listing))
    ran = run_mbd(trained_workspace.root, "restore", str(folder), "--json")
    assert error_of(ran) == "backup.altered"


def test_an_older_ledger_that_was_put_back_is_not_served_with(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    old = (root / "ledger.db").read_bytes()
    revoke(trained_workspace)
    newest = (root / "ledger.db").read_bytes()
    (root / "ledger.db").write_bytes(old)
    for command in (
        ["predict", "--record", "r000000"],
        ["eval"],
        ["data", "info"],
        ["revoke", "--user", user, "--modality", "text"],
        ["resume"],
        ["backup", str(root.parent / "backup")],
    ):
        ran = run_mbd(root, *command, "--json")
        assert (ran.code, error_of(ran)) == (1, "log.rolled_back"), command
        assert "mbd restore" in ran.json["error"]["hint"]
    (root / "ledger.db").write_bytes(newest)
    must_run(root, "predict", "--record", "r000000")


def test_a_lost_workspace_comes_back_from_a_backup_with_keys(
    trained_workspace: TrainedWorkspace,
) -> None:
    root = trained_workspace.root
    done = revoke(trained_workspace)
    folder = back_up(trained_workspace, "--with-keys")
    prediction = must_run(root, "predict", "--record", "r000000", "--json").json["prediction"]
    shutil.rmtree(root)
    must_run(root.parent, "restore", str(folder), "--into", str(root))
    again = must_run(root, "predict", "--record", "r000000", "--json").json["prediction"]
    assert again == prediction
    for command in (["state", "check"], ["ledger", "check"], ["verify", done["bundle"]]):
        must_run(root, *command)
    assert must_run(root, "doctor", "--json").json["findings"] == []
    revoke(trained_workspace, modality="text")


def test_a_lost_ledger_that_knew_revocations_stops_an_older_backup(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, values = trained_workspace.root, values_of(trained_workspace)
    folder = back_up(trained_workspace, "--with-keys")
    done = revoke(trained_workspace)
    newest, receipt = root.parent / "newest.db", root.parent / "receipt.json"
    shutil.copy(root / "ledger.db", newest)
    shutil.copy(done["receipt"], receipt)
    shutil.rmtree(root)
    restore = ["restore", str(folder), "--into", str(root), "--json"]

    ran = run_mbd(root.parent, *restore)
    assert (ran.code, error_of(ran)) == (5, "restore.forgets")
    assert "2 ledger entries" in ran.json["error"]["message"]
    assert not root.exists()
    ran = run_mbd(root.parent, *restore, "--ledger", str(folder / "ledger.db"))
    assert (ran.code, error_of(ran)) == (5, "restore.ledger")
    assert not root.exists()

    restored = must_run(root.parent, *restore, "--ledger", str(newest)).json
    assert restored["channelsErased"] == 1
    assert_gone(root, values, receipt)


def test_a_backup_without_keys_says_so_where_they_are_needed(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, folder = trained_workspace.root, back_up(trained_workspace)
    restore = ["restore", str(folder), "--into", str(root.parent / "new"), "--json"]
    ran = run_mbd(root.parent, *restore)
    assert (ran.code, error_of(ran)) == (4, "restore.keys")
    assert not (root.parent / "new").exists()
    must_run(root.parent, *restore, "--keys", str(root / "keys"))
    must_run(root.parent / "new", "state", "check")


def test_a_machine_that_knows_nothing_of_the_log_takes_the_backup(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, folder = trained_workspace.root, back_up(trained_workspace, "--with-keys")
    revoke(trained_workspace)
    shutil.rmtree(root)
    shutil.rmtree(root.parent / STATE)
    must_run(root.parent, "restore", str(folder), "--into", str(root))
    assert must_run(root, "doctor", "--json").json["findings"] == []


def test_nothing_is_overwritten_and_no_other_workspace_is_taken(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, folder = trained_workspace.root, back_up(trained_workspace)
    parent = root.parent
    assert run_mbd(root, "backup", str(folder)).code == 6
    assert run_mbd(root, "backup", str(root / "inside")).code == 2
    must_run(parent, "init", str(parent / "other"))
    ran = run_mbd(parent / "other", "restore", str(folder), "--json")
    assert (ran.code, error_of(ran)) == (6, "restore.other")
    (parent / "full").mkdir()
    (parent / "full" / "file").touch()
    assert run_mbd(parent, "restore", str(folder), "--into", str(parent / "full")).code == 6
    assert run_mbd(parent, "restore", str(parent / "full")).code == 4


def test_a_damaged_workspace_is_not_backed_up_and_can_be_mended(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, folder = trained_workspace.root, back_up(trained_workspace)
    bucket = next((root / "data" / "store").glob("*.parquet"))
    bucket.write_bytes(bucket.read_bytes()[:-1])
    ran = run_mbd(root, "backup", str(root.parent / "second"), "--json")
    assert (ran.code, bucket.name in ran.out) == (1, True)
    assert not (root.parent / "second").exists()
    must_run(root, "restore", str(folder))
    must_run(root, "state", "check")


def test_a_request_that_waits_is_carried_out_on_the_restored_data(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, values, folder = trained_workspace.root, values_of(trained_workspace), None
    folder = back_up(trained_workspace)
    kill = partial(die_before, "mbd.workflows.steps.STEPS", "suppressed")
    command = ["revoke", "--user", trained_workspace.revocable[0], "--modality", "audio"]
    assert child_mbd(root, *command, prelude=kill).code == KILLED
    bucket = next((root / "data" / "store").glob("*.parquet"))
    bucket.write_bytes(bucket.read_bytes()[:-1])
    must_run(root, "restore", str(folder))
    (done,) = must_run(root, "resume", "--json").json["finished"]
    assert_gone(root, values, done["receipt"])
