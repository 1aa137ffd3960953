"""A workspace whose ledger is on a server, from its beginning to a restore, through kills."""

from __future__ import annotations

import json
import shutil
import time
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select, text

from mbd.database import tables
from mbd.database.postgres import JOURNAL, PostgresSchema
from mbd.workflows.session import Session
from tests.postgres import PASSWORD, RunningServer, running_server
from tests.workflows.children import (
    KILLED,
    Prelude,
    child_mbd,
    die_after,
    die_before,
    sleep_before,
    start_mbd,
    table_of,
)
from tests.workflows.test_scan import erased_values
from tests.workspaces import (
    RECORDS,
    SEED,
    USERS,
    WIDTH,
    TrainedWorkspace,
    describe,
    must_run,
    run_mbd,
)

pytestmark = pytest.mark.slow

MOMENTS: dict[str, Prelude] = {
    "received": partial(die_before, table_of("received"), "received"),
    "staged, not recorded": partial(
        die_before, "mbd.database.batches.Batches", "advance", only="staged"
    ),
    "activated": partial(die_after, table_of("staged"), "staged"),
    "erased, rows of the journal still dead": partial(
        die_before, "mbd.database.engine.Database", "purge"
    ),
    "logged, not published": partial(die_after, table_of("signed"), "signed"),
    "completed, not purged": partial(die_before, "mbd.database.engine.Database", "purge", call=2),
}


@pytest.fixture
def server() -> RunningServer:
    """A server that keeps what was committed."""
    with running_server(durable=True) as running:
        yield running


@pytest.fixture
def trained(tmp_path: Path, server: RunningServer) -> TrainedWorkspace:
    """A trained workspace; the password is in a file, so that child processes have it too."""
    secret = tmp_path / "pgpass"
    secret.write_text(f"*:*:*:*:{PASSWORD.replace(':', chr(92) + ':')}\n", "utf-8")
    secret.chmod(0o600)
    url = f"{server.url(password=None)}?passfile={secret}"
    root = tmp_path / "service"
    must_run(tmp_path, "init", str(root), "--database-url", url)
    sizes = ["--users", str(USERS), "--records", str(RECORDS), "--seed", str(SEED)]
    must_run(root, "data", "synth", *sizes)
    must_run(root, "train", "--core", "none", "--set", f"heads.width={WIDTH}")
    return describe(root)


def certificates(root: Path) -> set[Path]:
    return set((root / "certs").glob("*.json"))


def check_everything(root: Path, size: int | None = None) -> None:
    """Log and state hold, nothing is open, every certificate verifies, no request left a trace."""
    checked = must_run(root, "ledger", "check", "--json").json
    assert size is None or checked["size"] == size
    must_run(root, "state", "check")
    for path in certificates(root):
        assert run_mbd(root, "verify", str(path)).code in (0, 9)
    session = TrainedWorkspace(root, (), ()).session()
    with session.database.read() as connection:
        query = select(tables.request.c.stage, tables.request.c.detail)
        assert {(row.stage, row.detail) for row in connection.execute(query)} <= {
            ("completed", None),
            ("cancelled", None),
        }


def test_the_whole_life_of_a_workspace_on_a_server(
    trained: TrainedWorkspace, server: RunningServer, tmp_path: Path
) -> None:
    root, users = trained.root, iter(trained.revocable)
    assert not (root / "ledger.db").exists()

    must_run(root, "revoke", "--user", next(users), "--modality", "audio")
    batch = root.parent / "batch.jsonl"
    batch.write_text(
        "".join(json.dumps({"user": next(users), "modality": "text"}) + "\n" for _ in range(3)),
        "utf-8",
    )
    must_run(root, "revoke", "--batch", str(batch))
    check_everything(root)
    assert len(certificates(root)) == 4

    for name, kill in MOMENTS.items():
        user, before = next(users), certificates(root)
        ran = child_mbd(root, "revoke", "--user", user, "--modality", "vision", prelude=kill)
        assert ran.code == KILLED, (name, ran.err)
        must_run(root, "resume")
        assert len(certificates(root) - before) == 1 or name.startswith("completed"), name
        check_everything(root)
        again = run_mbd(root, "revoke", "--user", user, "--modality", "vision")
        assert again.code in (0, 6), name
    assert len(certificates(root)) == 4 + len(MOMENTS)

    receipt = next((root / "receipts").glob("*.json"))
    found = run_mbd(root, "data", "scan", "--receipt", str(receipt), "--json")
    assert (found.code, found.json["found"]) == (0, [])
    assert any("pg_wal" in one["what"] for one in found.json["notCovered"])

    must_run(root, "backup", str(tmp_path / "copy"), "--with-keys")
    must_run(root, "revoke", "--user", next(users), "--modality", "audio")
    must_run(root, "restore", str(tmp_path / "copy"))
    check_everything(root)

    # The folder is lost, the server is not: the newest ledger there is has the last word.
    shutil.rmtree(root)
    done = must_run(tmp_path, "restore", str(tmp_path / "copy"), "--into", str(root), "--json")
    assert done.json["entriesSince"] > 0
    assert done.json["channelsErased"] == 1
    must_run(root, "state", "check")
    must_run(root, "ledger", "check")

    # The server is lost too, with entries that this machine remembers: nothing is forgotten.
    schema = trained.session().database.backend
    assert isinstance(schema, PostgresSchema)
    schema.drop()
    shutil.rmtree(root)
    refused = run_mbd(tmp_path, "restore", str(tmp_path / "copy"), "--into", str(root), "--json")
    assert (refused.code, refused.json["error"]["code"]) == (5, "restore.forgets")
    assert server.execute("SELECT 1 FROM pg_namespace WHERE nspname LIKE 'mbd\\_%'") == []
    assert not root.exists()


def test_a_scan_finds_what_came_back_into_a_table(trained: TrainedWorkspace) -> None:
    root, user = trained.root, trained.revocable[0]
    session = trained.session()
    value = erased_values(trained, user)[0]
    must_run(root, "revoke", "--user", user, "--modality", "audio")
    receipt = next((root / "receipts").glob("*.json"))
    with session.database.transaction() as connection:
        connection.execute(text("CREATE TABLE stray (value bytea)"))
        connection.execute(text("INSERT INTO stray VALUES (:value)"), {"value": value})
    found = run_mbd(root, "data", "scan", "--receipt", str(receipt), "--json")
    assert found.code == 1
    (one,) = found.json["found"]
    assert one["where"] == "table stray"
    assert one["file"].startswith("PostgreSQL database")


def test_a_server_that_dies_is_no_end_of_a_request(
    trained: TrainedWorkspace, server: RunningServer
) -> None:
    root, user = trained.root, trained.revocable[0]
    pause = partial(sleep_before, table_of("staged"), "staged", seconds=8)
    child = start_mbd(root, "revoke", "--user", user, "--modality", "audio", prelude=pause)
    session, deadline = trained.session(), time.monotonic() + 60
    while "staged" not in stages(session):
        assert time.monotonic() < deadline, "it was never staged"
        time.sleep(0.05)
    server.kill()
    ran = child.wait()
    assert ran.code == 7, ran.err
    assert "mbd resume" in ran.err
    away = run_mbd(root, "ledger", "list", "--json")
    assert (away.code, away.json["error"]["code"]) == (7, "database.away")
    server.start()
    must_run(root, "resume")
    again = run_mbd(root, "revoke", "--user", user, "--modality", "audio", "--json")
    assert again.json["error"]["code"] == "revoked.already"
    check_everything(root)
    assert len(certificates(root)) == 1


def stages(session: Session) -> set[str]:
    with session.database.read() as connection:
        return set(connection.execute(select(tables.request.c.stage)).scalars())


def test_nothing_of_a_request_stays_in_the_files_of_its_tables(
    trained: TrainedWorkspace, server: RunningServer
) -> None:
    """The subject's own name is too short to look for; the key of its place is not."""
    root, user = trained.root, trained.revocable[0]
    kill = partial(die_after, table_of("received"), "received")
    assert child_mbd(root, "revoke", "--user", user, "--modality", "audio", prelude=kill).code < 0
    needle = f'"subject": "{user}"'.encode()
    assert needle in journal_files(trained, server)
    must_run(root, "resume")
    assert needle not in journal_files(trained, server)


def journal_files(trained: TrainedWorkspace, server: RunningServer) -> bytes:
    """What the files of the journal's tables hold, rows that are dead included."""
    schema = trained.session().database.backend
    assert isinstance(schema, PostgresSchema)
    server.execute("CHECKPOINT")
    paths = [
        server.execute(f"SELECT pg_relation_filepath('\"{schema.schema}\".{table}')")[0][0]
        for table in JOURNAL
    ]
    return b"".join((server.folder / "data" / str(path)).read_bytes() for path in paths)
