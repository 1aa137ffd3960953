"""Promises of a migration: whole or not at all, and every proof that was handed out still holds."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import MetaData, insert, inspect, select, update

from mbd.canonical.json import dumps
from mbd.canonical.times import timestamp
from mbd.database import migrate, tables
from mbd.database.batches import Batches
from mbd.database.engine import REVISIONS, SCHEMA_REVISION, Database, make_database, revision_of
from mbd.database.journal import CANCELLED, STAGES, Journal, Request
from mbd.database.upgrade import missing_revisions, upgrade_database
from mbd.errors import ConflictError, IntegrityError, VersionError
from mbd.ledger.check import check_log
from mbd.ledger.entry import unsigned_entry
from mbd.ledger.log import Log
from mbd.ledger.merkle import completed_nodes, inclusion_proof, root_of, verify_inclusion
from mbd.ledger.note import Checkpoint, VerifierKey, open_checkpoint, sign_checkpoint
from mbd.ledger.tlog_proof import TlogProof, parse_tlog_proof
from tests.ledger.keys import signer

ENTRIES = 13
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OLD = {
    "request_id": "r1",
    "fingerprint": "f",
    "attempts": 1,
    "received_at": "2026-01-02T03:04:05Z",
    "due_by": "2026-02-01",
}


@pytest.fixture
def older(place):
    """A database as the first version made it."""
    make_database(place, lambda connection: migrate.upgrade(connection, "0001"))
    return place


def old_tables(connection):
    """The tables as they are there, whatever this version would like them to be."""
    found = MetaData()
    found.reflect(connection, only=lambda name, _: name != "alembic_version")
    return found.tables


def add_old(place, **changes):
    with Database.open_any(place).transaction() as connection:
        row = {**OLD, **changes}
        connection.execute(insert(old_tables(connection)["request"]).values(row))


def fill_the_log(place):
    """A log of then, entry by entry, each published; the proofs that were handed out."""
    nodes, proofs, key = {}, [], signer()

    def read(level, index):
        return nodes[level, index]

    with Database.open_any(place).transaction() as connection:
        there = old_tables(connection)
        for index in range(ENTRIES):
            body = dumps({"entry": index})
            entry = unsigned_entry("attempt", NOW + timedelta(days=index), body)
            made = list(completed_nodes(index, entry.leaf_hash(), read))
            nodes |= {(level, at): digest for level, at, digest in made}
            row = {
                "entry_index": index,
                "type": entry.type,
                "time": entry.time,
                "leaf": entry.leaf_bytes(),
                "leaf_hash": entry.leaf_hash(),
            }
            connection.execute(insert(there["entry"]).values(row))
            connection.execute(insert(there["body"]).values(entry_index=index, content=body))
            rows = [{"level": level, "node_index": at, "hash": one} for level, at, one in made]
            connection.execute(insert(there["node"]), rows)
            size = index + 1
            head = Checkpoint(key.name, size, root_of(read, size))
            note = sign_checkpoint(head, key)
            connection.execute(insert(there["checkpoint"]).values(size=size, note=note))
            proofs += [
                TlogProof(one, tuple(inclusion_proof(read, one, size)), note).text
                for one in range(size)
            ]
        connection.execute(update(there["head"]).values(size=ENTRIES))
        ended = {**OLD, "stage": STAGES[-1], "completed_at": timestamp(NOW), "entry_index": 3}
        connection.execute(insert(there["request"]).values(ended))
        connection.execute(insert(there["pointer"]).values(name="model", value="m1 digest"))
        made = {"model_id": "m1", "created_at": timestamp(NOW), "policy_index": 2}
        rest = {"manifest_digest": "d" * 64, "status": "current"}
        connection.execute(insert(there["model"]).values({**made, **rest}))
    return proofs


def test_an_old_database_is_upgraded_and_every_proof_of_it_still_holds(older, tmp_path):
    proofs = fill_the_log(older)
    with pytest.raises(VersionError):
        Database.open(older)
    assert missing_revisions(older) == REVISIONS[1:]

    assert upgrade_database(older) == REVISIONS[1:]

    log = Log(Database.open(older), signer(), tmp_path / "memory")
    key = VerifierKey(log.signer.name, log.signer.public_key)
    with log.database.read() as connection:
        report = check_log(connection, key, None)
        leaves = dict(
            connection.execute(select(tables.entry.c.entry_index, tables.entry.c.leaf_hash)).all()
        )
        assert Journal(connection).get("r1").entry_index == 3
    assert (report.ok, report.size, report.checkpoints) == (True, ENTRIES, ENTRIES)
    for text in proofs:
        proof = parse_tlog_proof(text)
        head = open_checkpoint(proof.checkpoint, key, key.name)
        verify_inclusion(leaves[proof.index], proof.index, head.size, proof.hashes, head.root)
    assert log.proof_bundles(range(ENTRIES)) == proofs[-ENTRIES:]
    with log.database.transaction() as connection:
        assert log.append(connection, unsigned_entry("attempt", NOW, b"{}"), b"{}") == ENTRIES
    log.publish()
    assert upgrade_database(older) == ()


def test_a_result_that_is_not_sound_is_not_kept(older):
    def refuse(connection):
        raise IntegrityError("not sound")

    with pytest.raises(IntegrityError, match="not sound"):
        upgrade_database(older, refuse)
    assert revision_of(Database.open_any(older)) == "0001"
    with Database.open_any(older).read() as connection:
        assert not inspect(connection).has_table("batch")


def test_a_newer_database_is_not_touched(place):
    with Database.create(place).transaction() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for act in (missing_revisions, upgrade_database):
        with pytest.raises(VersionError) as refused:
            act(place)
        assert refused.value.code == "version.newer"


def test_the_migration_keeps_requests_that_ended(older):
    add_old(older, stage=STAGES[-1], completed_at="2026-01-03T00:00:00Z")
    add_old(older, request_id="r2", stage=CANCELLED, completed_at="2026-01-03T00:00:00Z")
    with Database.open_any(older).transaction() as connection:
        suppression = {"key_hash": "h", "request_id": "r1", "at": "2026-01-02T03:04:05Z"}
        connection.execute(insert(tables.suppression).values(suppression))
    upgrade_database(older)
    database = Database.open(older)
    with database.transaction() as connection:
        known = Journal(connection).get("r1")
        assert (known.stage, known.attempts) == (STAGES[-1], 1)
        assert (known.batch_id, known.origin) == (None, None)
        assert Journal(connection).get("r2").stage == CANCELLED
        assert connection.execute(select(tables.suppression.c.request_id)).scalars().all() == ["r1"]
        if connection.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        begun = Request(request_id="r3", fingerprint="f", received_at="-", due_by="-")
        Batches(connection).begin("b1", {}, [begun])
        assert Batches(connection).open(queued=False) == ["b1"]
    assert revision_of(database) == SCHEMA_REVISION


@pytest.mark.parametrize("stage", ["received", "staged", "logged"])
def test_the_migration_refuses_a_request_that_is_open_and_changes_nothing(older, stage):
    add_old(older, stage=stage, detail="{}")
    with pytest.raises(ConflictError, match="finish it with the version"):
        upgrade_database(older)
    with Database.open_any(older).transaction() as connection:
        assert not inspect(connection).has_table("batch")
        connection.execute(update(old_tables(connection)["request"]).values(stage=CANCELLED))
    upgrade_database(older)
    Database.open(older)
