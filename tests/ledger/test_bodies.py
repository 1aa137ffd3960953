"""Promises of sealed bodies: read with the key, bound to their place, gone without it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, select, update

from mbd.database import tables
from mbd.database.secrets import Secrets
from mbd.errors import DataError, IntegrityError, NotFoundError
from mbd.ledger.bodies import HEADER, Vault, is_sealed, no_keys, open_body, read_body, seal
from mbd.ledger.check import check_log
from mbd.ledger.entry import unsigned_entry
from mbd.ledger.log import Log
from tests.ledger.entries import START, append, certificate, note_entry

FIRST, SECOND = "01J" + "0" * 23, "01J" + "1" * 23
KEY = bytes(range(32))


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(Secrets.create(tmp_path / "secrets.db").path)


@pytest.fixture
def sealing(log: Log, vault: Vault) -> Log:
    """An attempt at 0, certificates at 1 and 2, published."""
    made = Log(log.database, log.signer, log.memory_path, vault)
    append(made, *note_entry(0))
    append(made, *certificate(FIRST, ["audio"]))
    append(made, *certificate(SECOND, ["text"]))
    made.publish()
    return made


def report_on(log, key_of):
    with log.database.read() as connection:
        return check_log(connection, log.verifier_key, log.memory.read(), key_of=key_of)


def stored(log, index):
    with log.database.read() as connection:
        query = select(tables.body.c.content).where(tables.body.c.entry_index == index)
        return bytes(connection.execute(query).scalar())


def change(log, statement):
    with log.database.transaction() as connection:
        connection.execute(statement)


@given(st.binary(max_size=300), st.integers(0, 2**31 - 1), st.binary(min_size=1, max_size=50))
def test_a_body_opens_in_its_place_with_its_key_and_nowhere_else(content, index, leaf):
    sealed = seal(index, leaf, content, KEY)
    assert is_sealed(sealed)
    assert open_body(index, leaf, sealed, lambda i: KEY) == content
    assert open_body(index, leaf, sealed, no_keys) is None
    for place in ((index + 1, leaf), (index, leaf + b"x")):
        with pytest.raises(IntegrityError):
            open_body(*place, sealed, lambda i: KEY)
    with pytest.raises(IntegrityError):
        open_body(index, leaf, sealed, lambda i: bytes(32))


@pytest.mark.parametrize("at", [len(HEADER), len(HEADER) + 12, -1])
def test_an_altered_sealed_body_is_refused(at):
    sealed = bytearray(seal(0, b"leaf", b"content", KEY))
    sealed[at] ^= 1
    with pytest.raises(IntegrityError):
        open_body(0, b"leaf", bytes(sealed), lambda i: KEY)
    with pytest.raises(IntegrityError):
        open_body(0, b"leaf", HEADER, lambda i: KEY)


def test_equal_bodies_are_sealed_differently():
    assert seal(0, b"leaf", b"content", KEY) != seal(0, b"leaf", b"content", KEY)


def test_certificates_are_sealed_and_nothing_else(sealing, vault):
    assert [is_sealed(stored(sealing, index)) for index in range(3)] == [False, True, True]
    assert vault.secrets.body_keys(0, 9).keys() == {1, 2}
    keys = vault.secrets.body_keys(0, 9)
    assert keys[1] != keys[2]
    with sealing.database.read() as connection:
        assert read_body(connection, 1, vault.reader()) == certificate(FIRST, ["audio"])[1]
        assert read_body(connection, 0, no_keys) == note_entry(0)[1]
        assert read_body(connection, 1, no_keys) is None
        assert read_body(connection, 7, vault.reader()) is None


def test_plain_bodies_of_an_older_ledger_stay_readable(log, vault):
    """What was appended before bodies were sealed stands beside what is sealed now."""
    append(log, *certificate(FIRST, ["audio"]))
    sealing = Log(log.database, log.signer, log.memory_path, vault)
    append(sealing, *certificate(SECOND, ["audio"]))
    sealing.publish()
    with log.database.read() as connection:
        for index, name in enumerate((FIRST, SECOND)):
            found = read_body(connection, index, vault.reader())
            assert found == certificate(name, ["audio"])[1]
    report = report_on(sealing, vault.reader())
    assert (report.ok, report.bodies, report.unreadable) == (True, 2, 0)


def test_a_body_that_looks_sealed_is_not_taken(log):
    body = HEADER + b"anything"
    with pytest.raises(DataError):
        append(log, unsigned_entry("attempt", START, body), body)


def test_an_auditor_without_keys_checks_everything_but_the_sealed_bodies(sealing, vault):
    with_keys, without = report_on(sealing, vault.reader()), report_on(sealing, no_keys)
    assert (with_keys.ok, with_keys.bodies, with_keys.unreadable) == (True, 3, 0)
    assert (without.ok, without.bodies, without.unreadable) == (True, 1, 2)
    assert with_keys.root == without.root
    assert with_keys.checkpoints == without.checkpoints == 1


def test_a_sealed_body_that_was_altered_is_found_where_it_is(sealing, vault):
    content = bytearray(stored(sealing, 2))
    content[-1] ^= 1
    body = tables.body
    change(sealing, update(body).where(body.c.entry_index == 2).values(content=bytes(content)))
    assert report_on(sealing, vault.reader()).bad_index == 2
    assert report_on(sealing, no_keys).ok


def test_a_body_that_was_swapped_for_another_sealed_one_is_found(sealing, vault):
    body = tables.body
    other = stored(sealing, 1)
    change(sealing, update(body).where(body.c.entry_index == 2).values(content=other))
    assert report_on(sealing, vault.reader()).bad_index == 2


def test_what_is_listed_is_held_against_the_sealed_body(sealing, vault):
    entry = tables.entry
    change(sealing, update(entry).where(entry.c.entry_index == 1).values(modalities="text"))
    assert report_on(sealing, vault.reader()).bad_index == 1


def test_every_proof_holds_without_row_and_key(sealing, vault):
    proofs = sealing.proof_bundles(range(3))
    vault.secrets.forget_body_keys([1])
    vault.secrets.truncating_checkpoint()
    change(sealing, delete(tables.body).where(tables.body.c.entry_index == 1))
    assert sealing.proof_bundles(range(3)) == proofs
    report = report_on(sealing, vault.reader())
    assert (report.ok, report.bodies, report.unreadable) == (True, 2, 0)


def test_a_forgotten_key_is_in_no_file(tmp_path, vault):
    kept, gone = b"K" * 32, b"G" * 32
    vault.secrets.put_body_keys({1: kept, 2: gone})
    vault.secrets.forget_body_keys([2])
    vault.secrets.truncating_checkpoint()
    assert vault.secrets.body_keys(0, 9) == {1: kept}
    for path in tmp_path.glob("secrets.db*"):
        assert gone not in path.read_bytes()


def _append_and_fail(sealing, certificate_id):
    with sealing.database.transaction() as connection:
        sealing.append(connection, *certificate(certificate_id, ["vision"]))
        raise RuntimeError


def test_an_append_that_never_committed_leaves_no_obstacle(sealing, vault):
    """The key of the entry that was not appended is replaced by the next one's."""
    with pytest.raises(RuntimeError):
        _append_and_fail(sealing, SECOND)
    lost = vault.secrets.body_keys(3, 3)[3]
    append(sealing, *certificate(SECOND, ["vision"]))
    sealing.publish()
    assert vault.secrets.body_keys(3, 3)[3] != lost
    assert report_on(sealing, vault.reader()).unreadable == 0


def test_without_its_secrets_a_ledger_takes_no_certificate(log, tmp_path):
    made = Log(log.database, log.signer, log.memory_path, Vault(tmp_path / "none.db"))
    append(made, *note_entry(0))
    with pytest.raises(NotFoundError):
        append(made, *certificate(FIRST, ["audio"]))


def test_secrets_of_an_older_version_get_the_table_that_they_lack(tmp_path):
    made = Secrets.create(tmp_path / "secrets.db")
    subject = made.subject_secrets(["a" * 64])
    with made._write() as connection:
        connection.exec_driver_sql("DROP TABLE body_key")
        connection.exec_driver_sql("PRAGMA user_version = 1")
    opened = Secrets.open(made.path)
    opened.put_body_keys({1: KEY})
    assert Secrets.open(made.path).body_keys(0, 9) == {1: KEY}
    assert opened.subject_secrets(["a" * 64]) == subject


def test_keys_are_found_across_pages(vault):
    wanted = {index: bytes([index % 256]) * 32 for index in (0, 1023, 1024, 5000)}
    vault.secrets.put_body_keys(wanted)
    key_of = vault.reader()
    assert {index: key_of(index) for index in wanted} == wanted
    assert key_of(1) is None
