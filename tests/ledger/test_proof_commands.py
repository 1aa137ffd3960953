"""Promises of `mbd ledger proof` and `consistency`: what they print holds, or they do not."""

import json

import pytest
from sqlalchemy import update

from mbd.cli.main import invoke
from mbd.database import tables
from mbd.ledger.consistency import parse_consistency_proof
from mbd.ledger.log import Log
from mbd.ledger.merkle import verify_consistency, verify_inclusion
from mbd.ledger.note import Checkpoint, open_checkpoint, sign_checkpoint
from mbd.ledger.tlog_proof import parse_tlog_proof
from tests.ledger.entries import append, certificate, fill, note_entry
from tests.ledger.forge import change, rebuild, replace_leaf
from tests.ledger.keys import signer

IDENTITY = "01J" + "0" * 23


@pytest.fixture
def log(service):
    """Seven entries, signed at sizes 3 and 7; the last is a certificate."""
    fill(service, 3)
    service.publish()
    fill(service, 3)
    append(service, *certificate(IDENTITY, ["audio"]))
    service.publish()
    return service


def run(capsys, *arguments):
    code = invoke(["ledger", *arguments])
    return code, capsys.readouterr().out


def document(capsys, *arguments):
    code, out = run(capsys, *arguments, "--json")
    return code, json.loads(out)


@pytest.mark.parametrize("reference", ["0", "4", "6", IDENTITY])
def test_a_printed_proof_convinces_a_stranger(log, capsys, reference):
    code, text = run(capsys, "proof", reference)
    proof = parse_tlog_proof(text)
    head = open_checkpoint(proof.checkpoint, log.verifier_key, log.origin)
    shown = document(capsys, "show", reference)[1]
    leaf = bytes.fromhex(shown["leafHash"])
    verify_inclusion(leaf, proof.index, head.size, proof.hashes, head.root)
    assert (code, head.size) == (0, 7)
    described = document(capsys, "proof", reference)[1]
    assert described["schema"] == "urn:mbd:cli:ledger-proof:v1"
    assert described["proof"] == text
    assert described["root"] == head.root.hex()


def test_no_proof_of_what_is_not_there_or_not_published(log, capsys):
    assert document(capsys, "proof", "7")[0] == 4
    assert document(capsys, "proof", str(2**40))[0] == 4
    append(log, *note_entry(9))
    code, failed = document(capsys, "proof", "7")
    assert (code, failed["error"]["code"]) == (7, "log.unpublished")


def test_a_proof_that_would_not_hold_is_not_printed(log, capsys):
    node = tables.node
    change(log, update(node).where(node.c.level == 1).values(hash=bytes(32)))
    code, failed = document(capsys, "proof", "2")
    assert (code, "error" in failed) == (1, True)


@pytest.mark.parametrize(("old", "new"), [(0, 7), (1, 7), (3, 7), (3, 3), (5, None), (7, 7)])
def test_a_printed_consistency_proof_holds(log, capsys, old, new):
    sizes = [str(old)] if new is None else [str(old), str(new)]
    code, text = run(capsys, "consistency", *sizes)
    assert code == 0
    proof = parse_consistency_proof(text)
    head = open_checkpoint(proof.checkpoint, log.verifier_key, log.origin)
    described = document(capsys, "consistency", *sizes)[1]
    assert described["proof"] == text
    root = bytes.fromhex(described["oldRoot"])
    verify_consistency(old, head.size, root, head.root, proof.hashes)
    assert (proof.old_size, head.size) == (old, new or 7)


def test_a_remembered_checkpoint_is_held_against_the_log(log, capsys, tmp_path):
    _, before = run(capsys, "checkpoint")
    remembered = tmp_path / "checkpoint.txt"
    remembered.write_text(before)
    append(log, *note_entry(8))
    log.publish()
    code, text = run(capsys, "consistency", str(remembered))
    assert (code, parse_consistency_proof(text).old_size) == (0, 7)
    assert run(capsys, "consistency", "3", str(remembered))[0] == 0


def test_a_checkpoint_of_another_history_is_a_fork(log, capsys, tmp_path):
    remembered = tmp_path / "checkpoint.txt"
    remembered.write_text(log.publish())
    change(log, *replace_leaf(1, note_entry(60)[0]))
    rebuild(log, log.signer)
    code, failed = document(capsys, "consistency", str(remembered))
    assert (code, failed["error"]["code"]) == (1, "log.fork")


def test_a_log_that_shrank_is_rolled_back(log, capsys, tmp_path):
    remembered = tmp_path / "checkpoint.txt"
    head = Checkpoint(log.origin, 9, bytes(32))
    remembered.write_text(sign_checkpoint(head, log.signer))
    code, failed = document(capsys, "consistency", str(remembered))
    assert (code, failed["error"]["code"]) == (1, "log.rolled_back")


def test_what_is_no_checkpoint_of_this_log_is_refused(log, capsys, tmp_path):
    foreign = tmp_path / "foreign.txt"
    foreign.write_text(sign_checkpoint(Checkpoint(log.origin, 3, bytes(32)), signer(2)))
    assert document(capsys, "consistency", str(foreign))[0] == 1
    foreign.write_bytes(b"\xff\x00")
    assert document(capsys, "consistency", str(foreign))[0] == 1
    assert document(capsys, "consistency", "no-such-file")[0] == 2
    assert document(capsys, "consistency", "3", "5")[1]["error"]["code"] == "log.unpublished"
    assert document(capsys, "consistency", "70")[0] == 4
    assert document(capsys, "consistency", "7", "3")[0] == 1


def test_an_empty_log_proves_nothing(service, capsys):
    assert document(capsys, "consistency", "0")[0] == 4
    assert isinstance(service, Log)
