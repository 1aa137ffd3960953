"""What a design decides beside the core: feature maps, lambda, and what the policy says of them."""

from dataclasses import replace

import numpy as np
import pytest

from mbd.data.records import Records
from mbd.data.schema import DatasetSchema
from mbd.data.synthetic import synthesise
from mbd.values import ModalityInfo
from mbd.workflows.design import Design, design_model
from mbd.workflows.recipe import Recipe
from mbd.workspace.settings import HeadSettings, Settings

RECORDS, SCHEMA = synthesise(users=12, records=120, seed=2)


def designed(records: Records, schema: DatasetSchema, **heads: object) -> Design:
    settings = Settings(format=1, id="x", issuer="x", origin="x", heads=HeadSettings(**heads))
    recipe = Recipe.of(settings, core="none", seed=0, device="cpu")
    return design_model(records, schema, recipe, training_id="t")


@pytest.mark.parametrize("width", [700, 1024])
def test_wide_inputs_get_a_lambda_that_can_be_served(width):
    """More inputs than rows, which they predict exactly: the loss alone asks for none at all."""
    rng = np.random.default_rng(0)
    shown = RECORDS.labels[:, None] * rng.normal(size=width)
    x = {"text": tuple(row[None].astype(np.float32) for row in shown)}
    schema = replace(SCHEMA, modalities=(ModalityInfo(name="text", width=width, max_length=1),))

    made = designed(replace(RECORDS, x=x), schema, width=2048, planned_rows=10_000_000)

    assert made.policy.heads["text"].constants.scale.strong_convexity > 2.0**-8
