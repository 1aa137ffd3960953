"""The doctor finds what is wrong, says what to do, and changes nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mbd.canonical.times import timestamp
from mbd.database import suppressions
from mbd.signing.keys import generate_key
from mbd.workflows.doctor import examine
from tests.conftest import STATE
from tests.workflows.children import KILLED, child_mbd, die_after
from tests.workflows.disk import archive
from tests.workspaces import TrainedWorkspace, must_run, run_mbd


def findings(workspace: TrainedWorkspace, code: int) -> list[dict[str, Any]]:
    """What the doctor says, which must end with this exit code."""
    ran = run_mbd(workspace.root.parent, "-w", str(workspace.root), "doctor", "--json")
    assert ran.code == code, ran.out + ran.err
    found: list[dict[str, Any]] = ran.json["findings"]
    assert all(one["what"] and one["where"] and one["todo"] for one in found)
    return found


def flip(path: Path) -> None:
    """Alter one byte in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def first(root: Path, pattern: str) -> Path:
    return sorted(root.glob(pattern))[0]


def bad_setting(there: TrainedWorkspace) -> None:
    with (there.root / "mbd.toml").open("a") as stream:
        stream.write("\n[nonsense]\nx = 1\n")


def no_secrets(there: TrainedWorkspace) -> None:
    (there.root / "secrets.db").unlink()


def no_folder(there: TrainedWorkspace) -> None:
    (there.root / "staging").rmdir()


def open_key(there: TrainedWorkspace) -> None:
    (there.root / "keys" / "issuer.pem").chmod(0o644)


def open_folder(there: TrainedWorkspace) -> None:
    (there.root / "receipts").chmod(0o755)


def other_issuer(there: TrainedWorkspace) -> None:
    path = there.root / "keys" / "issuer.pem"
    path.unlink()
    generate_key().save(path)


def torn_key(there: TrainedWorkspace) -> None:
    (there.root / "keys" / "workspace.key").write_bytes(b"short")


def torn_secrets(there: TrainedWorkspace) -> None:
    (there.root / "secrets.db").write_bytes(b"nothing" * 1000)


def edit_ledger(there: TrainedWorkspace) -> None:
    with closing(sqlite3.connect(there.root / "ledger.db")) as connection:
        connection.execute("UPDATE entry SET time = '2020-01-01T00:00:00Z' WHERE entry_index = 1")
        connection.commit()


def old_ledger(there: TrainedWorkspace) -> None:
    old = (there.root / "ledger.db").read_bytes()
    must_run(there.root, "train", "--core", "none", "--set", "heads.width=160")
    (there.root / "ledger.db").write_bytes(old)


def no_memory(there: TrainedWorkspace) -> None:
    shutil.rmtree(there.root.parent / STATE)


def altered_data(there: TrainedWorkspace) -> None:
    flip(first(there.root, "data/store/*.parquet"))


def torn_manifest(there: TrainedWorkspace) -> None:
    path = there.root / "data" / "store" / "manifest.json"
    path.write_bytes(path.read_bytes()[:-20])


def altered_rows(there: TrainedWorkspace) -> None:
    flip(first(there.root, "data/prepared/*/*.parquet"))


def altered_model(there: TrainedWorkspace) -> None:
    flip(first(there.root, "models/*/heads/audio.safetensors"))


def no_state(there: TrainedWorkspace) -> None:
    first(there.root, "state/*/audio.safetensors").unlink()


def stranger_in_model(there: TrainedWorkspace) -> None:
    (first(there.root, "models/*") / "notes.txt").write_text("mine")


def orphan(there: TrainedWorkspace) -> None:
    shutil.copytree(first(there.root, "state/*"), there.root / "state" / "orphan")


def partial_file(there: TrainedWorkspace) -> None:
    (there.root / "certs" / ".cert.json.partial").write_text("{")


def stray_bucket(there: TrainedWorkspace) -> None:
    source = first(there.root, "data/store/*.parquet")
    shutil.copy(source, source.with_name("bucket-000000.00000099.parquet"))


def interrupted(there: TrainedWorkspace) -> None:
    kill = partial(die_after, "mbd.workflows.steps.STEPS", "suppressed")
    revoke = ["revoke", "--user", there.revocable[0], "--modality", "audio"]
    assert child_mbd(there.root, *revoke, prelude=kill).code == KILLED


def overdue(there: TrainedWorkspace) -> None:
    interrupted(there)
    past = timestamp(datetime.now(UTC) - timedelta(days=1))
    with closing(sqlite3.connect(there.root / "ledger.db")) as connection:
        connection.execute("UPDATE request SET due_by = ?", [past])
        connection.commit()


def unfinished_restore(there: TrainedWorkspace) -> None:
    folder = there.root.parent / "backup"
    must_run(there.root, "backup", str(folder))
    kill = partial(die_after, "mbd.workflows.restore", "decide")
    assert child_mbd(there.root, "restore", str(folder), prelude=kill).code == KILLED


def still_stored(there: TrainedWorkspace) -> None:
    """A revocation that switched the channel off, and left the data where it was."""
    data = there.root.parent / "data"
    shutil.copytree(there.root / "data", data)
    must_run(there.root, "revoke", "--user", there.revocable[0], "--modality", "audio")
    shutil.rmtree(there.root / "data")
    shutil.copytree(data, there.root / "data")


def waiting_receipt(there: TrainedWorkspace) -> None:
    must_run(there.root, "revoke", "--user", there.revocable[0], "--modality", "audio")
    path = first(there.root, "receipts/*")
    os.utime(path, (path.stat().st_mtime - 10 * 86400,) * 2)


def no_bundle(there: TrainedWorkspace) -> None:
    must_run(there.root, "revoke", "--user", there.revocable[0], "--modality", "audio")
    first(there.root, "certs/*").unlink()


def unlearned(there: TrainedWorkspace) -> None:
    more = ["--spec", str(there.root.parent / "more.toml")]
    must_run(there.root, "data", "import", str(archive(there)), *more)


PLANTED: list[tuple[Callable[[TrainedWorkspace], None], str, str]] = [
    (bad_setting, "settings.invalid", "error"),
    (no_secrets, "file.missing", "error"),
    (no_folder, "folder.missing", "error"),
    (open_key, "permissions.open", "error"),
    (open_folder, "permissions.open", "error"),
    (other_issuer, "key.unknown", "error"),
    (torn_key, "key.invalid", "error"),
    (torn_secrets, "database.corrupt", "error"),
    (edit_ledger, "log.corrupt", "error"),
    (old_ledger, "log.rolled_back", "error"),
    (no_memory, "log.memory_missing", "warning"),
    (altered_data, "data.file", "error"),
    (torn_manifest, "data.file", "error"),
    (altered_rows, "rows.file", "error"),
    (altered_model, "model.file", "error"),
    (no_state, "state.file", "error"),
    (stranger_in_model, "model.unlisted", "warning"),
    (orphan, "leftover", "warning"),
    (partial_file, "leftover", "warning"),
    (stray_bucket, "leftover", "warning"),
    (interrupted, "request.interrupted", "warning"),
    (overdue, "request.overdue", "error"),
    (unfinished_restore, "restore.unfinished", "error"),
    (still_stored, "suppression.stored", "error"),
    (still_stored, "suppression.rows", "error"),
    (waiting_receipt, "receipt.waiting", "warning"),
    (no_bundle, "certificate.missing", "warning"),
    (unlearned, "rows.unlearned", "note"),
]


def test_a_healthy_workspace_has_nothing_to_report_and_is_left_as_it_was(
    trained_workspace: TrainedWorkspace,
) -> None:
    root = trained_workspace.root

    def everything() -> dict[Path, tuple[int, bytes]]:
        found = (path for path in root.rglob("*") if path.is_file())
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in found}

    before = everything()
    assert findings(trained_workspace, 0) == []
    assert "is well" in must_run(root, "doctor").out
    assert everything() == before


def test_a_new_workspace_is_well_and_empty(tmp_path: Path) -> None:
    must_run(tmp_path, "init", str(tmp_path / "new"))
    found = must_run(tmp_path / "new", "doctor", "--json").json["findings"]
    assert [(one["code"], one["severity"]) for one in found] == [("data.none", "note")]


@pytest.mark.parametrize(
    ("plant", "code", "severity"), PLANTED, ids=[f"{p.__name__}-{c}" for p, c, _ in PLANTED]
)
def test_every_planted_problem_is_found_with_its_code(
    trained_workspace: TrainedWorkspace,
    plant: Callable[[TrainedWorkspace], None],
    code: str,
    severity: str,
) -> None:
    plant(trained_workspace)
    found = findings(trained_workspace, int(severity == "error"))
    assert (code, severity) in [(one["code"], one["severity"]) for one in found], found


def test_all_problems_are_found_at_once(trained_workspace: TrainedWorkspace) -> None:
    for plant in (open_key, altered_data, altered_model, no_state, orphan, no_folder, torn_secrets):
        plant(trained_workspace)
    codes = {one["code"] for one in findings(trained_workspace, 1)}
    assert codes >= {"permissions.open", "data.file", "model.file", "state.file", "leftover",
                     "folder.missing", "database.corrupt"}  # fmt: skip


def test_a_workspace_of_which_little_is_left_is_examined_to_the_end(
    trained_workspace: TrainedWorkspace,
) -> None:
    root = trained_workspace.root
    for path in (path for path in sorted(root.rglob("*")) if path.is_file()):
        path.write_bytes(b"\x00\xff" * 50)
    assert len(findings(trained_workspace, 1)) > 5
    shutil.rmtree(root)
    root.mkdir()
    assert {one["code"] for one in findings(trained_workspace, 1)} >= {"file.missing"}


def test_a_full_disk_is_foreseen(
    trained_workspace: TrainedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(trained_workspace.root)._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    found = examine(trained_workspace.session().workspace, datetime.now(UTC))
    assert [one.code for one in found] == ["disk.low"]


def test_a_channel_that_was_granted_again_is_no_finding(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    must_run(root, "revoke", "--user", user, "--modality", "audio")
    session = trained_workspace.session()
    with session.database.transaction() as connection:
        suppressions.lift(connection, session.key, user, "audio", datetime.now(UTC))
    more = str(root.parent / "more.toml")
    must_run(root, "data", "add", str(archive(trained_workspace)), "--spec", more)
    assert [one["code"] for one in findings(trained_workspace, 0)] == ["receipt.waiting"]
