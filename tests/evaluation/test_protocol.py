"""Conditions are met record by record; what is asked does not depend on order or company."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbd.data.records import Records
from mbd.data.synthetic import synthesise
from mbd.errors import DataError, UsageError
from mbd.evaluation.conditions import PROTOCOLS, Setting, conditions, why_not
from mbd.evaluation.intervals import Resamples
from mbd.evaluation.metrics import family_of
from mbd.evaluation.protocol import Trial, ask, constant_prediction, evaluate
from mbd.values import Task, availability_name, nonempty_subsets

RECORDS, SCHEMA = synthesise(users=6, records=60, seed=1)
SCALES = {info.name: np.ones(info.width) for info in SCHEMA.modalities}


def setting(seed: int = 0) -> Setting:
    return Setting(modalities=SCHEMA.names, seed=seed, scales=SCALES)


def mean_of_all(records: Records, available) -> np.ndarray:
    """A model whose answer shows everything that it was given, record by record."""
    return np.array(
        [[sum(float(records.x[m][i].mean()) for m in available)] for i in range(len(records))]
    )


def trial(records: Records, predict=mean_of_all, resamples: Resamples | None = None) -> Trial:
    family = family_of(SCHEMA.task)
    return Trial(predict, records, SCHEMA.task, family, np.zeros(1), resamples)


def digests(records: Records, protocol: str, seed: int = 0) -> list[str]:
    return [row.mask_digest for row in ask(trial(records), conditions(protocol, setting(seed)))]


def answers(records: Records, protocol: str) -> list[dict[str, float]]:
    """What the model says to each record under each condition."""
    asked = trial(records)
    found = []
    for condition in conditions(protocol, setting()):
        ids = records.record_ids
        made = {i: condition.damage(ids[i], asked.arrays(i)) for i in range(len(ids))}
        damaged = {i: one for i, one in made.items() if one is not None}
        said = asked.predictions({i: one.x for i, one in damaged.items()})
        found.append(
            {records.record_ids[i]: float(v[0]) for i, v in zip(damaged, said, strict=True)}
        )
    return found


def test_every_subset_has_a_row_on_exactly_its_records():
    rows = evaluate(lambda chosen, p: np.zeros((len(chosen), 1)), RECORDS, SCHEMA, np.zeros(1))

    assert [row.available for row in rows] == [
        availability_name(p) for p in nonempty_subsets(SCHEMA.names)
    ]
    for row, p in zip(rows, nonempty_subsets(SCHEMA.names), strict=True):
        assert row.n == sum(RECORDS.availability(i) >= p for i in range(len(RECORDS)))


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_the_model_sees_what_it_is_told_it_sees(protocol):
    def predict(chosen, p):
        assert {chosen.availability(i) for i in range(len(chosen))} == {p}
        return chosen.labels[:, None]

    rows = ask(trial(RECORDS, predict), conditions(protocol, setting()))

    assert rows
    assert all(row.metrics["mae"] == 0 for row in rows)
    assert all(row.baseline["mae"] > 0 for row in rows)


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 999))
def test_the_order_of_records_changes_neither_masks_nor_answers(protocol, seed):
    shuffled = RECORDS.select(np.random.default_rng(seed).permutation(len(RECORDS)))

    assert digests(shuffled, protocol) == digests(RECORDS, protocol)
    assert answers(shuffled, protocol) == answers(RECORDS, protocol)


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 999))
def test_a_record_is_asked_the_same_in_any_company(protocol, seed):
    """Any part of the records, so any batch of any worker, gets the masks it would get in all."""
    chosen = np.flatnonzero(np.random.default_rng(seed).random(len(RECORDS)) < 0.3)
    part = RECORDS.select(chosen if len(chosen) else [0])

    for among_all, alone in zip(answers(RECORDS, protocol), answers(part, protocol), strict=True):
        assert alone.items() <= among_all.items()


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_one_record_at_a_time_is_a_batch_too(protocol):
    def one_by_one(chosen, p):
        singles = [chosen.select([i]) for i in range(len(chosen))]
        return np.concatenate([mean_of_all(single, p) for single in singles])

    whole, single = (
        ask(trial(RECORDS, predict), conditions(protocol, setting()))
        for predict in (mean_of_all, one_by_one)
    )
    assert [row.metrics for row in whole] == [row.metrics for row in single]


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_rows_do_not_depend_on_how_many_records_are_damaged_at_a_time(protocol, monkeypatch):
    drawn = Resamples(RECORDS.subjects)
    before = ask(trial(RECORDS, resamples=drawn), conditions(protocol, setting()))
    monkeypatch.setattr("mbd.evaluation.protocol._BATCH", 7)
    after = ask(trial(RECORDS, resamples=drawn), conditions(protocol, setting()))
    for old, new in zip(before, after, strict=True):
        assert (old.n, old.metrics, old.baseline, old.missing, old.mask_digest) == (
            new.n, new.metrics, new.baseline, new.missing, new.mask_digest,
        )  # fmt: skip
        assert old.intervals == new.intervals


@pytest.mark.parametrize("protocol", ["random", "whole", "imbalanced", "corrupt"])
def test_the_seed_is_in_the_digest_and_rates_differ_in_it(protocol):
    assert digests(RECORDS, protocol, seed=0) == digests(RECORDS, protocol, seed=0)
    changed = zip(digests(RECORDS, protocol, 0), digests(RECORDS, protocol, 1), strict=True)
    rates = [condition.rate for condition in conditions(protocol, setting())]
    assert [a != b for a, b in changed] == [rate > 0 for rate in rates]
    one_series = conditions(protocol, setting())[0].series
    found = ask(trial(RECORDS), conditions(protocol, setting()))
    series = [row.mask_digest for row in found if row.condition.series == one_series]
    assert len(set(series)) == len(series)


def test_more_is_missing_at_a_higher_rate():
    for protocol in ("random", "whole"):
        shares = [row.missing for row in ask(trial(RECORDS), conditions(protocol, setting()))]
        assert shares[0] == 0
        assert shares == sorted(shares)
        assert shares[-1] > 0.5


def test_what_is_asked_twice_is_predicted_once():
    asked = []

    def counting(chosen, p):
        asked.extend((record, p) for record in chosen.record_ids)
        return mean_of_all(chosen, p)

    one = trial(RECORDS, counting)
    ask(
        one, [c for name in ("subsets", "whole", "imbalanced") for c in conditions(name, setting())]
    )
    assert len(asked) == len(set(asked))


def test_what_was_touched_is_asked_anew_though_the_record_is_known():
    one = trial(RECORDS)
    ask(one, conditions("subsets", setting()))
    for protocol in ("random", "corrupt"):
        rows = ask(one, conditions(protocol, setting()))
        alone = ask(trial(RECORDS), conditions(protocol, setting()))
        assert [row.metrics for row in rows] == [row.metrics for row in alone]
        series = [
            row.metrics["mae"] for row in rows if row.condition.series == rows[0].condition.series
        ]
        assert len(set(series)) == len(series)


def test_asking_leaves_the_records_as_they_are():
    before = {m: [None if a is None else a.copy() for a in RECORDS.x[m]] for m in RECORDS.x}
    ask(trial(RECORDS), [c for name in PROTOCOLS for c in conditions(name, setting())])
    for m, column in before.items():
        for old, new in zip(column, RECORDS.x[m], strict=True):
            np.testing.assert_array_equal(old, new)


def test_a_subset_that_nobody_has_gives_no_row():
    silent = RECORDS.without(lambda _, modality: modality == "audio")

    rows = evaluate(lambda chosen, p: np.zeros((len(chosen), 1)), silent, SCHEMA, np.zeros(1))

    assert [row.available for row in rows] == ["text", "vision", "text+vision"]


def test_what_cannot_be_asked_is_refused_and_says_why():
    alone = Setting(modalities=("text",), scales=SCALES)
    for protocol in ("whole", "imbalanced"):
        assert "single" in (why_not(protocol, alone) or "")
        with pytest.raises(UsageError, match="single"):
            conditions(protocol, alone)
    assert conditions("random", alone)
    with pytest.raises(UsageError, match="single vector"):
        conditions("random", replace(alone, sequences=False))
    with pytest.raises(UsageError, match="nothing"):
        conditions("nothing", setting())
    assert {c.series for c in conditions("corrupt", alone)} == {
        "noise, all channels", "shift, all channels"
    }  # fmt: skip


def test_progress_is_told_after_each_condition():
    told = []
    ask(trial(RECORDS), conditions("whole", setting()), lambda *step: told.append(step))
    assert told == [(k, 8) for k in range(1, 9)]


def test_the_constant_predictor_is_the_mean_or_the_shares():
    scores = Task(kind="regression", label_range=(-3.0, 3.0))
    classes = Task(kind="classification", classes=("a", "b", "c"))

    assert constant_prediction(np.array([1.0, 3.0]), scores).tolist() == [2.0]
    assert constant_prediction(np.array([0.0, 2.0, 2.0, 2.0]), classes).tolist() == [0.25, 0, 0.75]
    with pytest.raises(DataError):
        constant_prediction(np.array([]), scores)
