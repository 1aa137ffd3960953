"""Cohorts and schemas: who is in never depends on who else is there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbd.canonical.json import dumps, loads_strict
from mbd.data.cohorts import CohortRule, CohortRules
from mbd.data.schema import DatasetSchema
from mbd.errors import DataError, NotFoundError
from mbd.values import ModalityInfo, Task

CLASSES = Task(kind="classification", classes=("calm", "angry"))


def schema(**sources: tuple[str, ...]) -> DatasetSchema:
    infos = [
        ModalityInfo(name=name, width=2, max_length=3, derived_from=derived)
        for name, derived in sorted(sources.items())
    ]
    return DatasetSchema(name="set", task=CLASSES, modalities=tuple(infos))


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.4, 1.0])
def test_a_fraction_takes_about_that_share(fraction):
    rules = CohortRules(foundation=CohortRule(fraction=fraction, seed=1))

    taken = sum(rules.cohort_of(f"s{i}") == "foundation" for i in range(4000))

    assert abs(taken / 4000 - fraction) <= 0.03


def test_the_two_fractions_are_drawn_independently():
    rules = CohortRules(foundation=CohortRule(fraction=0.5), calibration=CohortRule(fraction=0.5))
    drawn = [rules.cohort_of(f"s{i}") for i in range(4000)]

    assert abs(drawn.count("calibration") / 4000 - 0.25) < 0.03


@given(st.text(min_size=1))
def test_a_list_beats_a_fraction(subject):
    rules = CohortRules(
        foundation=CohortRule(fraction=1.0), calibration=CohortRule(subjects=(subject,))
    )

    assert rules.cohort_of(subject) == "calibration"
    assert rules.cohort_of(subject + "'") == "foundation"


def test_a_subject_listed_twice_is_refused():
    with pytest.raises(DataError, match="'b'"):
        CohortRules(
            foundation=CohortRule(subjects=("a", "b")), calibration=CohortRule(subjects=("b",))
        )


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan"), float("inf")])
def test_impossible_fractions_are_refused(fraction):
    with pytest.raises(DataError):
        CohortRule(fraction=fraction)


def test_a_revocation_cascades_to_what_was_derived():
    made = schema(audio=(), text=("audio",), topics=("text",), vision=())

    assert made.cascade(["audio"]) == ("audio", "text", "topics")
    assert made.cascade(["topics"]) == ("topics",)
    with pytest.raises(NotFoundError, match="smell"):
        made.cascade(["smell"])


@pytest.mark.parametrize(
    "sources", [{"audio": ("audio",)}, {"audio": ("voice",)}, {"label": ()}, {}]
)
def test_impossible_schemas_are_refused(sources):
    with pytest.raises(DataError):
        schema(**sources)


def test_a_schema_survives_json():
    made = DatasetSchema(
        name="set",
        task=Task(kind="regression", label_range=(-3.0, 3.0)),
        modalities=(
            ModalityInfo(name="audio", width=2, max_length=9, range=(-1.0, 1.5)),
            ModalityInfo(name="text", width=4, max_length=1, derived_from=("audio",)),
        ),
        cohorts=CohortRules(
            foundation=CohortRule(fraction=0.4, seed=7), calibration=CohortRule(subjects=("a",))
        ),
        label_derived_from=("audio",),
    )
    written = loads_strict(dumps(made.to_json()), allow_floats=True)

    assert DatasetSchema.from_json(written) == made
