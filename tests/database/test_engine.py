"""Promises of the database file: complete or absent, ours or refused, forgetful when told."""

import multiprocessing
import resource
import sqlite3
import stat
import subprocess
import sys
import tomllib

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, select, update

from mbd.database import connection as connections
from mbd.database import migrate, postgres, tables
from mbd.database.engine import REVISIONS, SCHEMA_REVISION, Database
from mbd.errors import (
    ConflictError,
    IntegrityError,
    NotFoundError,
    StorageError,
    TemporaryError,
    VersionError,
)
from mbd.workspace.ledger_place import Server

SECRET = "the voice of subject forty-two"


def test_migrations_make_exactly_the_declared_tables(database, place):
    with database.read() as connection:
        if isinstance(place, Server):
            connection.dialect.default_schema_name = place.schema
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []


def test_the_program_knows_every_migration():
    script = ScriptDirectory.from_config(migrate.migration_config())
    assert [one.revision for one in script.walk_revisions()][::-1] == list(REVISIONS)
    assert script.get_current_head() == SCHEMA_REVISION


def test_a_wheel_carries_the_migrations_where_they_are_looked_for():
    project = migrate._PACKAGE.parent / "pyproject.toml"
    built = tomllib.loads(project.read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert built["force-include"] == {"migrations": "mbd/_migrations"}


def test_migrations_are_found_in_a_wheel_and_beside_an_editable_package(tmp_path, monkeypatch):
    editable = migrate.migrations_folder()
    package = tmp_path / "site" / "mbd"
    monkeypatch.setattr(migrate, "_PACKAGE", package)
    with pytest.raises(NotFoundError):
        migrate.migrations_folder()
    (package / "_migrations").mkdir(parents=True)
    for source in [editable / "env.py", *editable.glob("versions/*.py")]:
        target = package / "_migrations" / source.relative_to(editable)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(source.read_bytes())
    made = Database.create(tmp_path / "from-wheel.db")
    with made.read() as connection:
        assert connection.execute(select(tables.head.c.size)).scalar() == 0


def test_a_new_database_is_one_file_for_its_owner_only(file_database):
    database = file_database
    assert stat.S_IMODE(database.path.stat().st_mode) == 0o600
    assert [path.name for path in database.path.parent.iterdir()] == [database.path.name]


def test_creating_never_overwrites(database, place):
    with database.transaction() as connection:
        connection.execute(update(tables.head).values(size=7))
    with pytest.raises(ConflictError):
        Database.create(place)
    with Database.open(place).read() as connection:
        assert connection.execute(select(tables.head.c.size)).scalar() == 7


def test_a_failed_creation_leaves_nothing(place, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "upgrade", half_made)
        with pytest.raises(NotFoundError, match="half way"):
            Database.create(place)
    if not isinstance(place, Server):
        assert list(place.parent.iterdir()) == []
    with pytest.raises(NotFoundError):
        Database.open(place)
    Database.create(place)


def half_made(connection):
    connection.exec_driver_sql("CREATE TABLE alembic_version (version_num TEXT)")
    raise NotFoundError("half way")


def test_what_is_missing_is_not_made(place):
    with pytest.raises(NotFoundError) as refused:
        Database.open(place)
    assert refused.value.code == "database.not_found"
    if not isinstance(place, Server):
        assert list(place.parent.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"nonsense " * 1000, b"SQLite format 3\x00"])
def test_a_file_that_is_no_database_is_refused_by_name(tmp_path, content):
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"ledger\.db"):
        Database.open(path)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_truncated_database_is_refused_by_name(file_database, share):
    database = file_database
    content = database.path.read_bytes()
    database.path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(IntegrityError, match=r"ledger\.db"):
        Database.open(database.path)


def test_another_programs_database_is_refused(tmp_path):
    path = tmp_path / "ledger.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE songs (title TEXT)")
    other.commit()
    other.close()
    with pytest.raises(IntegrityError):
        Database.open(path)


def test_a_newer_schema_is_refused(database, place):
    with database.transaction() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(VersionError, match="9999") as refused:
        Database.open(place)
    assert refused.value.code == "version.newer"
    assert "db upgrade" not in refused.value.hint


def test_an_older_schema_is_refused_with_the_way_out(database, place):
    with database.transaction() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(VersionError, match="older") as refused:
        Database.open(place)
    assert refused.value.code == "version.older"
    assert "mbd db upgrade" in refused.value.hint


def test_a_transaction_that_fails_leaves_no_trace(database):
    def fail():
        with database.transaction() as connection:
            connection.execute(update(tables.head).values(size=7))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with database.read() as connection:
        assert connection.execute(select(tables.head.c.size)).scalar() == 0


def test_a_reader_sees_one_state_while_others_write(database):
    with database.read() as reader:
        before = reader.execute(select(tables.head.c.size)).scalar()
        with database.transaction() as writer:
            writer.execute(update(tables.head).values(size=7))
        assert reader.execute(select(tables.head.c.size)).scalar() == before


def test_a_second_writer_waits_and_is_told_to_retry(database, monkeypatch):
    monkeypatch.setattr(connections, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(postgres, "BUSY_SECONDS", 0.05)
    with database.transaction(), pytest.raises(TemporaryError), database.transaction():
        pytest.fail("two writers at once")


def test_a_deleted_value_is_in_no_file_after_a_purge(file_database):
    database = file_database
    row = {"name": "model", "value": SECRET * 100}
    with database.transaction() as connection:
        connection.execute(insert(tables.pointer).values(row))
    with database.read():  # keeps the log from vanishing with the last connection
        with database.transaction() as connection:
            connection.execute(update(tables.pointer).values(value="short"))
        assert any(SECRET.encode() in content for content in contents(database))
    database.purge()
    assert not any(SECRET.encode() in content for content in contents(database))


def test_a_reader_in_the_way_of_forgetting_is_reported(database, monkeypatch):
    monkeypatch.setattr(connections, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(postgres, "BUSY_SECONDS", 0.05)
    row = {"name": "model", "value": SECRET}
    with database.transaction() as connection:
        connection.execute(insert(tables.pointer).values(row))
    with database.read() as reader:
        reader.execute(select(tables.head.c.size)).scalar()
        with database.transaction() as connection:
            connection.execute(update(tables.pointer).values(value="short"))
        with pytest.raises(TemporaryError):
            database.purge()
    database.purge()


def contents(database):
    return [path.read_bytes() for path in database.path.parent.iterdir()]


def fill_the_disk(path, told):
    database = Database.open(path)
    limit = path.stat().st_size + (64 << 10)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        with database.transaction() as connection:
            row = {"name": "model", "value": "x" * (1 << 20)}
            connection.execute(insert(tables.pointer).values(row))
    except StorageError as error:
        told.put(error.message)


def test_a_full_disk_is_a_storage_error_and_nothing_is_half_written(file_database):
    database = file_database
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    child = context.Process(target=fill_the_disk, args=(database.path, told))
    child.start()
    assert "ledger.db" in told.get(timeout=60)
    child.join()
    with Database.open(database.path).read() as connection:
        assert connection.execute(select(tables.pointer)).all() == []
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


def test_opening_imports_no_alembic_and_a_file_no_driver_of_servers(file_database):
    script = (
        "import sys; from pathlib import Path; from mbd.database.engine import Database;"
        f"Database.open(Path({str(file_database.path)!r}));"
        "sys.exit(any(name in sys.modules for name in ('alembic', 'numpy', 'psycopg')))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
