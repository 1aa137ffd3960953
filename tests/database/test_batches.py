"""Promises of batches: shared steps in lock step, draws that compose, nothing kept at the end."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from mbd.database import tables
from mbd.database.batches import Batches
from mbd.database.journal import CANCELLED, SHARED, Journal, Request
from mbd.errors import ConflictError, DataError, NotFoundError

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def request(name, *, received="2026-01-02T03:04:05Z", subject="ann"):
    return Request(
        request_id=name,
        fingerprint=name,
        received_at=received,
        due_by="2026-02-01",
        detail={"subject": subject},
    )


@pytest.fixture
def batches(database):
    with database.transaction() as connection:
        yield Batches(connection)


@pytest.fixture
def journal(batches):
    return Journal(batches.connection)


def walk(batches, name, *stages):
    for stage in stages:
        batches.advance(name, stage)


def finish(journal, name):
    journal.advance(name, "signed")
    journal.advance(name, "logged")
    journal.complete(name, NOW)


def stages(journal, *names):
    return [journal.get(name).stage for name in names]


def attempts(journal, *names):
    return [journal.get(name).attempts for name in names]


def test_requests_take_the_shared_steps_together(batches, journal):
    batches.begin("b1", {"method": "auto"}, [request("r1"), request("r2")])
    batches.begin("b2", {}, [request("r3")])
    for stage in SHARED[1:]:
        batches.advance("b1", stage)
        assert stages(journal, "r1", "r2", "r3") == [stage, stage, "received"]
        assert batches.get("b1").stage == stage


def test_a_batch_is_as_far_as_the_last_of_its_requests(batches, journal):
    batches.begin("b1", {}, [request("r1"), request("r2")])
    walk(batches, "b1", *SHARED[1:])
    journal.advance("r1", "signed")
    assert batches.get("b1").stage == "scanned"
    finish(journal, "r2")
    assert batches.get("b1").stage == "signed"
    assert [member.request_id for member in batches.get("b1").members] == ["r1"]


def test_a_shared_step_is_the_next_one_or_the_current_one(batches, journal):
    batches.begin("b1", {}, [request("r1"), request("r2")])
    batches.advance("b1", "suppressed")
    batches.advance("b1", "suppressed")
    for wrong in ("received", "activated", "signed", CANCELLED):
        with pytest.raises(ConflictError):
            batches.advance("b1", wrong)
    assert stages(journal, "r1", "r2") == ["suppressed", "suppressed"]


def test_one_request_that_is_elsewhere_stops_the_shared_step_of_all(batches, journal):
    batches.begin("b1", {}, [request("r1"), request("r2")])
    walk(batches, "b1", *SHARED[1:])
    journal.advance("r1", "signed")
    with pytest.raises(ConflictError):
        batches.advance("b1", "scanned")
    assert stages(journal, "r1", "r2") == ["signed", "scanned"]


def test_a_step_merges_what_the_batch_knows_and_what_each_request_knows(batches, journal):
    batches.begin("b1", {"method": "auto"}, [request("r1"), request("r2")])
    batches.advance(
        "b1", "suppressed", detail={"release": 1}, details={"r1": {"bucket": 3}, "other": {}}
    )
    batches.note("b1", {"release": 2})
    found = batches.get("b1")
    assert found.detail == {"method": "auto", "release": 2}
    assert [member.detail for member in found.members] == [
        {"subject": "ann", "bucket": 3},
        {"subject": "ann"},
    ]


def test_an_id_that_is_taken_begins_nothing(batches, journal):
    batches.begin("b1", {}, [request("r1")])
    with pytest.raises(ConflictError) as refused:
        batches.begin("b2", {}, [request("r2"), request("r1")])
    assert refused.value.code == "request.differs"
    assert batches.find("b2") is None
    assert journal.find("r2") is None


def test_ids_are_looked_for_however_many_there_are(batches):
    batches.begin("b1", {}, [request("taken")])
    many = [request(f"r{number}") for number in range(1200)]
    with pytest.raises(ConflictError):
        batches.begin("b2", {}, [*many, request("taken")])
    batches.begin("b2", {}, many)
    assert batches.count_open("b2") == 1200


def test_every_draw_counts_for_everybody_in_the_batch_who_is_named(batches, journal):
    batches.begin("b1", {}, [request("r1"), request("r2"), request("r3")])
    walk(batches, "b1", "suppressed")
    batches.count_attempt("b1", {"r1": "ann-1", "r2": "bob-1"})
    batches.count_attempt("b1", {"r1": "ann-1", "r2": "bob-1"})
    assert attempts(journal, "r1", "r2", "r3") == [2, 2, 0]
    assert journal.get("r3").origin is None


def test_what_a_cancelled_request_drew_from_the_same_state_counts_too(batches, journal):
    batches.begin("b1", {}, [request("r1")])
    walk(batches, "b1", "suppressed")
    batches.count_attempt("b1", {"r1": "ann-1"})
    batches.count_attempt("b1", {"r1": "ann-1"})
    journal.cancel("r1", NOW)
    batches.begin("b2", {}, [request("r2"), request("r3", subject="bob")])
    walk(batches, "b2", "suppressed")
    batches.count_attempt("b2", {"r2": "ann-1", "r3": "bob-1"})
    assert attempts(journal, "r2", "r3") == [3, 1]
    batches.count_attempt("b2", {"r2": "ann-1", "r3": "bob-1"})
    assert attempts(journal, "r2", "r3") == [4, 2]


def test_one_cancelled_in_the_same_batch_doubles_nothing(batches, journal):
    batches.begin("b1", {}, [request("r1"), request("r2", subject="bob")])
    walk(batches, "b1", "suppressed")
    batches.count_attempt("b1", {"r1": "ann-1", "r2": "bob-1"})
    journal.cancel("r1", NOW)
    batches.count_attempt("b1", {"r2": "bob-1"})
    batches.begin("b2", {}, [request("r3")])
    walk(batches, "b2", "suppressed")
    batches.count_attempt("b2", {"r3": "ann-1"})
    assert attempts(journal, "r2", "r3") == [2, 2]


def test_two_requests_of_one_person_in_one_batch_are_one_draw(batches, journal):
    batches.begin("b1", {}, [request("r1"), request("r2")])
    walk(batches, "b1", "suppressed")
    batches.count_attempt("b1", {"r1": "ann-1", "r2": "ann-1"})
    assert attempts(journal, "r1", "r2") == [1, 1]
    batches.count_attempt("b1", {"r1": "ann-1", "r2": "ann-1"})
    assert attempts(journal, "r1", "r2") == [2, 2]


def test_another_state_or_a_completed_request_has_no_part_in_it(batches, journal):
    batches.begin("b1", {}, [request("r1")])
    walk(batches, "b1", "suppressed")
    batches.count_attempt("b1", {"r1": "ann-1"})
    walk(batches, "b1", *SHARED[2:])
    finish(journal, "r1")
    assert journal.get("r1").origin is None
    batches.begin("b2", {}, [request("r2")])
    batches.count_attempt("b2", {"r2": "ann-2"})
    assert attempts(journal, "r2") == [1]


def test_stepping_back_forgets_what_was_staged_and_keeps_the_count(batches, journal):
    batches.begin("b1", {"method": "auto"}, [request("r1"), request("r2")])
    walk(batches, "b1", "suppressed")
    batches.count_attempt("b1", {"r1": "ann-1"})
    batches.advance("b1", "staged", detail={"release": {}, "modelBefore": "m"})
    batches.advance("b1", "activated")
    batches.step_back("b1", "suppressed", forget=("release", "modelBefore"))
    found = batches.get("b1")
    assert (found.stage, found.detail) == ("suppressed", {"method": "auto"})
    assert attempts(journal, "r1", "r2") == [1, 0]
    walk(batches, "b1", "staged")


def test_queued_batches_wait_and_the_others_are_found_oldest_first(batches, journal):
    batches.begin("b3", {}, [request("r3", received="2026-01-03T00:00:00Z")])
    batches.begin("b1", {}, [request("r1", received="2026-01-01T00:00:00Z")])
    batches.begin("b2", {}, [request("r2", received="2026-01-02T00:00:00Z")])
    assert batches.open(queued=False) == ["b1", "b2", "b3"]
    batches.queue("b2")
    assert batches.open(queued=False) == ["b1", "b3"]
    assert batches.open(queued=True) == ["b2"]
    journal.cancel("r1", NOW)
    assert batches.open(queued=False) == ["b3"]
    journal.cancel("r2", NOW)
    assert batches.open(queued=True) == []


def test_uniting_takes_every_queued_request_and_no_other(batches, journal):
    for number in (1, 2, 3):
        batches.begin(f"b{number}", {"n": number}, [request(f"r{number}")])
        batches.queue(f"b{number}")
    batches.begin("b4", {}, [request("r4")])
    batches.unite("b2")
    found = batches.get("b2")
    assert [member.request_id for member in found.members] == ["r1", "r2", "r3"]
    assert (found.queued, found.detail) == (False, {"n": 2})
    assert batches.open(queued=True) == []
    assert sorted(batches.open(queued=False)) == ["b2", "b4"]
    kept = batches.connection.execute(select(tables.batch.c.batch_id)).scalars()
    assert sorted(kept) == ["b2", "b4"]


def test_a_batch_that_has_ended_is_not_found(batches, journal):
    batches.begin("b1", {}, [request("r1")])
    journal.cancel("r1", NOW)
    assert batches.find("b1") is None
    for act in (
        lambda: batches.get("b1"),
        lambda: batches.get("nothing"),
        lambda: batches.advance("b1", "suppressed"),
        lambda: batches.note("b1", {}),
        lambda: batches.count_attempt("b1", {}),
        lambda: batches.step_back("b1", "received", forget=()),
    ):
        with pytest.raises(NotFoundError):
            act()


def test_a_step_that_is_none_is_refused(batches):
    batches.begin("b1", {}, [request("r1")])
    with pytest.raises((ConflictError, DataError)):
        batches.advance("b1", "forgotten")


def test_the_detail_goes_with_the_last_request(file_database):
    database = file_database
    secret, shared = "subject-forty-two-" * 20, "what-all-had-in-common-" * 20
    with database.transaction() as connection:
        batches, journal = Batches(connection), Journal(connection)
        members = [request("r1", subject=secret), request("r2", subject="ann")]
        batches.begin("b1", {"shared": shared}, members)
        walk(batches, "b1", *SHARED[1:])
        finish(journal, "r1")
        assert batches.get("b1").detail == {"shared": shared}
    database.purge()
    assert secret.encode() not in content(database)
    assert shared.encode() in content(database)
    with database.transaction() as connection:
        finish(Journal(connection), "r2")
        assert Batches(connection).find("b1") is None
    database.purge()
    assert shared.encode() not in content(database)


def content(database):
    return b"".join(path.read_bytes() for path in database.path.parent.iterdir())
