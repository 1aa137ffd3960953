"""Promises of the journal: one step at a time, nothing skipped, nothing kept at the end."""

from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mbd.database.batches import Batches
from mbd.database.journal import CANCELLABLE, CANCELLED, SHARED, STAGES, Journal, Request
from mbd.errors import ConflictError, DataError, NotFoundError

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REQUEST = Request(
    request_id="r1",
    fingerprint="f" * 64,
    received_at="2026-01-02T03:04:05Z",
    due_by="2026-02-01",
    detail={"subject": "forty-two", "modality": "audio"},
)
SAME_DATABASE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


class Discarded(Exception):
    """Ends a transaction without a trace."""


@contextmanager
def discarded(database):
    """A transaction whose writes are thrown away."""
    with suppress(Discarded), database.transaction() as connection:
        yield connection
        raise Discarded


@pytest.fixture
def journal(database):
    with database.transaction() as connection:
        yield begun(connection)


def begun(connection, request=REQUEST):
    Batches(connection).begin("b1", {}, [request])
    return Journal(connection)


def walk(journal, stages):
    for stage in stages:
        move(journal, stage)


@SAME_DATABASE
@given(steps=st.lists(st.sampled_from([*STAGES, CANCELLED]), max_size=30))
def test_only_the_walk_of_the_design_can_be_recorded(database, steps):
    """A model: the stage moves to the next one, stays, or is cancelled before erasure."""
    with discarded(database) as connection:
        journal, here = begun(connection), STAGES[0]
        for step in steps:
            allowed = is_allowed(here, step)
            try:
                move(journal, step)
                assert allowed, (here, step)
                here = step
            except (ConflictError, NotFoundError):  # a batch that has ended is not found
                assert not allowed, (here, step)
            known = journal.get("r1")
            assert known.stage == here
            ended = here in (STAGES[-1], CANCELLED)
            assert (known.detail is None) == ended == (known.completed_at is not None)
            assert (known in journal.open_requests()) == (not ended) == known.is_open


def is_allowed(here, step):
    if step == CANCELLED:
        return here == CANCELLED or here in CANCELLABLE
    if here == CANCELLED:
        return False
    if here == STAGES[-1]:
        return step == STAGES[-1]
    return STAGES.index(step) - STAGES.index(here) in (0, 1)


def move(journal, step):
    if step == CANCELLED:
        journal.cancel("r1", NOW)
    elif step == STAGES[-1]:
        journal.complete("r1", NOW)
    elif step in SHARED:
        Batches(journal.connection).advance("b1", step)
    else:
        journal.advance("r1", step)


def test_the_whole_walk(journal):
    walk(journal, STAGES[1:-2])
    journal.advance("r1", "logged", certificate_id="01J" + "0" * 23)
    done = journal.complete("r1", NOW)
    assert done.stage == "completed"
    assert done.certificate_id == "01J" + "0" * 23
    assert done.completed_at == "2026-01-02T03:04:05Z"
    assert done.detail is None


def test_detail_is_merged_and_the_step_may_be_recorded_again(journal):
    walk(journal, SHARED[1:])
    journal.advance("r1", "signed", detail={"plan": [1]})
    again = journal.advance("r1", "signed", detail={"plan": [2]})
    assert again.detail == {"subject": "forty-two", "modality": "audio", "plan": [2]}


def test_completing_takes_complete(journal):
    walk(journal, STAGES[1:-1])
    with pytest.raises(ConflictError):
        journal.advance("r1", "completed")
    assert journal.get("r1").detail is not None


def test_a_cancelled_request_has_reached_nothing(journal):
    journal.cancel("r1", NOW)
    assert not journal.get("r1").reached("received")


def test_unknown_requests_and_stages(journal):
    with pytest.raises(NotFoundError):
        journal.get("r2")
    with pytest.raises(DataError):
        journal.advance("r1", "forgotten")


def test_nothing_of_the_subject_stays_in_the_file_after_completion(file_database):
    database = file_database
    detail = {"subject": "subject-forty-two-" * 20}
    with database.transaction() as connection:
        walk(begun(connection, Request(**{**vars(REQUEST), "detail": detail})), STAGES[1:-1])
    database.purge()
    assert b"subject-forty-two" in database.path.read_bytes()
    with database.transaction() as connection:
        Journal(connection).complete("r1", NOW)
    database.purge()
    for path in database.path.parent.iterdir():
        assert b"subject-forty-two" not in path.read_bytes()
