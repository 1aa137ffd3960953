"""One field, one spelling; and what was read before changes nothing."""

from __future__ import annotations

import copy
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mbd.canonical.json import dumps
from mbd.certificate.fields import format_time, parse_time
from mbd.certificate.issue import build_statement
from mbd.certificate.statement import Guarantee, Statement, parse_statement
from mbd.errors import DataError
from tests.certificate.samples import altered, issuance, outcome

FORM = "%Y-%m-%dT%H:%M:%SZ"
CONTENT = build_statement(outcome(), issuance()).model_dump(mode="json", by_alias=True)


@given(
    st.datetimes(datetime(1000, 1, 1)).map(lambda moment: moment.strftime(FORM))
    | st.from_regex(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}[T ][0-9]{1,2}:[0-9:]{1,9}(Z|\+00:00)?")
    | st.text("2026-05-17T12:00:00Z.W", max_size=27)
)
@example("2026-W20-7T12:00:00Z")
@example("2026-05-17T12:00:00.123456Z")
@example("2026-05-17T12:00:60Z")
@example("2026-05-17 12:00:00Z")
@example("2026-05-17T12:00:00z")
@example("")
def test_a_time_is_read_if_the_slow_reading_writes_it_back(text):
    try:
        slow = datetime.strptime(text, FORM).replace(tzinfo=UTC)
        expected = slow if slow.year >= 1000 and slow.strftime(FORM) == text else None
    except ValueError:
        expected = None

    try:
        found = parse_time(text)
    except ValueError:
        found = None
    if text[:1] != "0":  # years that `strftime` does not pad
        assert found == expected
        assert found is None or format_time(found) == text


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("predicate.guarantee.attempts", True),
        ("predicate.guarantee.attempts", "1"),
        ("predicate.guarantee.heads", []),
        ("predicate.guarantee.parameters.0.sigma", "0.50"),
        ("predicate.deletion.stores.0", {"store": "records", "action": "none"}),
        ("predicate.deletion.outOfScope.0.what", "line\nend"),
        ("predicate.claims.0.status", "proved"),
    ],
)
def test_a_part_that_was_read_before_lets_no_other_through(path, value):
    for _ in range(2):
        assert parse_statement(dumps(CONTENT)) == Statement.model_validate(CONTENT)
        with pytest.raises(DataError) as refusal:
            parse_statement(dumps(altered(CONTENT, path, value)))
        assert refusal.value.field is not None
        assert refusal.value.field.startswith(path.rpartition(".")[0])


def test_a_remembered_part_is_what_its_content_says():
    for number in range(200):  # more than are kept
        content = altered(CONTENT, "predicate.guarantee.attempts", number)
        read = parse_statement(dumps(content)).predicate.guarantee
        assert read == Guarantee.model_validate(content["predicate"]["guarantee"])


def test_a_caller_who_changes_the_parsed_json_changes_no_later_reading():
    content = copy.deepcopy(CONTENT)
    first = Statement.model_validate(content)
    content["predicate"]["guarantee"]["notCovered"].clear()
    assert Statement.model_validate(CONTENT) == first
    assert Statement.model_validate(content) != first
