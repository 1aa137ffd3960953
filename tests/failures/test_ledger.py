"""Ledgers that forked, and ledgers that remembered the wrong things."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData, create_engine, select

from mbd.database.engine import Database
from mbd.ledger.last_signed import default_path
from mbd.ledger.log import Log
from mbd.ledger.merkle import verify_consistency
from mbd.ledger.note import open_checkpoint
from mbd.ledger.proofs import prove_growth
from tests.ledger.keys import signer
from tests.ledger.test_log import every_proof_holds, notes_of, two_processes
from tests.workspaces import TrainedWorkspace, must_run, run_mbd


def revoke(workspace: TrainedWorkspace, user: str, modality: str = "audio", *more: str) -> Any:
    asked = ["revoke", "--user", user, "--modality", modality, *more, "--json"]
    return must_run(workspace.root, *asked).json


# --- two writers ---------------------------------------------------------------------------


def test_row_level_hash_chains_that_forked_under_two_writers(tmp_path: Path) -> None:
    """Elsewhere each row held the hash of the row before, read by two processes at once.

    Here two processes append and publish on one file: every index once, one note per size, and
    every note that was ever signed is a prefix of the last. `tests/ledger/test_log.py` does the
    same on PostgreSQL, and with ten thousand entries.
    """
    (tmp_path / "db").mkdir()
    place = tmp_path / "db" / "ledger.db"
    log = Log(Database.create(place), signer(), tmp_path / "memory" / "m")

    two_processes(log, place, count=60, often=3)

    every_proof_holds(log)
    notes = notes_of(log)
    assert len(notes) > 5
    heads = [open_checkpoint(notes[size], log.verifier_key, log.origin) for size in sorted(notes)]
    with log.database.read() as connection:
        for older in heads:
            growth = prove_growth(connection, log.verifier_key, older, notes[max(notes)])
            verify_consistency(
                older.size, heads[-1].size, older.root, heads[-1].root, growth.hashes
            )


# --- a backup that became a fork -----------------------------------------------------------


def test_a_restored_backup_that_became_a_fork(trained_workspace: TrainedWorkspace) -> None:
    """Elsewhere an older database was put back, and signed a second history for the same sizes.

    Here the signer remembers, outside the workspace, what it signed last: nothing is appended to
    less than that. (`tests/workflows/test_backup.py`: how to put a backup back properly.)
    """
    root, users = trained_workspace.root, trained_workspace.revocable
    older = (root / "ledger.db").read_bytes()
    done = revoke(trained_workspace, users[0])
    (root / "ledger.db").write_bytes(older)

    ran = run_mbd(root, "revoke", "--user", users[1], "--modality", "audio", "--json")

    assert (ran.code, ran.json["error"]["code"]) == (1, "log.rolled_back")
    assert [path.name for path in (root / "certs").glob("*.json")] == [Path(done["bundle"]).name]


def test_a_fork_that_a_signer_without_memory_did_make_is_seen_by_who_looked_before(
    trained_workspace: TrainedWorkspace, tmp_path: Path
) -> None:
    """A whole machine put back, its memory too: the operator cannot know, an auditor can."""
    root, users = trained_workspace.root, trained_workspace.revocable
    shutil.copytree(root, tmp_path / "copy")
    trust = tmp_path / "auditor.toml"
    shutil.copy(root / "trust.toml", trust)
    seen = ["--trust", str(trust), "--memory", str(tmp_path / "seen")]
    kept = tmp_path / "first.json"
    shutil.copy(revoke(trained_workspace, users[0])["bundle"], kept)
    must_run(tmp_path, "verify", str(kept), *seen)
    memory = default_path(trained_workspace.session().log.verifier_key)
    shutil.rmtree(root)
    shutil.copytree(tmp_path / "copy", root)
    memory.unlink()

    second = revoke(trained_workspace, users[1])

    must_run(tmp_path, "verify", second["bundle"], "--trust", str(trust), "--no-memory")
    ran = run_mbd(tmp_path, "verify", second["bundle"], *seen, "--json")
    codes = {one["code"] for one in ran.json["checks"] if one["result"] == "fail"}
    assert (ran.code, codes) == (1, {"ckpt.fork"})


# --- people in rows ------------------------------------------------------------------------


def rows_of(path: Path) -> Iterator[tuple[str, str]]:
    """Every value of every row of every table, as text, with the name of its column."""
    engine = create_engine(f"sqlite:///{path}")
    metadata = MetaData()
    metadata.reflect(engine)
    with engine.connect() as connection:
        for table in metadata.sorted_tables:
            for row in connection.execute(select(table)).mappings():
                for name, value in row.items():
                    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
                    yield f"{table.name}.{name}", text
    engine.dispose()


def test_erased_people_living_on_in_audit_rows(trained_workspace: TrainedWorkspace) -> None:
    """Elsewhere the audit table named everybody who had asked to be forgotten, for good.

    Here no column of any table holds the person, a record, or a channel's name beside the request;
    `tests/workflows/test_privacy.py` searches the raw files, for hashes and encodings too.
    """
    root, user = trained_workspace.root, trained_workspace.revocable[-1]
    held = trained_workspace.session().store().read(subjects=[user])
    assert len(user) > 1
    assert held.record_ids
    done = revoke(trained_workspace, user, "all", "--request-id", "about-nobody")

    found = list(rows_of(root / "ledger.db"))
    rows = dict(found)

    assert rows["request.detail"] == "None"
    assert rows["batch.detail"] == "None"
    assert rows["request.certificate_id"] == done["certificateId"]
    for column, text in found:
        assert not any(record in text for record in held.record_ids), column
        assert text != user, column
        assert f'"{user}"' not in text, column


def test_the_search_finds_who_is_there(tmp_path: Path) -> None:
    """The search above, on a table that does name people."""
    path, names = tmp_path / "audit.db", ("Somebody", "else")
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE audit (who TEXT, what BLOB)")
        connection.exec_driver_sql("INSERT INTO audit VALUES (?, ?)", (names[0], names[1].encode()))
    engine.dispose()

    assert {text for _, text in rows_of(path)} == set(names)
