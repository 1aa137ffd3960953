"""Which records reach the heads."""

import pytest

from mbd.data.synthetic import synthesise
from mbd.workflows.design import Design, design_model
from mbd.workflows.recipe import Recipe
from mbd.workflows.rows import learning_rows, prepare
from mbd.workspace.settings import HeadSettings, Settings

RECORDS, SCHEMA = synthesise(users=12, records=120, seed=2)
SETTINGS = Settings(
    format=1, id="x", issuer="x", origin="x", heads=HeadSettings(width=256),
    core={"epochs": 1, "hidden": 4, "activations": 4},
)  # fmt: skip


def designed(core: str) -> Design:
    recipe = Recipe.of(SETTINGS, core=core, seed=0, device="cpu")
    return design_model(RECORDS, SCHEMA, recipe, training_id="t")


@pytest.mark.parametrize(
    ("core", "cohorts"),
    [("none", {"foundation", "revocable"}), ("trained", {"revocable"})],
)
def test_heads_learn_from_training_rows_that_no_core_has_learned_from(core, cohorts):
    design = designed(core)

    rows = learning_rows(design.policy, RECORDS)

    assert set(rows.splits) == {"train"}
    assert set(rows.cohorts) == cohorts
    expected = [
        i
        for i in range(len(RECORDS))
        if RECORDS.splits[i] == "train" and RECORDS.cohorts[i] in cohorts
    ]
    assert rows.record_ids == tuple(RECORDS.record_ids[i] for i in expected)
    heads = [block for block in design.policy.provenance if block.kind == "head"]
    assert all(cohorts <= block.cohorts for block in heads)
    assert all(("foundation" in block.cohorts) == (core == "none") for block in heads)


def test_no_rows_prepare_to_nothing():
    design = designed("none")

    assert prepare(design.extractor, design.policy, RECORDS.select([])) == {}
