"""Shapley's axioms, and summaries that mean what their docstrings state."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mbd.data.records import Records
from mbd.evaluation.diagnostics import contributions, equity, imbalance, shapley
from mbd.evaluation.metrics import family_of
from mbd.evaluation.protocol import Trial
from mbd.values import Task, nonempty_subsets

SCORES = Task(kind="regression", label_range=(-3.0, 3.0))
values = st.floats(-10, 10)


def game(names, worth):
    return {p: worth(p) for p in (frozenset(), *nonempty_subsets(names))}


@st.composite
def games(draw):
    names = [f"m{k}" for k in range(draw(st.integers(1, 5)))]
    return names, game(names, lambda p: draw(values))


@given(games())
def test_contributions_sum_to_what_all_earn_together(drawn):
    names, played = drawn

    total = math.fsum(shapley(played, names).values())

    assert total == pytest.approx(played[frozenset(names)] - played[frozenset()], abs=1e-9)


@given(games(), st.integers(0, 4))
def test_who_changes_nothing_gets_nothing_and_equals_get_the_same(drawn, which):
    names, played = drawn
    idle = names[which % len(names)]
    without = {p: played[p - {idle}] for p in played}
    assert shapley(without, names)[idle] == pytest.approx(0, abs=1e-9)
    alike = game(names, lambda p: float(len(p)) ** 2)
    assert len({round(value, 9) for value in shapley(alike, names).values()}) == 1


def test_a_game_worked_by_hand():
    """text earns 6 alone, audio 2, both 10: orders (t, a) and (a, t) give 6+4 and 8+2."""
    played = {frozenset(): 0.0, frozenset("t"): 6.0, frozenset("a"): 2.0, frozenset("ta"): 10.0}

    assert shapley(played, ["a", "t"]) == {"a": 3.0, "t": 7.0}


@given(st.dictionaries(st.text(max_size=3), values, min_size=1, max_size=6))
@example({"a": 5e-324, "b": 10.0})
def test_equity_lies_between_nobody_and_everybody(found):
    assert 0 <= equity(found) <= 1


def test_equity_at_its_ends():
    assert equity({"a": 0.2, "b": 0.2, "c": 0.2}) == pytest.approx(1)
    assert equity({"a": 0.2, "b": 0.0, "c": -0.1}) == 0
    assert equity({"a": -0.2, "b": -0.1}) == 0
    assert (equity({"a": 0.5}), equity({"a": -0.5})) == (1, 0)
    assert equity({"a": 3.0, "b": 1.0}) == pytest.approx(0.8112781)  # entropy of 3/4 in bits


def test_imbalance_at_its_ends():
    assert imbalance({"a": 2.0, "b": 2.0}) == 0
    assert imbalance({"a": 2.0, "b": 0.0}) == 1
    assert imbalance({"a": 3.0, "b": 1.0}) == 0.5
    assert imbalance({"a": 0.0, "b": 0.0}) == 0


def two_channels(complete: int, partial: int) -> Records:
    """`a` is the label, `b` is nothing; some records lack `b`."""
    n = complete + partial
    labels = np.arange(n, dtype=np.float64) - n / 2
    return Records(
        record_ids=tuple(f"r{i}" for i in range(n)),
        subjects=("s",) * n,
        cohorts=("revocable",) * n,
        splits=("test",) * n,
        labels=labels,
        x={
            "a": tuple(np.array([[y]], np.float32) for y in labels),
            "b": tuple(np.zeros((1, 1), np.float32) if i < complete else None for i in range(n)),
        },
    )


def trial(records: Records) -> Trial:
    def predict(chosen, p):
        if "a" not in p:
            return np.zeros((len(chosen), 1))
        return np.array([[float(x[0, 0])] for x in chosen.x["a"]])

    return Trial(predict, records, SCORES, family_of(SCORES), np.zeros(1))


def test_a_channel_that_knows_the_label_removes_the_whole_error():
    found = {one.metric: one for one in contributions(trial(two_channels(6, 4)), ("a", "b"))}
    mae = found["mae"]
    assert mae.n == 6
    assert mae.shapley["a"] == pytest.approx(np.abs(two_channels(6, 4).labels[:6]).mean())
    assert mae.shapley["b"] == 0
    assert mae.equity == 0


def test_without_a_complete_record_there_is_no_game():
    assert contributions(trial(two_channels(0, 4)), ("a", "b")) == []
