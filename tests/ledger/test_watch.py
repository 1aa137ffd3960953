"""Promises to a monitor: new entries that were checked, or an alarm; remembered only then."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from sqlalchemy import update

from mbd.cli.main import invoke
from mbd.database import tables
from mbd.ledger.consistency import parse_consistency_proof
from mbd.ledger.merkle import verify_consistency
from mbd.ledger.note import open_checkpoint
from mbd.ledger.watch import default_state
from tests.ledger.entries import append, fill, note_entry
from tests.ledger.forge import change, rebuild, replace_leaf


@pytest.fixture
def log(service):
    """Three entries, signed."""
    fill(service, 3)
    service.publish()
    return service


def grow(log, count=2):
    for number in range(count):
        append(log, *note_entry(20 + number))
    log.publish()


def look(capsys, *options):
    code = invoke(["ledger", "watch", "--once", "--json", *map(str, options)])
    return code, json.loads(capsys.readouterr().out)


def indices(document):
    return [entry["index"] for entry in document["entries"]]


def test_each_entry_is_shown_once_with_a_proof_that_holds(log, capsys):
    code, first = look(capsys)
    assert (code, indices(first), first["oldSize"]) == (0, [0, 1, 2], 0)
    grow(log)
    code, second = look(capsys)
    assert (code, indices(second)) == (0, [3, 4])
    assert second["schema"] == "urn:mbd:cli:ledger-watch:v1"
    proof = parse_consistency_proof(second["proof"])
    head = open_checkpoint(proof.checkpoint, log.verifier_key, log.origin)
    old = bytes.fromhex(second["oldRoot"])
    assert second["oldRoot"] == first["newRoot"]
    verify_consistency(proof.old_size, head.size, old, head.root, proof.hashes)
    assert indices(look(capsys)[1]) == []


def test_it_starts_where_it_is_told_and_remembers_where_it_is_told(log, capsys, tmp_path):
    since = tmp_path / "checkpoint.txt"
    since.write_text(log.publish())
    grow(log)
    state = tmp_path / "deep" / "state"
    assert indices(look(capsys, "--since", since, "--state", state)[1]) == [3, 4]
    assert state.read_text() == log.publish()
    assert not default_state(log.verifier_key).exists()
    assert indices(look(capsys, "--since", since, "--state", state)[1]) == [3, 4]
    assert indices(look(capsys)[1]) == [0, 1, 2, 3, 4]


def test_a_fork_is_an_alarm_and_the_old_checkpoint_stays_remembered(log, capsys):
    look(capsys)
    remembered = default_state(log.verifier_key).read_text()
    change(log, *replace_leaf(1, note_entry(60)[0]))
    rebuild(log, log.signer)
    log.memory.path.unlink()
    grow(log)
    for _ in range(2):
        code, failed = look(capsys)
        assert (code, failed["error"]["code"]) == (1, "log.fork")
    assert default_state(log.verifier_key).read_text() == remembered


def test_a_fork_is_seen_whatever_it_is_told_to_start_from(log, capsys, tmp_path):
    """The checkpoint given is of the new history; what the monitor saw itself is not."""
    look(capsys)
    change(log, *replace_leaf(1, note_entry(60)[0]))
    rebuild(log, log.signer)
    log.memory.path.unlink()
    since = tmp_path / "checkpoint.txt"
    since.write_text(log.publish())
    code, failed = look(capsys, "--since", since)
    assert (code, failed["error"]["code"]) == (1, "log.fork")


def test_a_log_that_went_back_is_an_alarm(log, capsys):
    backup = log.database.backend.path.read_bytes()
    grow(log)
    look(capsys)
    log.database.backend.path.write_bytes(backup)
    code, failed = look(capsys)
    assert (code, failed["error"]["code"]) == (1, "log.rolled_back")


@pytest.mark.parametrize("column", ["leaf", "type"])
def test_an_altered_new_entry_is_never_shown(log, capsys, column):
    look(capsys)
    grow(log)
    entry = tables.entry
    other = note_entry(60)[0]
    value = {"leaf": other.leaf_bytes(), "type": "policy"}[column]
    change(log, update(entry).where(entry.c.entry_index == 4).values({column: value}))
    code, failed = look(capsys)
    assert (code, failed["error"]["code"]) == (1, "log.corrupt")
    assert "entries" not in failed


def test_a_whole_other_entry_is_never_shown(log, capsys):
    look(capsys)
    grow(log)
    change(log, *replace_leaf(4, note_entry(60)[0]))
    assert look(capsys)[1]["error"]["code"] == "log.corrupt"


def test_nothing_is_remembered_unless_everything_was_printed(log, capsys, monkeypatch):
    class Full:
        def write(self, text):
            raise OSError(28, "No space left on device")

        def flush(self):
            pass

        def fileno(self):
            return os.open(os.devnull, os.O_WRONLY)

    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Full())
        assert invoke(["ledger", "watch", "--once"]) == 1
    assert not default_state(log.verifier_key).exists()


def test_an_unsigned_log_is_no_alarm_yet(service, capsys):
    assert look(capsys)[0] == 4
    fill(service, 1)
    assert look(capsys)[0] == 4
    service.publish()
    assert indices(look(capsys)[1]) == [0]


def test_words_for_people(log, capsys):
    assert invoke(["ledger", "watch", "--once"]) == 0
    out = capsys.readouterr().out
    assert "3 new entries; the 0 before are as they were" in out
    assert "old 0\n\nlog.example/tests\n3\n" in out
    invoke(["ledger", "watch", "--once"])
    assert capsys.readouterr().out == "nothing new: 3 entries, as before\n"


def test_it_follows_the_log_until_it_forks(log, tmp_path):
    command = [sys.executable, "-m", "mbd", "ledger", "watch", "--interval", "0.2", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert indices(json.loads(child.stdout.readline())) == [0, 1, 2]
            grow(log)
            assert indices(json.loads(child.stdout.readline())) == [3, 4]
            change(log, *replace_leaf(1, note_entry(60)[0]))
            rebuild(log, log.signer)
            failed = json.loads(child.stdout.readline())
            assert failed["error"]["code"] == "log.fork"
            assert child.wait(30) == 1
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)


def test_a_busy_database_is_tried_again(log, capsys, monkeypatch):
    from mbd.cli import ledger_watch
    from mbd.errors import TemporaryError

    looks = []

    def busy(self, since, *, always):
        looks.append(always)
        if len(looks) == 2:
            raise TemporaryError("the server is not there")
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(ledger_watch._Monitor, "look", busy)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    assert invoke(["ledger", "watch"]) == 130
    assert looks == [True, False, False]
