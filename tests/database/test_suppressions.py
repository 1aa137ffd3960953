"""Revoked, granted, revoked again: the list says what a plain model says, and links nothing."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from mbd.database import suppressions
from mbd.database.batches import Batches
from mbd.database.engine import Database
from mbd.database.journal import CANCELLED, STAGES, Journal, Request
from mbd.database.suppressions import keyed_hash
from mbd.database.tables import suppression
from mbd.errors import ConflictError

KEY = bytes(range(32))
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DAY = datetime(2026, 1, 3, tzinfo=UTC)
PEOPLE, CHANNELS = ("ann", "bob"), ("audio", "text")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["revoke", "grant", "withdraw", "cancel", "unlink"]),
        st.sampled_from(PEOPLE),
        st.sampled_from(CHANNELS),
    ),
    max_size=14,
)


def request(name: str, stage: str = STAGES[0]) -> Request:
    return Request(
        request_id=name, fingerprint=name, received_at="-", due_by="-", stage=stage, detail={}
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_the_list_says_what_a_plain_model_says(steps: list[tuple[str, str, str]]) -> None:
    """The model: for each channel the turns in which it was revoked, and whether it is off."""
    past: dict[tuple[str, str], list[list[str]]] = {}
    off: set[tuple[str, str]] = set()
    random = 0
    with tempfile.TemporaryDirectory() as folder:
        database = Database.create(Path(folder) / "ledger.db")
        with database.transaction() as connection:
            for number, (what, who, channel) in enumerate(steps):
                at = (who, channel)
                turns = past.setdefault(at, [])
                if what == "revoke":
                    name = f"r{number}"
                    Batches(connection).begin(f"b{number}", {}, [request(name)])
                    suppressions.add(connection, KEY, who, channel, NOW, name)
                    if at not in off:
                        turns.append([])
                    turns[-1].append(name)
                    off.add(at)
                elif what == "grant":
                    lifted = suppressions.lift(connection, KEY, who, channel, NOW)
                    assert lifted == (at in off)
                    off.discard(at)
                elif what == "withdraw" and turns and at not in off:
                    suppressions.reinstate(connection, KEY, who, channel)
                    off.add(at)
                elif what == "cancel" and at in off:
                    suppressions.remove_of(connection, turns[-1].pop(0))
                    if not turns[-1]:
                        turns.pop()
                        off.discard(at)
                elif what == "unlink" and turns:
                    stand_in = f"s{number}"
                    Batches(connection).begin(f"c{number}", {}, [request(stand_in)])
                    names = [name for turn in turns for name in turn]
                    suppressions.unlink(connection, names, stand_in, DAY)
                    random += len(names)
                    assert suppressions.requests(connection) >= {*names, stand_in}
                    past[at] = [[stand_in] for _ in turns]
                assert_equal(connection, past, off)
            hashes = list(connection.execute(select(suppression.c.key_hash)).scalars())
            wanted = sum(len(turns) for turns in past.values()) + random
            assert len(set(hashes)) == wanted, "two turns of one channel look alike"


def assert_equal(connection, past, off) -> None:
    listed = suppressions.load(connection, KEY)
    for who in PEOPLE:
        for channel in CHANNELS:
            at = (who, channel)
            assert listed.blocks(who, channel) == (at in off)
            assert listed.granted(who, channel) == (bool(past.get(at)) and at not in off)
            found = suppressions.find(connection, KEY, who, channel)
            assert found in (past[at][-1] if at in off else [None])
            known = suppressions.requests_of(connection, KEY, who, [channel])
            assert known == {name for turn in past.get(at, []) for name in turn}


def test_rows_of_before_that_share_a_hash_are_understood(database):
    """Once a channel that was revoked again had the same hash again."""
    with database.transaction() as connection:
        Batches(connection).begin("b", {}, [request("r1"), request("r2"), request("r3")])
        hashed = keyed_hash(KEY, "suppression", "ann", "audio")
        rows = [("r1", "2026-01-01T00:00:00Z"), ("r2", None)]
        for name, lifted in rows:
            row = {"key_hash": hashed, "request_id": name, "at": "-", "lifted_at": lifted}
            connection.execute(insert(suppression).values(row))
        assert suppressions.load(connection, KEY).blocks("ann", "audio")
        assert suppressions.find(connection, KEY, "ann", "audio") == "r2"
        assert suppressions.lift(connection, KEY, "ann", "audio", NOW)
        assert suppressions.load(connection, KEY).granted("ann", "audio")
        suppressions.add(connection, KEY, "ann", "audio", NOW, "r3")
        assert suppressions.find(connection, KEY, "ann", "audio") == "r3"
        suppressions.unlink(connection, ["r1", "r2"], "r1", DAY)
        assert suppressions.load(connection, KEY).blocks("ann", "audio")


def test_only_what_is_completed_can_be_unlinked(database):
    stand_in = request("forgotten-1", STAGES[-1])
    with database.transaction() as connection:
        Batches(connection).begin("b", {}, [request("r1"), request("r2")])
        with pytest.raises(ConflictError):
            Journal(connection).unlink(["r1"], stand_in)
        Journal(connection).cancel("r1", NOW)
        Journal(connection).unlink(["r1"], stand_in)
        assert Journal(connection).get("r1").fingerprint not in ("", request("r1").fingerprint)
        assert Journal(connection).get("r1").stage == CANCELLED
        assert Journal(connection).get("forgotten-1").detail is None
        assert Journal(connection).get("r2").fingerprint == request("r2").fingerprint
