"""Identifiers sort by time and never repeat."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mbd.canonical.ulid import is_ulid, new_ulid
from mbd.errors import UsageError


def test_the_time_part_follows_the_specification():
    # The specification's example: 1469918176385 ms is 01ARYZ6S41.
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=1469918176385)
    assert new_ulid(moment)[:10] == "01ARYZ6S41"


def test_later_identifiers_sort_later():
    start = datetime(2026, 1, 1, tzinfo=UTC)
    made = [new_ulid(start + timedelta(milliseconds=step)) for step in range(50)]
    assert made == sorted(made)
    assert all(is_ulid(identifier) for identifier in made)


def test_one_moment_gives_many_identifiers():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert len({new_ulid(now) for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "01ARYZ6S41TSV4RRFFQ69G5FA",
        "01ARYZ6S41TSV4RRFFQ69G5FAVX",
        "81ARYZ6S41TSV4RRFFQ69G5FAV",
        "01aryz6s41tsv4rrffq69g5fav",
        "01ARYZ6S41TSV4RRFFQ69G5FAI",
        "01ARYZ6S41TSV4RRFFQ69G5FAV\n",
        "../../../../../etc/passwdX",
    ],
)
def test_what_is_no_ulid_is_not_taken_for_one(text):
    assert not is_ulid(text)


@pytest.mark.parametrize("moment", [datetime(2026, 1, 1), datetime(1969, 1, 1, tzinfo=UTC)])
def test_a_moment_without_zone_or_before_1970_is_refused(moment):
    with pytest.raises(UsageError):
        new_ulid(moment)
