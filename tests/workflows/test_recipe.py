"""A recipe comes back as it was written, also one that an earlier version wrote."""

from __future__ import annotations

import pytest

from mbd.errors import IntegrityError
from mbd.training.settings import CoreSettings
from mbd.workflows.recipe import Recipe
from mbd.workspace.settings import Settings

SETTINGS = Settings(format=1, id="here", issuer="here", origin="here")
RECIPE = Recipe.of(SETTINGS, core="trained", seed=3, device="cpu")
FORMER = {"hidden": 16, "reconstruction": 0.3, "properties": 0.25, "consistency": 0.3}
"""Of the network, when one weight was for all terms on properties."""


def test_a_recipe_comes_back() -> None:
    again = Recipe.from_json(RECIPE.to_json())

    assert again == RECIPE
    assert again.to_json() == RECIPE.to_json()


def test_a_former_recipe_means_the_same_and_keeps_its_bytes() -> None:
    former = {**RECIPE.to_json(), "network": FORMER}

    recipe = Recipe.from_json(former)

    assert recipe.network == CoreSettings(
        hidden=16, reconstruction=0.3, prototype=0.25, consistency=0.3
    )
    assert recipe.to_json() == former


@pytest.mark.parametrize("network", [None, [], {"propertes": 1.0}, {"properties": "much"}, "x"])
def test_what_no_version_wrote_is_refused(network: object) -> None:
    with pytest.raises(IntegrityError) as refused:
        Recipe.from_json({**RECIPE.to_json(), "network": network})

    assert refused.value.code == "policy.invalid"
