"""`mbd ledger check` names the first bad entry, whatever was done and however thoroughly."""

import json

import pytest
from sqlalchemy import delete, select, update

from mbd.cli.main import invoke
from mbd.database import tables
from mbd.ledger.log import Log
from mbd.ledger.note import Checkpoint, sign_checkpoint
from tests.ledger.entries import append, fill, note_entry
from tests.ledger.forge import change, delete_entry, rebuild, replace_leaf, swap
from tests.ledger.keys import signer, trust_text

OTHER = note_entry(50)[0]
NODE, NOTE = tables.node.c, tables.checkpoint.c


@pytest.fixture
def log(service):
    """Eleven entries, signed at sizes 4, 8 and 11."""
    for count in (4, 4, 3):
        fill(service, count)
        service.publish()
    return service


def check(capsys, *options):
    code = invoke(["ledger", "check", *options, "--json"])
    document = json.loads(capsys.readouterr().out)
    assert code == (0 if document["ok"] else 1)
    assert (document["root"] is None) == (not document["ok"])
    return document["badIndex"], document["problem"]


def test_a_sound_log_has_no_bad_entry(log, capsys):
    assert check(capsys) == (None, None)


def edited_entry(log):
    change(log, *replace_leaf(5, OTHER))


def edited_entry_and_tree(log):
    change(log, *replace_leaf(5, OTHER))
    rebuild(log)


def edited_leaf_node(log):
    change(log, update(tables.node).where(NODE.level == 0, NODE.node_index == 6).values(hash=b"x"))


def edited_inner_node(log):
    change(log, update(tables.node).where(NODE.level == 2, NODE.node_index == 1).values(hash=b"x"))


def deleted_tail(log):
    change(log, *delete_entry(10))


def deleted_tail_and_size(log):
    """Everything that the last entries left in the database, signatures too."""
    for index in (8, 9, 10):
        change(log, *delete_entry(index))
    change(log, delete(tables.checkpoint).where(NOTE.size > 8))
    rebuild(log)


def deleted_middle(log):
    change(log, *delete_entry(6))


def swapped_rows(log):
    swap(log, 2, 9)


def swapped_rows_and_tree(log):
    """Only the signatures are left to notice: those of size 8 still vouch for 0 to 7."""
    swap(log, 9, 10)
    rebuild(log)


def edited_checkpoint(log):
    head = sign_checkpoint(Checkpoint(log.origin, 8, bytes(32)), log.signer)
    change(log, update(tables.checkpoint).where(NOTE.size == 8).values(note=head))


def damaged_checkpoint(log):
    change(log, update(tables.checkpoint).where(NOTE.size == 8).values(note="nonsense"))


def moved_checkpoint(log):
    with log.database.read() as connection:
        note = connection.execute(select(NOTE.note).where(NOTE.size == 4)).scalar()
    change(log, update(tables.checkpoint).where(NOTE.size == 8).values(note=note))


def signed_anew_with_another_key(log):
    change(log, *replace_leaf(5, OTHER))
    rebuild(log, signer(2))


def signed_anew_from_an_entry_on(log):
    """Old notes are kept where they still hold."""
    with log.database.read() as connection:
        note = connection.execute(select(NOTE.note).where(NOTE.size == 4)).scalar()
    signed_anew_with_another_key(log)
    change(log, update(tables.checkpoint).where(NOTE.size == 4).values(note=note))


def signed_anew_with_the_stolen_key(log):
    """The signer's own memory, outside the database, remembers the true root of size 11."""
    change(log, *replace_leaf(9, OTHER))
    rebuild(log, log.signer)
    change(log, delete(tables.checkpoint).where(NOTE.size == 11))


FORGERIES = {
    edited_entry: 5,
    edited_entry_and_tree: 4,
    edited_leaf_node: 6,
    edited_inner_node: 7,
    deleted_tail: 10,
    deleted_tail_and_size: 8,
    deleted_middle: 6,
    swapped_rows: 2,
    swapped_rows_and_tree: 8,
    edited_checkpoint: 4,
    damaged_checkpoint: 4,
    moved_checkpoint: 4,
    signed_anew_with_another_key: 0,
    signed_anew_from_an_entry_on: 4,
    signed_anew_with_the_stolen_key: 8,
}


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_the_first_bad_entry_is_named(log, capsys, forge):
    """For a checkpoint: the first entry that no good one before it vouches for."""
    forge(log)
    index, problem = check(capsys)
    assert index == FORGERIES[forge], problem


def test_a_file_put_back_is_found_by_the_memory_alone(service, capsys):
    fill(service, 3)
    service.publish()
    backup = service.database.backend.path.read_bytes()
    append(service, *note_entry(3))
    service.publish()
    service.database.backend.path.write_bytes(backup)
    index, problem = check(capsys)
    assert index == 3
    assert "size 4 was signed" in problem


def test_whom_to_believe_comes_from_outside(log, capsys, tmp_path):
    """With everything signed by another key, only its owner's trust file finds it sound."""
    forged = Log(log.database, signer(2), tmp_path / "memory")
    rebuild(log, forged.signer)
    assert check(capsys)[0] == 0
    trust = tmp_path / "trust.toml"
    trust.write_text(trust_text(forged.verifier_key))
    assert check(capsys, "--trust", str(trust)) == (None, None)


def test_a_trust_file_without_a_log_is_wrong_usage(log, capsys, tmp_path):
    trust = tmp_path / "trust.toml"
    trust.write_text(trust_text(log.verifier_key).partition("[log]")[0])
    assert invoke(["ledger", "check", "--trust", str(trust)]) == 2
