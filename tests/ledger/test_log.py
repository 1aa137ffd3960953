"""Promises of the log: contiguous, never forked, provable, whoever is killed when."""

import multiprocessing
import os
import shutil
import signal

import pytest
from sqlalchemy import delete, select, update

from mbd.canonical.tree import tree_root
from mbd.database import tables
from mbd.database.engine import Database
from mbd.errors import IntegrityError, NotFoundError, TemporaryError
from mbd.ledger import log as log_module
from mbd.ledger.check import check_log
from mbd.ledger.last_signed import default_path
from mbd.ledger.log import Labels, Log
from mbd.ledger.merkle import verify_inclusion
from mbd.ledger.note import open_checkpoint
from mbd.ledger.queries import list_entries, log_size
from mbd.ledger.tlog_proof import parse_tlog_proof
from tests.ledger.entries import append, certificate, fill, note_entry
from tests.ledger.keys import signer

FORK = multiprocessing.get_context("fork")


def size_of(log):
    with log.database.read() as connection:
        return log_size(connection)


def notes_of(log):
    with log.database.read() as connection:
        return dict(connection.execute(select(tables.checkpoint)).all())


def report_on(log):
    with log.database.read() as connection:
        return check_log(connection, log.verifier_key, log.memory.read())


def test_an_entry_is_provable_once_published(log):
    indices = [append(log, *note_entry(number)) for number in range(11)]
    assert indices == list(range(11))
    head = open_checkpoint(log.publish(), log.verifier_key, log.origin)
    assert head == log.latest()
    for index in indices:
        proof = parse_tlog_proof(log.proof_bundle(index))
        assert proof.index == index
        assert open_checkpoint(proof.checkpoint, log.verifier_key, log.origin) == head
        leaf = note_entry(index)[0].leaf_hash()
        verify_inclusion(leaf, index, head.size, proof.hashes, head.root)


def test_an_unpublished_entry_has_no_proof_yet(log):
    with pytest.raises(NotFoundError):
        log.latest()
    append(log, *note_entry())
    with pytest.raises(TemporaryError):
        log.proof_bundle(0)
    with pytest.raises(NotFoundError):
        log.proof_bundle(1)


def test_an_entry_whose_transaction_fails_never_was(log):
    def fail():
        with log.database.transaction() as connection:
            log.append(connection, *note_entry(1))
            raise ZeroDivisionError

    append(log, *note_entry(0))
    with pytest.raises(ZeroDivisionError):
        fail()
    assert append(log, *note_entry(2)) == 1
    assert report_on(log).ok


def test_a_size_is_signed_once(log, monkeypatch):
    fill(log, 3)
    note = log.publish()
    monkeypatch.setattr(log_module, "sign_checkpoint", lambda *_: pytest.fail("signed again"))
    assert log.publish() == note
    log.memory.path.unlink()
    assert log.publish() == note
    assert log.memory.read() == note
    assert notes_of(log) == {3: note}


def test_a_body_that_the_leaf_does_not_bind_is_refused(log):
    entry, _ = note_entry(1)
    with pytest.raises(IntegrityError):
        append(log, entry, b"another body")
    signed, envelope, labels = certificate("01J" + "0" * 23, ["audio"])
    other = certificate("01J" + "1" * 23, ["audio"])[1]
    for wrong in (other, envelope[:-1], b"{}", b"[]"):
        with pytest.raises(IntegrityError):
            append(log, signed, wrong, labels)
    assert size_of(log) == 0


def test_a_restored_backup_is_refused_and_told_what_to_do(file_log, tmp_path):
    fill(file_log, 5)
    file_log.publish()
    shutil.copy(file_log.database.path, tmp_path / "backup.db")
    fill(file_log, 2)
    file_log.publish()
    shutil.copy(tmp_path / "backup.db", file_log.database.path)

    for attempt in (file_log.publish, lambda: fill(file_log, 1)):
        with pytest.raises(IntegrityError) as refused:
            attempt()
        assert refused.value.code == "log.rolled_back"
        assert "put the newest one back" in refused.value.hint
    assert size_of(file_log) == 5
    report = report_on(file_log)
    assert not report.ok
    assert report.bad_index == 5


def test_a_backup_that_grew_beyond_what_was_signed_is_still_no_continuation(file_log, tmp_path):
    fill(file_log, 4)
    shutil.copy(file_log.database.path, tmp_path / "backup.db")
    append(file_log, *note_entry(100))
    file_log.publish()
    shutil.copy(tmp_path / "backup.db", file_log.database.path)
    elsewhere = Log(file_log.database, file_log.signer, tmp_path / "another-memory")
    fill(elsewhere, 3)

    with pytest.raises(IntegrityError) as refused:
        file_log.publish()
    assert refused.value.code == "log.rolled_back"
    with pytest.raises(IntegrityError):
        append(file_log, *note_entry(9))
    assert not report_on(file_log).ok


def alter_node(log, level):
    with log.database.transaction() as connection:
        node = tables.node
        chosen = update(node).where(node.c.level == level, node.c.node_index == 0)
        connection.execute(chosen.values(hash=bytes(32)))


def test_an_altered_tree_is_neither_signed_nor_extended(log):
    fill(log, 6)
    log.publish()
    alter_node(log, 2)
    with pytest.raises(IntegrityError):
        append(log, *note_entry(6))
    with pytest.raises(IntegrityError):
        log.publish()


def test_a_proof_that_would_not_hold_is_never_handed_out(log):
    fill(log, 6)
    log.publish()
    alter_node(log, 1)
    with pytest.raises(IntegrityError):
        log.proof_bundle(3)
    assert parse_tlog_proof(log.proof_bundle(1)).index == 1


def test_a_lost_subtree_is_an_integrity_error(log):
    fill(log, 6)
    with log.database.transaction() as connection:
        connection.execute(delete(tables.node).where(tables.node.c.level == 2))
    with pytest.raises(IntegrityError, match="subtree"):
        log.publish()


def test_a_damaged_memory_is_named(log):
    fill(log, 1)
    log.publish()
    log.memory.path.write_bytes(b"\xff nonsense")
    with pytest.raises(IntegrityError) as refused:
        log.publish()
    assert str(log.memory.path) in refused.value.hint


def test_the_memory_is_outside_the_workspace_and_named_after_log_and_key(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    one, other_key, other_name = signer(1), signer(2), signer(1, "other.example")
    paths = {default_path(key) for key in (one, other_key, other_name)}
    assert len(paths) == 3
    assert {path.parent for path in paths} == {tmp_path / "mbd" / "logs"}


def killed_in(log, where, monkeypatch):
    """Publish in a child process that is killed at its call of `where`."""

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(*where, die)
        killed(log, log.publish)


def killed(log, target):
    """Run something in a child process that shares no connection and kills itself."""
    log.database.engine.dispose()
    child = FORK.Process(target=target)
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("step", ["sign_checkpoint", "_store_note"])
def test_a_kill_between_commit_and_publication_loses_nothing(log, step, monkeypatch):
    fill(log, 3)
    log.publish()
    append(log, *note_entry(3))
    killed_in(log, (log_module, step), monkeypatch)
    remembered = log.memory.read()
    append(log, *note_entry(4))

    head = open_checkpoint(log.publish(), log.verifier_key, log.origin)

    assert head.size == 5
    assert remembered in notes_of(log).values()
    assert report_on(log).ok
    assert parse_tlog_proof(log.proof_bundle(3)).index == 3


def test_a_kill_before_the_commit_leaves_the_log_as_it_was(log, monkeypatch):
    fill(log, 2)

    def append_and_die():
        with log.database.transaction() as connection:
            log.append(connection, *note_entry(2))
            os.kill(os.getpid(), signal.SIGKILL)

    killed(log, append_and_die)
    assert size_of(log) == 2
    assert append(log, *note_entry(2)) == 2
    log.publish()
    assert report_on(log).ok


def roll_back(log, size):
    """What an older backup of the database would hold."""
    node = tables.node.c
    with log.database.transaction() as connection:
        connection.execute(delete(tables.body).where(tables.body.c.entry_index >= size))
        connection.execute(delete(tables.entry).where(tables.entry.c.entry_index >= size))
        for level in range(30):
            beyond = delete(tables.node).where(
                node.level == level, node.node_index >= size >> level
            )
            connection.execute(beyond)
        connection.execute(delete(tables.checkpoint).where(tables.checkpoint.c.size > size))
        connection.execute(update(tables.head).values(size=size))


def test_a_database_that_went_back_is_refused_with_what_to_do(log):
    for count in (3, 4):
        fill(log, count)
        log.publish()
    roll_back(log, 3)
    for attempt in (log.publish, log.refuse_older, lambda: fill(log, 1)):
        with pytest.raises(IntegrityError) as refused:
            attempt()
        assert refused.value.code == "log.rolled_back"
        assert "put the newest one back" in refused.value.hint
    assert report_on(log).bad_index == 3
    log.memory.path.unlink()
    assert report_on(log).ok


def append_many(place, memory, count, often, together):
    log = Log(Database.open(place), signer(), memory)
    for first in range(0, count, together):
        numbers = range(first, first + together)
        with log.database.transaction() as connection:
            log.append_all(connection, [(*note_entry(number), Labels()) for number in numbers])
        if first % often == 0:
            log.publish()


def two_processes(log, place, count, often, together=1):
    """Two processes append so many entries each, some in one transaction; everything must hold."""
    arguments = (place, log.memory.path, count, often, together)
    log.database.engine.dispose()
    children = [FORK.Process(target=append_many, args=arguments) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    log.publish()
    with log.database.read() as connection:
        indices = [one.index for one in list_entries(connection)]
    assert indices == list(range(2 * count))
    report = report_on(log)
    assert report.ok
    assert (report.size, report.checkpoints) == (2 * count, len(notes_of(log)))
    assert max(notes_of(log)) == 2 * count


def every_proof_holds(log):
    head = log.latest()
    with log.database.read() as connection:
        leaves = [one.leaf_hash for one in list_entries(connection)]
    assert tree_root(leaves) == head.root
    for index, text in enumerate(log.proof_bundles(range(head.size))):
        proof = parse_tlog_proof(text)
        verify_inclusion(leaves[index], index, head.size, proof.hashes, head.root)


def test_two_processes_append_and_publish_without_gap_or_fork(log, place):
    two_processes(log, place, count=100, often=20)
    every_proof_holds(log)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_processes_append_ten_thousand_entries_each(log, place):
    two_processes(log, place, count=10_000, often=100, together=10)
    every_proof_holds(log)


def test_many_entries_at_once_are_what_they_are_one_by_one(log, tmp_path, monkeypatch):
    entries = [(*note_entry(number), Labels()) for number in range(50)]
    monkeypatch.setattr(log_module, "_ROWS", 7)
    fill(log, 3)
    with log.database.transaction() as connection:
        assert log.append_all(connection, iter(entries[3:])) == list(range(3, 50))
    with log.database.transaction() as connection:
        assert log.append_all(connection, []) == []
    log.publish()
    assert log.latest().root == tree_root([entry.leaf_hash() for entry, _, _ in entries])
    assert report_on(log).ok
    every_proof_holds(log)
