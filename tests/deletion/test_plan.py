from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbd.deletion.plan import BlockProvenance, plan
from mbd.errors import RefusedError
from mbd.values import (
    COHORTS,
    availability_name,
    nonempty_subsets,
    parse_availability,
)

MODALITIES = ("audio", "text", "vision")
HEADS = tuple(availability_name(p) for p in nonempty_subsets(MODALITIES))


def blocks(learned: frozenset = frozenset({"foundation"}), modalities=MODALITIES):
    """A core, a scaler and a policy learned from `learned`, and a head per availability."""
    frozen = [
        BlockProvenance(name=kind, kind=kind, cohorts=learned, modalities=frozenset(modalities))
        for kind in ("core", "scaler", "policy")
    ]
    heads = [
        BlockProvenance(
            name=name, kind="head", cohorts=frozenset(COHORTS), modalities=parse_availability(name)
        )
        for name in HEADS
    ]
    return [*frozen, *heads]


def revoke(modalities=frozenset({"audio"}), cohort="revocable", rows=None, **more):
    rows = dict.fromkeys(HEADS, 3) if rows is None else rows
    return plan(
        more.pop("blocks", blocks()),
        subject_cohort=cohort,
        modalities=frozenset(modalities),
        rows=rows,
        **more,
    )


@given(st.sets(st.sampled_from(MODALITIES), min_size=1))
def test_exactly_the_heads_that_read_a_revoked_modality_are_selected(modalities):
    found = revoke(modalities)

    assert set(found.selected) == {n for n in HEADS if parse_availability(n) & modalities}
    assert set(found.untouched) == set(HEADS) - set(found.selected)
    assert found.guarantee_class == "certified"
    changed = {action.block for action in found.actions if action.action != "keep"}
    assert changed == set(found.selected)


def test_heads_without_a_row_of_the_subject_are_selected_too():
    assert revoke(rows={"audio": 1}).selected == revoke().selected


@pytest.mark.parametrize("cohort", ["foundation", "calibration"])
def test_a_subject_that_a_frozen_block_learned_from_is_refused_with_ways_on(cohort):
    with pytest.raises(RefusedError) as refusal:
        revoke(cohort=cohort, blocks=blocks(frozenset({cohort})))

    assert refusal.value.exit_code == 5
    assert "core" in str(refusal.value)
    assert "--method retrain" in (refusal.value.hint or "")
    assert "neither a foundation nor a calibration cohort" in (refusal.value.hint or "")


@pytest.mark.parametrize("cohort", COHORTS)
@pytest.mark.parametrize("rows", [None, {}])
def test_retraining_makes_every_block_again_whoever_asks(cohort, rows):
    found = revoke(method="retrain", cohort=cohort, rows=rows, blocks=blocks(frozenset(COHORTS)))

    assert (found.method, found.guarantee_class) == ("retrain", "exact")
    assert (set(found.selected), found.untouched) == (set(HEADS), ())
    assert [action.block for action in found.actions] == ["core", "scaler", "policy", *HEADS]
    assert {(action.action, action.guarantee) for action in found.actions} == {("retrain", "exact")}


def test_taint_needs_the_modality_and_the_cohort():
    text_only = blocks(modalities=("text",))

    assert revoke(cohort="foundation", blocks=text_only).selected
    assert revoke(cohort="foundation", blocks=blocks(frozenset())).selected
    with pytest.raises(RefusedError):
        revoke({"audio", "text"}, cohort="foundation", blocks=text_only)


def test_a_subject_without_training_rows_costs_nothing_and_changes_no_head():
    for rows in ({}, {"text": 5, "text+vision": 5, "audio": 0}):
        found = revoke(rows=rows)
        assert (found.guarantee_class, found.selected) == ("exact", ())
        assert set(found.untouched) == set(HEADS)
        assert {action.action for action in found.actions} == {"keep"}


@pytest.mark.parametrize(
    ("method", "used", "guarantee"),
    [
        ("auto", "surgical", "certified"),
        ("surgical", "surgical", "certified"),
        ("exact", "exact", "exact"),
    ],
)
def test_the_method_decides_the_class(method, used, guarantee):
    found = revoke(method=method)

    assert (found.method, found.guarantee_class) == (used, guarantee)
    assert {a.guarantee for a in found.actions if a.block in found.selected} == {guarantee}
