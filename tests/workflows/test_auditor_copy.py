"""The copy for an auditor reproduces a certificate, and holds nothing that is not needed for it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from mbd.canonical.digest import sha256_file
from tests.workflows.auditing import escrow_of, judge, revoke
from tests.workspaces import TrainedWorkspace, must_run, run_mbd

SECRET = ("keys", "secrets.db", "receipts", "staging", "mbd.toml", "trust.toml", "backup.json")
TICKET = "ticket-of-somebody"


def test_a_copy_for_an_auditor_reproduces_and_holds_no_secret(
    trained_workspace: TrainedWorkspace, tmp_path: Path
) -> None:
    root, (user, other, *_) = trained_workspace.root, trained_workspace.revocable
    waiting = ("--method", "retrain", "--queue", "--request-id", TICKET)
    revoked = revoke(trained_workspace, user, "--request-id", "r-of-the-person")
    must_run(root, "revoke", "--user", other, "--modality", "text", *waiting)
    shutil.copy(revoked.receipt, root / "receipts")
    copy = tmp_path / "copy"

    told = must_run(root, "backup", str(copy), "--for-auditor").out

    assert "holds everybody's retained data" in told
    for options in ({}, {"escrow": escrow_of(revoked)}):
        found = judge(revoked, copy, **options)
        assert (found.exit_code, found.result) == (0, "pass"), found.reason
        assert found.reason.startswith("REPRODUCED: ")
    files = {path.relative_to(copy) for path in copy.rglob("*") if path.is_file()}
    assert {path.parts[0] for path in files} == {"certs", "data", "ledger.db", "models", "state"}
    assert not [name for name in SECRET if list(copy.rglob(name))]
    kept = [path for path in root.rglob("*") if path.is_file()]
    secret = {sha256_file(one) for one in kept if one.relative_to(root).parts[0] in SECRET}
    assert not secret & {sha256_file(copy / path) for path in files}


def test_its_ledger_does_not_say_who_asked(
    trained_workspace: TrainedWorkspace, tmp_path: Path
) -> None:
    root, (user, *_) = trained_workspace.root, trained_workspace.revocable
    waiting = ("--method", "retrain", "--queue", "--request-id", TICKET)
    must_run(root, "revoke", "--user", user, "--modality", "text", *waiting)
    copy = tmp_path / "copy"
    must_run(root, "backup", str(copy), "--for-auditor")

    assert TICKET.encode() in (root / "ledger.db").read_bytes()
    assert TICKET.encode() not in (copy / "ledger.db").read_bytes()
    with closing(sqlite3.connect(copy / "ledger.db")) as ledger:
        for table in ("request", "batch", "suppression"):
            assert ledger.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_it_takes_no_keys_and_is_no_backup(
    trained_workspace: TrainedWorkspace, tmp_path: Path
) -> None:
    root, copy = trained_workspace.root, tmp_path / "copy"
    refused = run_mbd(root, "backup", str(copy), "--for-auditor", "--with-keys", "--json")
    assert (refused.code, refused.json["error"]["field"]) == (2, "--with-keys")
    assert not copy.exists()
    must_run(root, "backup", str(copy), "--for-auditor", "--json")
    assert run_mbd(root, "restore", str(copy)).code == 4
    assert run_mbd(root, "backup", str(copy), "--for-auditor").code == 6
