"""Promises to the auditor: everything is found, any altered byte is noticed and located."""

import tracemalloc
from datetime import date

import pytest
from sqlalchemy import delete, event, insert, select, update

from mbd.canonical.tree import node_hash
from mbd.database import tables
from mbd.errors import IntegrityError, NotFoundError
from mbd.ledger.check import check_log
from mbd.ledger.log import Labels
from mbd.ledger.note import Checkpoint, sign_checkpoint
from mbd.ledger.queries import (
    Filter,
    body_of,
    conditions,
    find_entry,
    in_pages,
    list_entries,
    log_size,
    with_nodes,
)
from tests.ledger.entries import append, certificate, note_entry
from tests.ledger.keys import signer

FIRST, SECOND = "01J" + "0" * 23, "01J" + "1" * 23


@pytest.fixture
def filled(log):
    """Entries 0..6: attempts on days 0..3, certificates at 4 and 5, an attempt on day 6."""
    for number in range(4):
        append(log, *note_entry(number))
    append(log, *certificate(FIRST, ["audio"], "certified", day=4))
    append(log, *certificate(SECOND, ["audio", "text"], "exact", day=5))
    log.publish()
    append(log, *note_entry(6))
    log.publish()
    return log


def found(log, **chosen):
    with log.database.read() as connection:
        return [one.index for one in list_entries(connection, Filter(**chosen))]


def test_filters(filled):
    assert found(filled) == list(range(7))
    assert found(filled, modality="audio") == [4, 5]
    assert found(filled, modality="text") == [5]
    assert found(filled, modality="aud") == []
    assert found(filled, guarantee_class="exact") == [5]
    assert found(filled, certificate_id=FIRST) == [4]
    assert found(filled, since=date(2026, 1, 5)) == [4, 5, 6]
    assert found(filled, until=date(2026, 1, 5)) == [0, 1, 2, 3, 4]
    assert found(filled, since=date(2026, 1, 5), until=date(2026, 1, 6), modality="text") == [5]


def test_filters_by_type_by_certificates_and_by_place(filled):
    assert found(filled, type="certificate") == [4, 5]
    assert found(filled, type="policy") == []
    assert found(filled, certificate_ids=frozenset({FIRST, SECOND, "01J" + "2" * 23})) == [4, 5]
    assert found(filled, certificate_ids=frozenset()) == []
    assert found(filled, after=4) == [5, 6]
    assert found(filled, before=2) == [0, 1]
    assert found(filled, type="attempt", after=2, before=6) == [3]


def test_pages_follow_each_other_without_gap_or_repetition(filled):
    with filled.database.read() as connection:
        for limit in range(1, 9):
            pages, after = [], -1
            while page := list_entries(connection, Filter(after=after), limit=limit):
                pages += [one.index for one in page]
                assert len(page) <= limit
                after = page[-1].index
            assert pages == list(range(7))


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 100])
def test_rows_are_read_in_pages_of_any_size(filled, rows):
    with filled.database.read() as connection:
        query = select(ENTRY.c.entry_index)
        read = [row[0] for row in in_pages(connection, query, ENTRY.c.entry_index, rows)]
    assert read == list(range(7))


def plan(connection, statement):
    """How the database finds the rows of a query, if there were many."""
    dialect = connection.dialect
    text = str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    if dialect.name == "sqlite":
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all()
        return " ".join(row[3] for row in rows)
    connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
    connection.exec_driver_sql("SET LOCAL enable_sort = off")
    return " ".join(connection.exec_driver_sql("EXPLAIN " + text).scalars())


def explained(connection, statement, parameters):
    rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", (0,) * parameters).all()
    return " ".join(row[3] for row in rows)


@pytest.mark.parametrize(
    ("chosen", "index"),
    [
        ({"type": "certificate"}, "entry_type"),
        ({"guarantee_class": "exact"}, "entry_class"),
        ({"modality": "text"}, "entry_modalities"),
        ({"certificate_id": FIRST}, "entry_certificate"),
    ],
)
def test_every_filter_has_its_index(filled, chosen, index):
    with filled.database.read() as connection:
        query = select(ENTRY).where(*conditions(connection, Filter(**chosen)))
        assert index in plan(connection, query)


def test_days_have_an_index(filled):
    """It is for counting and for rare days: a page in the order of the log may do without."""
    with filled.database.read() as connection:
        days = conditions(connection, Filter(since=date(2026, 1, 5), until=date(2026, 1, 5)))
        assert "entry_time" in plan(connection, select(ENTRY.c.entry_index).where(*days))


def test_many_subtrees_are_read_in_one_query_and_a_lost_one_is_named(filled):
    wanted = [(0, index) for index in range(7)] + [(1, 0), (1, 1), (1, 2), (2, 0)]
    statements = []

    def count(connection, cursor, statement, *_):
        statements.append(statement)

    with filled.database.read() as connection:
        event.listen(connection, "before_cursor_execute", count)
        nodes = with_nodes(connection, lambda read: {key: read(*key) for key in wanted})
        assert len(statements) == 1
        if connection.dialect.name == "sqlite":
            assert "SCAN" not in explained(connection, statements[0], 14)
        assert nodes[1, 1] == node_hash(nodes[0, 2], nodes[0, 3])
        with pytest.raises(IntegrityError, match=r"subtree \(3, 0\)"):
            with_nodes(connection, lambda read: read(3, 0))


def test_a_check_holds_a_page_in_memory_however_long_the_log_is(log):
    """Ten times the entries, a few more levels."""
    peaks = []
    for size in (1_000, 10_000):
        with log.database.transaction() as connection:
            begun = log_size(connection)
            entries = ((*note_entry(number % 300), Labels()) for number in range(begun, size))
            log.append_all(connection, entries)
        log.publish()
        tracemalloc.start()
        assert report_on(log).ok
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]


def test_an_entry_is_found_by_index_or_certificate(filled):
    with filled.database.read() as connection:
        assert find_entry(connection, "4") == find_entry(connection, FIRST)
        assert body_of(connection, 0) == note_entry(0)[1]
        for unknown in ("7", "01", "-1", "2147483648", "9" * 18, "nonsense", "01J" + "2" * 23):
            with pytest.raises(NotFoundError):
                find_entry(connection, unknown)


def report_on(log):
    with log.database.read() as connection:
        return check_log(connection, log.verifier_key, log.memory.read())


def test_a_sound_log_passes(filled):
    report = report_on(filled)
    assert report.ok
    assert (report.size, report.bodies, report.checkpoints) == (7, 7, 2)
    assert report.root == filled.latest().root


def test_an_empty_log_passes(log):
    assert report_on(log).ok


def test_an_erased_body_is_no_fault(filled):
    change(filled, delete(tables.body).where(tables.body.c.entry_index == 4))
    report = report_on(filled)
    assert report.ok
    assert report.bodies == 6


def change(log, *statements):
    with log.database.transaction() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        for statement in statements:
            connection.execute(statement)


def at(table, index):
    return table.c.entry_index == index


ENTRY, BODY, NODE = tables.entry, tables.body, tables.node
OTHER = note_entry(50)[0]
ALTERATIONS = {
    "body": (2, update(BODY).where(at(BODY, 2)).values(content=b'{"number":3}')),
    "certificate body": (4, update(BODY).where(at(BODY, 4)).values(content=b"{}")),
    "leaf": (3, update(ENTRY).where(at(ENTRY, 3)).values(leaf=OTHER.leaf_bytes())),
    "leaf not canonical": (3, update(ENTRY).where(at(ENTRY, 3)).values(leaf=b"{ }")),
    "leaf hash": (3, update(ENTRY).where(at(ENTRY, 3)).values(leaf_hash=OTHER.leaf_hash())),
    "time": (1, update(ENTRY).where(at(ENTRY, 1)).values(time="2027-01-01T00:00:00Z")),
    "type": (1, update(ENTRY).where(at(ENTRY, 1)).values(type="policy")),
    "listed class": (4, update(ENTRY).where(at(ENTRY, 4)).values(guarantee_class="exact")),
    "listed modalities": (5, update(ENTRY).where(at(ENTRY, 5)).values(modalities="audio")),
    "listed id": (5, update(ENTRY).where(at(ENTRY, 5)).values(certificate_id=FIRST)),
    "leaf node": (6, update(NODE).where(NODE.c.node_index == 6).values(hash=bytes(32))),
    "inner node": (3, update(NODE).where(NODE.c.level == 2).values(hash=bytes(32))),
    "lost node": (3, delete(NODE).where(NODE.c.level == 2)),
    "foreign node": (8, insert(NODE).values(level=3, node_index=1, hash=bytes(32))),
    "size too small": (5, update(tables.head).values(size=5)),
    "size too large": (7, update(tables.head).values(size=9)),
}


@pytest.mark.parametrize("what", ALTERATIONS)
def test_any_alteration_is_found_where_it_is(filled, what):
    index, statement = ALTERATIONS[what]
    change(filled, statement)
    report = report_on(filled)
    assert not report.ok
    assert report.bad_index == index
    assert report.root is None


def test_a_lost_entry_is_found(filled):
    change(filled, delete(BODY).where(at(BODY, 3)), delete(ENTRY).where(at(ENTRY, 3)))
    assert report_on(filled).bad_index == 3


def test_a_rewritten_history_is_found_by_its_checkpoint(filled):
    """Everything recomputed consistently for another leaf: only signatures notice."""
    with filled.database.read() as connection:
        notes = connection.execute(select(tables.checkpoint)).all()
    for size, note in notes:
        head = filled.latest()
        forged = {
            "another root": sign_checkpoint(Checkpoint(head.origin, size, bytes(32)), signer()),
            "another key": sign_checkpoint(Checkpoint(head.origin, size, head.root), signer(2)),
            "another size": notes[size == 6][1],
            "damaged": note[:-5] + "AAA=\n",
        }
        for what, wrong in forged.items():
            checkpoint = tables.checkpoint
            row = update(checkpoint).where(checkpoint.c.size == size)
            change(filled, row.values(note=wrong))
            assert not report_on(filled).ok, what
            change(filled, row.values(note=note))
    assert report_on(filled).ok


def test_what_the_signer_remembers_counts(filled):
    head = filled.latest()
    with filled.database.read() as connection:
        longer = sign_checkpoint(Checkpoint(head.origin, 8, head.root), signer())
        report = check_log(connection, filled.verifier_key, longer)
    assert (report.ok, report.bad_index) == (False, 7)
