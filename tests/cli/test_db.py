"""Promises of `mbd db`, and of a ledger on a server as the command line shows it."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import MetaData, insert, select

from mbd.database import migrate, tables
from mbd.database.engine import REVISIONS, SCHEMA_REVISION, Database, make_database
from mbd.database.postgres import PostgresSchema
from mbd.errors import StorageError
from mbd.workflows import initialise
from mbd.workspace.layout import open_workspace
from mbd.workspace.ledger_place import Place, Server, ledger_place
from mbd.workspace.settings import load_settings
from tests.postgres import PASSWORD, QUOTED, RunningServer
from tests.workspaces import must_run, run_mbd

READERS = ["ledger list", "ledger check", "data info", "resume", "doctor", "backup ../copy"]


@pytest.fixture(params=["sqlite", "postgresql"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new workspace, its ledger in a file or on a server."""
    if request.param == "postgresql":
        monkeypatch.setenv("MBD_DATABASE_URL", request.getfixturevalue("postgres_url"))
    must_run(tmp_path, "init", "service")
    return tmp_path / "service"


def place_of(root: Path) -> Place:
    workspace = open_workspace(root)
    return ledger_place(workspace, load_settings(workspace))


def make_older(root: Path) -> None:
    """Put the ledger of a workspace back into the tables of the first version."""
    place = place_of(root)
    with Database.open(place).read() as connection:
        rows = {
            table.name: [dict(row) for row in connection.execute(select(table)).mappings()]
            for table in tables.metadata.sorted_tables
        }
    if isinstance(place, Server):
        PostgresSchema(place).drop()
    else:
        place.unlink()
    make_database(place, lambda connection: migrate.upgrade(connection, "0001"))
    with Database.open_any(place).transaction() as connection:
        then = MetaData()
        then.reflect(connection, only=lambda name, _: name != "alembic_version")
        connection.execute(then.tables["head"].delete())
        for table in then.sorted_tables:
            if rows[table.name]:
                connection.execute(insert(table), rows[table.name])


def test_a_new_workspace_is_current(root: Path) -> None:
    found = must_run(root, "db", "current", "--json").json
    assert (found["revision"], found["current"], found["missing"]) == (SCHEMA_REVISION, True, [])
    done = must_run(root, "db", "upgrade", "--json").json
    assert (done["revision"], done["made"]) == (SCHEMA_REVISION, [])


def test_an_older_ledger_is_refused_everywhere_until_it_is_upgraded(root: Path) -> None:
    make_older(root)
    for line in READERS:
        ran = run_mbd(root, *line.split(), "--json")
        assert ran.code == 1, line
        assert "mbd db upgrade" in ran.out, line
        assert line == "doctor" or ran.json["error"]["code"] == "version.older", line
    assert must_run(root, "db", "current", "--json").json["missing"] == list(REVISIONS[1:])
    ran = must_run(root, "db", "upgrade", "--json")
    assert ran.json["made"] == list(REVISIONS[1:])
    assert "--copy" in ran.err
    assert must_run(root, "ledger", "check", "--json").json["size"] == 2
    assert "version.older" not in run_mbd(root, "doctor").out


def test_doctor_says_what_a_server_may_lose_and_what_it_keeps(
    tmp_path: Path, postgres_url: str
) -> None:
    """The server of the tests does not flush, so that they are quick."""
    must_run(tmp_path, "init", "service", "--database-url", postgres_url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MBD_DATABASE_URL", postgres_url)
        found = run_mbd(tmp_path / "service", "doctor", "--json")
    told = {(one["severity"], one["code"]) for one in found.json["findings"]}
    assert found.code == 1
    assert {("error", "server.durability"), ("note", "server.not_covered")} <= told
    assert "fsync" in found.out
    assert "pg_wal" in found.out


def test_a_newer_ledger_is_refused_everywhere(root: Path) -> None:
    with Database.open(place_of(root)).transaction() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for line in [*READERS, "db current", "db upgrade"]:
        ran = run_mbd(root, *line.split(), "--json")
        assert ran.code == 1, line
        assert "newer" in ran.out, line
        assert line == "doctor" or ran.json["error"]["code"] == "version.newer", line


def test_a_copy_is_made_before_an_upgrade_where_the_ledger_is_a_file(
    root: Path, tmp_path: Path
) -> None:
    make_older(root)
    ran = run_mbd(root, "db", "upgrade", "--copy", str(tmp_path / "before.db"), "--json")
    if isinstance(place_of(root), Server):
        assert ran.code == 2
        assert "pg_dump --schema=mbd_" in ran.json["error"]["hint"]
        return
    assert ran.code == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "before.db")) as copy:
        assert copy.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
    make_older(root)
    again = run_mbd(root, "db", "upgrade", "--copy", str(tmp_path / "before.db"), "--json")
    assert (again.code, again.json["error"]["field"]) == (6, "--copy")


def test_a_ledger_that_does_not_hold_is_not_upgraded(root: Path) -> None:
    make_older(root)
    with Database.open_any(place_of(root)).transaction() as connection:
        connection.execute(tables.node.update().values(hash=bytes(32)))
    ran = run_mbd(root, "db", "upgrade", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (1, "log.corrupt")
    assert must_run(root, "db", "current", "--json").json["revision"] == "0001"


def test_the_password_is_never_stored_nor_printed(
    tmp_path: Path, postgres_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MBD_DATABASE_URL", postgres_server.url())
    told = must_run(tmp_path, "-v", "init", "service")
    root = tmp_path / "service"
    ran = [told, *(run_mbd(root, "-v", *line.split()) for line in [*READERS, "db current"])]
    for wrong in (
        postgres_server.url("nowhere"),
        postgres_server.url(password=QUOTED + "x"),
        postgres_server.url().replace("127.0.0.1", "no-such-host.invalid"),
        f"postgresql+psycopg://mbd:{QUOTED}@127.0.0.1:port/x",
    ):
        monkeypatch.setenv("MBD_DATABASE_URL", wrong)
        refused = run_mbd(root, "-v", "ledger", "list")
        assert refused.code in (1, 2, 4, 7), refused.err
        ran.append(refused)
    for one in ran:
        assert PASSWORD not in one.out + one.err
        assert QUOTED not in one.out + one.err
    for path in root.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert PASSWORD.encode() not in content
        assert QUOTED.encode() not in content
    monkeypatch.delenv("MBD_DATABASE_URL")
    assert run_mbd(root, "ledger", "list", "--json").json["error"]["code"] == "database.denied"
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert len(must_run(root, "ledger", "list", "--json").json["entries"]) == 2


def test_a_password_file_is_enough_and_a_password_in_the_settings_is_refused(
    tmp_path: Path, postgres_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "pgpass"
    secret.write_text(f"*:*:*:*:{PASSWORD.replace(':', chr(92) + ':')}\n", "utf-8")
    secret.chmod(0o600)
    url = postgres_server.url(password=None)
    must_run(tmp_path, "init", "service", "--database-url", f"{url}?passfile={secret}")
    root = tmp_path / "service"
    must_run(root, "ledger", "check")
    settings = root / "mbd.toml"
    settings.write_text(settings.read_text("utf-8").replace("://mbd@", "://mbd:secret@"), "utf-8")
    refused = run_mbd(root, "ledger", "check", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (1, "settings.password")
    assert "secret" not in refused.out


def test_two_workspaces_on_one_database_do_not_meet(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MBD_DATABASE_URL", postgres_url)
    for name in ("one", "other"):
        must_run(tmp_path, "init", name)
        assert not (tmp_path / name / "ledger.db").exists()
    must_run(tmp_path / "one", "data", "synth", "--users", "4", "--records", "8")
    roots = [
        must_run(tmp_path / name, "ledger", "check", "--json").json for name in ("one", "other")
    ]
    assert [found["size"] for found in roots] == [2, 2]
    assert roots[0]["root"] != roots[1]["root"]


def test_a_workspace_with_a_file_says_what_to_do_about_a_url_in_the_environment(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    must_run(tmp_path, "init", "service")
    monkeypatch.setenv("MBD_DATABASE_URL", postgres_url)
    refused = run_mbd(tmp_path / "service", "ledger", "list", "--json")
    assert refused.code == 4
    assert "ledger.db" in refused.json["error"]["hint"]


def test_an_init_that_fails_leaves_nothing_anywhere(
    tmp_path: Path, postgres_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def schemas() -> list[tuple[object, ...]]:
        return postgres_server.execute("SELECT nspname FROM pg_namespace ORDER BY 1")

    def fail(policy: object) -> str:
        raise StorageError("the disk is full")

    before = schemas()
    monkeypatch.setattr(initialise, "render_trust", fail)
    monkeypatch.setenv("MBD_DATABASE_URL", postgres_server.url())
    assert run_mbd(tmp_path, "init", "service").code == 1
    assert schemas() == before
    assert not list(tmp_path.glob("*service*"))


def test_a_ledger_moves_to_a_server_and_goes_on_there(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    must_run(tmp_path, "init", "service")
    root = tmp_path / "service"
    must_run(root, "data", "synth", "--users", "4", "--records", "8")
    before = must_run(root, "ledger", "check", "--json").json
    monkeypatch.setenv("MBD_DATABASE_URL", postgres_url)
    must_run(root, "db", "move")
    assert not list(root.glob("ledger.db*"))
    assert must_run(root, "ledger", "check", "--json").json == before
    assert QUOTED not in (root / "mbd.toml").read_text("utf-8")
    assert "database_url" in (root / "mbd.toml").read_text("utf-8")
    must_run(root, "data", "info")
    again = run_mbd(root, "db", "move", "--json")
    assert (again.code, again.json["error"]["code"]) == (6, "database.moved")
    (root / "ledger.db").touch()
    found = run_mbd(root, "doctor", "--json").json["findings"]
    assert "ledger.unused" in {one["code"] for one in found}


def test_a_move_that_fails_changes_nothing(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    must_run(tmp_path, "init", "service")
    root = tmp_path / "service"
    with Database.open(root / "ledger.db").transaction() as connection:
        connection.execute(tables.node.update().values(hash=bytes(32)))
    settings = (root / "mbd.toml").read_text("utf-8")
    refused = run_mbd(root, "db", "move", "--database-url", postgres_url, "--json")
    assert (refused.code, refused.json["error"]["code"]) == (1, "log.corrupt")
    assert (root / "mbd.toml").read_text("utf-8") == settings
    assert (root / "ledger.db").is_file()
    assert json.loads(run_mbd(root, "db", "current", "--json").out)["current"]
    assert "MBD_DATABASE_URL" not in os.environ
