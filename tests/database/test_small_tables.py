"""Promises of suppressions, pointers and secrets."""

import stat
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select

from mbd.canonical.times import from_timestamp, timestamp
from mbd.database import models, pointers, suppressions
from mbd.database.batches import Batches
from mbd.database.journal import Request
from mbd.database.secrets import Secrets
from mbd.database.suppressions import keyed_hash
from mbd.database.tables import entry, model
from mbd.errors import ConflictError, DataError, IntegrityError, NotFoundError, VersionError

KEY = bytes(range(32))
NOW = datetime(2026, 1, 2, tzinfo=UTC)
PARTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=4)


@given(PARTS, PARTS)
def test_keyed_hashes_never_confuse_one_list_of_parts_with_another(one, other):
    assert (keyed_hash(KEY, *one) == keyed_hash(KEY, *other)) == (one == other)


def test_keyed_hashes_depend_on_the_key():
    assert keyed_hash(KEY, "a") != keyed_hash(bytes(32), "a")


def begin(connection, *names):
    """Requests that suppressions can stand on."""
    requests = [
        Request(request_id=name, fingerprint=name, received_at="-", due_by="-") for name in names
    ]
    Batches(connection).begin("b1", {}, requests)


def test_a_suppressed_modality_is_blocked_and_no_other(database):
    with database.transaction() as connection:
        begin(connection, "r1", "r2")
        suppressions.add(connection, KEY, "42", "audio", NOW, "r1")
        suppressions.add(connection, KEY, "42", "audio", NOW, "r2")
        suppressions.add(connection, KEY, "42", "audio", NOW, "r2")
        assert suppressions.find(connection, KEY, "42", "audio") in ("r1", "r2")
        assert suppressions.find(connection, KEY, "42", "text") is None
        assert suppressions.requests(connection) == {"r1", "r2"}, "each keeps it off for itself"
        listed = suppressions.load(connection, KEY)
    assert listed.blocks("42", "audio")
    assert not listed.blocks("42", "text")
    assert not listed.blocks("4", "2audio")
    assert len(listed.hashes) == 1
    with database.transaction() as connection:
        suppressions.remove_of(connection, "r2")
        assert suppressions.load(connection, KEY).blocks("42", "audio")
        suppressions.remove_of(connection, "r1")
        assert not suppressions.load(connection, KEY).blocks("42", "audio")


def test_the_list_names_nobody(file_database):
    database = file_database
    with database.transaction() as connection:
        begin(connection, "r1")
        suppressions.add(connection, KEY, "subject-forty-two", "audio", NOW, "r1")
    database.purge()
    assert b"forty-two" not in database.path.read_bytes()


def test_pointers_move_and_are_counted(database):
    with database.transaction() as connection:
        assert pointers.get(connection, "model") is None
        assert pointers.generation(connection) == 0
        pointers.set(connection, "model", "m1")
        pointers.set(connection, "state", "s1")
        pointers.set(connection, "model", "m2")
        assert pointers.get(connection, "model") == "m2"
        assert pointers.get(connection, "state") == "s1"
        assert pointers.generation(connection) == 3
        with pytest.raises(DataError):
            pointers.set(connection, "generation", "0")


@given(st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.just(UTC)))
def test_times_are_read_back_to_the_second(moment):
    assert from_timestamp(timestamp(moment)) == moment.replace(microsecond=0)


def test_times_are_utc_and_have_a_zone():
    east = timezone(timedelta(hours=2))
    assert timestamp(datetime(2026, 1, 2, 1, tzinfo=east)) == "2026-01-01T23:00:00Z"
    with pytest.raises(DataError):
        timestamp(datetime(2026, 1, 2))


@pytest.mark.parametrize(
    "text", ["", "2026-01-02", "2026-01-02T00:00:00", "2026-01-02T01:00:00+01:00"]
)
def test_other_spellings_of_a_time_are_refused(text):
    with pytest.raises(DataError):
        from_timestamp(text)


@pytest.fixture
def secrets(tmp_path):
    return Secrets.create(tmp_path / "secrets.db")


def test_a_subject_has_one_secret(secrets):
    first = secrets.subject_secrets(["a" * 64])["a" * 64]
    assert len(first) == 32
    again = Secrets.open(secrets.path).subject_secrets(["b" * 64, "a" * 64])
    assert again["a" * 64] == first != again["b" * 64]


def test_forgotten_salts_are_in_no_file(secrets):
    kept, forgotten = b"K" * 32, b"F" * 32
    secrets.put_salts("c1", {"stateAfter": kept, "deletedSet": forgotten})
    assert forgotten in secrets.path.read_bytes()
    secrets.forget_salts("c1", ["deletedSet"])
    assert secrets.salts("c1") == {"stateAfter": kept}
    for path in secrets.path.parent.iterdir():
        assert forgotten not in path.read_bytes()
    secrets.forget_salts("c1", ["deletedSet"])


def test_salts_may_be_put_again(secrets):
    secrets.put_salts("c1", {"a": b"1" * 32})
    secrets.put_salts("c1", {"a": b"2" * 32})
    assert secrets.salts("c1") == {"a": b"2" * 32}
    assert secrets.salts("c2") == {}


def test_the_file_of_secrets_is_its_owners_and_never_overwritten(secrets):
    assert stat.S_IMODE(secrets.path.stat().st_mode) == 0o600
    with pytest.raises(ConflictError):
        Secrets.create(secrets.path)


def test_what_is_no_file_of_secrets_is_refused(tmp_path, file_database, secrets):
    with pytest.raises(NotFoundError):
        Secrets.open(tmp_path / "none.db")
    with pytest.raises(IntegrityError):
        Secrets.open(file_database.path)
    with secrets._write() as connection:
        connection.exec_driver_sql("PRAGMA user_version = 3")
    with pytest.raises(VersionError):
        Secrets.open(secrets.path)


def test_one_model_is_current_and_each_knows_its_policy(database):
    with database.transaction() as connection:
        nothing = {"type": "policy", "time": "", "leaf": b"", "leaf_hash": b""}
        rows = [{"entry_index": index, **nothing} for index in range(2)]
        connection.execute(insert(entry), rows)
        models.add(connection, "m1", 0, "d" * 64, NOW)
        models.add(connection, "m2", 1, "e" * 64, NOW)
        models.add(connection, "m2", 1, "e" * 64, NOW)
        statuses = dict(connection.execute(select(model.c.model_id, model.c.status)).all())
        assert statuses == {"m1": models.SUPERSEDED, "m2": models.CURRENT}
        assert [models.policy_index(connection, name) for name in statuses] == [0, 1]
        with pytest.raises(NotFoundError):
            models.policy_index(connection, "m3")
