"""Nothing is chosen by looking at test rows: other ones give the same design, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mbd.data.records import Records
from mbd.data.synthetic import synthesise
from mbd.workflows.design import design_model
from mbd.workflows.recipe import Recipe
from mbd.workspace.settings import HeadSettings, Settings

RECORDS, SCHEMA = synthesise(users=16, records=160, seed=2)


def with_other(split: str) -> Records:
    """The same records, but every value and label of one split is another one."""
    rng = np.random.default_rng(0)
    here = [each == split for each in RECORDS.splits]

    def other(x: np.ndarray | None, changed: bool) -> np.ndarray | None:
        if x is None or not changed:
            return x
        return rng.standard_normal(x.shape).astype(np.float32)

    x = {m: tuple(map(other, column, here)) for m, column in RECORDS.x.items()}
    labels = np.where(here, rng.uniform(-3, 3, len(RECORDS)), RECORDS.labels)
    return replace(RECORDS, x=x, labels=labels)


def designed(records: Records, core: str) -> bytes:
    settings = Settings(
        format=1, id="t", issuer="t", origin="t",
        heads=HeadSettings(width=448), core={"epochs": 30, "patience": 2},
    )  # fmt: skip
    recipe = Recipe.of(settings, core=core, seed=0, device="cpu")
    return design_model(records, SCHEMA, recipe, training_id="t").policy.to_bytes()


@pytest.mark.parametrize("core", ["none", "trained"])
def test_other_test_rows_give_the_same_design(core: str) -> None:
    before = designed(RECORDS, core)

    assert designed(with_other("test"), core) == before
    assert designed(with_other("train"), core) != before


def test_other_validation_rows_can_change_what_is_kept_of_a_core() -> None:
    """What stops the training early is validation: the test above would notice a mix-up."""
    assert designed(with_other("valid"), "trained") != designed(RECORDS, "trained")
