"""The policy: every choice that looked at data or could have, fixed before any state is built.

Its bytes are a file of the model and a body of the ledger, so that a verifier can hold the
parameters of a certificate against what was announced before the first row was added.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

from mbd.canonical.digest import sha256_hex
from mbd.canonical.json import dumps, loads_strict
from mbd.data.schema import DatasetSchema
from mbd.deletion.parameters import HeadPolicy
from mbd.deletion.plan import BlockProvenance
from mbd.errors import DataError, IntegrityError, VersionError
from mbd.head.feature_map import FeatureMap
from mbd.head.solve import HeadScale
from mbd.workflows.recipe import Recipe

SCHEMA = "urn:mbd:policy:v1"


@dataclass(frozen=True, kw_only=True)
class HeadDesign:
    """One head: how its rows are made, and the constants of its releases."""

    feature_map: FeatureMap
    constants: HeadPolicy

    @property
    def prediction_noise(self) -> float:
        """Standard deviation of one prediction's noise at most: sigma times the longest row."""
        longest = sqrt(self.feature_map.norm_squared) * 2.0**-self.constants.scale.feature_bits
        return self.constants.sigma * longest


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Everything that turns records into predictions, but for the learned numbers."""

    training_id: str
    """ULID of the training run: names the prepared rows."""
    schema: DatasetSchema
    core: str
    """'trained' or 'none'."""
    core_digest: str | None
    """Tensor digest of the trained core."""
    seed: int
    scaler: Mapping[str, Any]
    """The scaler in its JSON form."""
    base: tuple[float, ...]
    """What the model predicts without a core and without heads: (K,)."""
    heads: Mapping[str, HeadDesign]
    """By canonical availability name."""
    provenance: tuple[BlockProvenance, ...]
    """What each block was computed from."""
    planned_rows: int
    """Rows per head for which the tolerance was checked to be reachable with room."""
    default_epsilon: float
    default_delta: float
    recipe: Recipe | None = None
    """How to train again; None in a policy of an earlier version."""

    def to_bytes(self) -> bytes:
        """Canonical bytes: what the ledger's policy entry is the digest of."""
        content: dict[str, Any] = {
            "schema": SCHEMA,
            "trainingId": self.training_id,
            "dataset": self.schema.to_json(),
            "core": self.core,
            "coreDigest": self.core_digest,
            "seed": self.seed,
            "scaler": dict(self.scaler),
            "base": list(self.base),
            "heads": {name: _head_json(head) for name, head in self.heads.items()},
            "provenance": [_block_json(block) for block in self.provenance],
            "plannedRows": self.planned_rows,
            "defaultEpsilon": self.default_epsilon,
            "defaultDelta": self.default_delta,
        }
        if self.recipe is not None:
            content["recipe"] = self.recipe.to_json()
        return dumps(content)

    def noise_of(self, heads: Iterable[str]) -> float:
        """Largest standard deviation of a prediction's noise over these heads, label units."""
        return max(
            (self.heads[name].prediction_noise for name in heads),
            default=0.0,
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical bytes."""
        return sha256_hex(self.to_bytes())

    @classmethod
    def from_bytes(cls, content: bytes) -> Policy:
        """Inverse of `to_bytes`.

        Raises:
            IntegrityError: Not a policy.
            VersionError: A newer one.
        """
        try:
            found = loads_strict(content, max_bytes=1 << 26, max_depth=16, allow_floats=True)
        except DataError as error:
            raise IntegrityError(f"policy: {error.message}", code="policy.invalid") from error
        if found.get("schema") != SCHEMA:
            raise VersionError(f"policy of schema {found.get('schema')!r}; this reads {SCHEMA}")
        try:
            return _policy(found)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise IntegrityError(f"policy: {error!r}", code="policy.invalid") from error


def _policy(found: dict[str, Any]) -> Policy:
    return Policy(
        training_id=found["trainingId"],
        schema=DatasetSchema.from_json(found["dataset"]),
        core=found["core"],
        core_digest=found["coreDigest"],
        seed=found["seed"],
        scaler=found["scaler"],
        base=tuple(float(value) for value in found["base"]),
        heads={name: _head(head) for name, head in found["heads"].items()},
        provenance=tuple(_block(block) for block in found["provenance"]),
        planned_rows=found["plannedRows"],
        default_epsilon=float(found["defaultEpsilon"]),
        default_delta=float(found["defaultDelta"]),
        recipe=Recipe.from_json(found["recipe"]) if "recipe" in found else None,
    )


def _head_json(head: HeadDesign) -> dict[str, Any]:
    return {
        "featureMap": dataclasses.asdict(head.feature_map),
        "constants": dataclasses.asdict(head.constants),
    }


def _head(found: dict[str, Any]) -> HeadDesign:
    constants = dict(found["constants"])
    scale = HeadScale(**constants.pop("scale"))
    return HeadDesign(
        feature_map=FeatureMap(**found["featureMap"]),
        constants=HeadPolicy(scale=scale, **constants),
    )


def _block_json(block: BlockProvenance) -> dict[str, Any]:
    return {
        "name": block.name,
        "kind": block.kind,
        "cohorts": sorted(block.cohorts),
        "modalities": sorted(block.modalities),
    }


def _block(found: dict[str, Any]) -> BlockProvenance:
    return BlockProvenance(
        name=found["name"],
        kind=found["kind"],
        cohorts=frozenset(found["cohorts"]),
        modalities=frozenset(found["modalities"]),
    )
