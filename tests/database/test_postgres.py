"""Promises that only a server has to keep: apart, forgetful, and its errors in our words."""

import multiprocessing
import threading
import time

import psycopg
import pytest
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from mbd.database import postgres, tables
from mbd.database.engine import Database
from mbd.database.postgres_errors import server_errors
from mbd.errors import MbdError, NotFoundError, StorageError, TemporaryError, UsageError
from mbd.workspace.database_url import check_url, has_password, without_password
from mbd.workspace.ledger_place import Server
from tests.postgres import PASSWORD, QUOTED, running_server

SECRET = "the voice of subject forty-two " * 20


@pytest.fixture
def place(postgres_server):
    return postgres_server.new_schema()


def test_two_workspaces_in_one_database_never_meet(database, place):
    other = Database.create(Server(place.url, f"{place.schema}_other"))
    with database.transaction() as connection:
        connection.execute(update(tables.head).values(size=7))
        with other.transaction() as beside:  # and neither waits for the other
            beside.execute(update(tables.head).values(size=3))
    sizes = [one.read() for one in (database, other)]
    with sizes[0] as mine, sizes[1] as theirs:
        assert mine.execute(select(tables.head.c.size)).scalar() == 7
        assert theirs.execute(select(tables.head.c.size)).scalar() == 3


def test_a_table_of_somebody_else_is_never_taken_for_ours(database, place, postgres_server):
    postgres_server.execute(f'DROP TABLE "{place.schema}".pointer')
    postgres_server.execute("CREATE TABLE IF NOT EXISTS public.pointer (name text, value text)")
    try:
        with pytest.raises(MbdError) as refused, database.read() as connection:
            connection.execute(select(tables.pointer)).all()
        assert refused.value.code == "database.corrupt"
    finally:
        postgres_server.execute("DROP TABLE public.pointer")


def test_a_deleted_value_is_in_no_file_of_a_table_after_a_purge(database, place, postgres_server):
    with database.transaction() as connection:
        connection.execute(insert(tables.pointer).values(name="model", value=SECRET))
    with database.transaction() as connection:
        connection.execute(update(tables.pointer).values(value="short"))
    assert SECRET.encode() in table_file(place, postgres_server)
    postgres_server.execute(f'VACUUM "{place.schema}".pointer')
    database.purge()
    content = table_file(place, postgres_server)
    assert b"short" in content
    assert SECRET[:31].encode() not in content


def table_file(place, server):
    server.execute("CHECKPOINT")
    query = f"SELECT pg_relation_filepath('\"{place.schema}\".pointer')"
    return (server.folder / "data" / server.execute(query)[0][0]).read_bytes()


def test_a_purge_waits_for_a_reader_to_end(database):
    with database.transaction() as connection:
        connection.execute(insert(tables.pointer).values(name="model", value=SECRET))
    reading, read = threading.Event(), threading.Event()

    def dawdle():
        with database.read() as connection:
            connection.execute(select(tables.head.c.size)).scalar()
            reading.set()
            read.wait(10)

    reader = threading.Thread(target=dawdle)
    reader.start()
    reading.wait(10)
    with database.transaction() as connection:
        connection.execute(update(tables.pointer).values(value="short"))
    threading.Timer(0.5, read.set).start()
    began = time.monotonic()
    database.purge()
    assert time.monotonic() - began > 0.4
    reader.join()


def test_writers_follow_one_another_and_none_overwrites_another(database, place):
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=count_up, args=(place, 40)) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    with database.read() as connection:
        assert connection.execute(select(tables.head.c.size)).scalar() == 80
        assert connection.execute(select(func.count()).select_from(tables.node)).scalar() == 80


def count_up(place, times):
    """Read, then write what follows from it: without the lock two writers would collide."""
    database = Database.open(place)
    for _ in range(times):
        with database.transaction() as connection:
            size = connection.execute(select(tables.head.c.size)).scalar()
            row = {"level": 0, "node_index": size, "hash": b""}
            connection.execute(insert(tables.node).values(row))
            connection.execute(update(tables.head).values(size=size + 1))


def test_a_child_process_uses_connections_of_its_own(database):
    with database.read():
        pass
    context = multiprocessing.get_context("fork")
    child = context.Process(target=ask, args=(database,))
    child.start()
    child.join(30)
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    assert child.exitcode == 0


def ask(database):
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1


@pytest.mark.parametrize(
    ("changed", "code", "kind"),
    [
        ((QUOTED, "wrong"), "database.denied", MbdError),
        ((f":{QUOTED}@", "@"), "database.denied", MbdError),
        (("/postgres", "/nothing"), "database.not_found", NotFoundError),
        (("127.0.0.1:", "127.0.0.1:1"), "database.away", TemporaryError),
        (("127.0.0.1", "no-such-host.invalid"), "database.away", TemporaryError),
    ],
)
def test_a_server_that_cannot_be_used_is_named_without_the_password(place, changed, code, kind):
    url = place.url.replace(*changed)
    if changed[0].endswith(":"):
        url = f"postgresql+psycopg://mbd:{QUOTED}@127.0.0.1:1/postgres"
    with pytest.raises(kind) as refused:
        Database.open(Server(url, place.schema))
    assert refused.value.code == code
    assert refused.value.hint
    told = f"{refused.value} {refused.value.hint} {refused.value.field} {Server(url, 'x')!r}"
    assert PASSWORD not in told
    assert QUOTED not in told
    assert "wrong" not in told


@pytest.mark.parametrize(
    ("state", "kind", "code"),
    [
        ("40001", TemporaryError, "database.busy"),
        ("40P01", TemporaryError, "database.busy"),
        ("57P01", TemporaryError, "database.away"),
        ("53300", TemporaryError, "database.busy"),
        ("53100", StorageError, "storage.full"),
        ("25006", StorageError, "storage"),
        ("XX001", MbdError, "database.corrupt"),
        ("42501", MbdError, "database.denied"),
    ],
)
def test_what_a_server_says_becomes_our_error(database, state, kind, code):
    def said():
        with database.transaction() as connection:
            raised = f"DO $$ BEGIN RAISE EXCEPTION 'said' USING ERRCODE = '{state}'; END $$"
            connection.execute(text(raised))

    with pytest.raises(kind) as refused:
        said()
    assert refused.value.code == code
    with pytest.raises(psycopg.Error), server_errors("here"):
        raise psycopg.errors.UniqueViolation


def test_values_are_in_no_message(database):
    def twice():
        with database.transaction() as connection:
            for _ in range(2):
                connection.execute(insert(tables.pointer).values(name="model", value=SECRET))

    with pytest.raises(IntegrityError) as refused:  # a defect of ours, and printed as one
        twice()
    assert "forty-two" not in str(refused.value)


def test_two_writers_in_each_other_s_way_are_told_to_try_again(database, place, monkeypatch):
    """A deadlock cannot happen between our writers; somebody else's lock can cause one."""
    monkeypatch.setattr(postgres, "BUSY_SECONDS", 0.2)
    with psycopg.connect(place.url.replace("+psycopg", "")) as other:
        other.execute(f'LOCK TABLE "{place.schema}".pointer IN ACCESS EXCLUSIVE MODE')
        with pytest.raises(TemporaryError) as refused, database.transaction() as connection:
            connection.execute(insert(tables.pointer).values(name="model", value="v"))
    assert refused.value.code == "database.busy"


def test_a_database_of_other_text_is_refused(postgres_server):
    postgres_server.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(MbdError, match="LATIN1") as refused:
        Database.create(Server(postgres_server.url("latin"), "mbd_test"))
    assert refused.value.code == "database.encoding"


@pytest.mark.parametrize(
    "url",
    ["", "nonsense", "sqlite:///x.db", "mysql://u@h/d", "postgresql://host", "postgresql://h:0/d",
     "postgresql://h:port/d", "postgresql+asyncpg://u@h/d"],
)  # fmt: skip
def test_what_is_no_url_of_such_a_database_is_refused(url):
    with pytest.raises(UsageError) as refused:
        check_url(url)
    assert refused.value.field == "database_url"


def test_urls_are_told_with_and_without_password():
    url = "postgres://me:secret@db.example:5433/mbd?sslmode=require&password=secret"
    assert has_password(url)
    bare = without_password(check_url(url))
    assert bare == "postgresql+psycopg://me@db.example:5433/mbd?sslmode=require"
    assert not has_password(bare)
    assert Server(url, "s").name == "PostgreSQL database mbd at db.example:5433, schema s"
    local = "postgresql:///mbd?host=/run/postgresql"
    assert without_password(check_url(local)) == "postgresql+psycopg:///mbd?host=/run/postgresql"
    assert "/run/postgresql" in Server(local, "s").name


@pytest.mark.slow
def test_what_was_committed_survives_the_death_of_the_server_and_nothing_else_does():
    with running_server(durable=True) as server:
        place = server.new_schema()
        database = Database.create(place)
        with database.transaction() as connection:
            connection.execute(update(tables.head).values(size=7))
        with pytest.raises(TemporaryError) as lost:
            die_meanwhile(database, server)
        assert lost.value.code == "database.away"
        with pytest.raises(TemporaryError):
            Database.open(place)
        server.start()
        for again in (database, Database.open(place)):
            with again.read() as connection:
                assert connection.execute(select(tables.head.c.size)).scalar() == 7


def die_meanwhile(database, server):
    with database.transaction() as connection:
        connection.execute(update(tables.head).values(size=8))
        server.kill()
        connection.execute(update(tables.head).values(size=9))
