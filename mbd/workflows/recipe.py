"""The recipe of a training: every setting that it used, so that it can be done again.

It is part of the policy. A retraining follows the recipe of the model that it replaces, and
not what the settings file says by then: what it leaves out is the revoked data, nothing else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from mbd.errors import IntegrityError, UsageError
from mbd.training.settings import CoreSettings
from mbd.workspace.settings import HeadSettings, Settings


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What the operator decided; everything else follows from it and from the data."""

    core: str
    """'auto', 'trained' or 'none'."""
    seed: int
    """Of the core and of the public frequencies."""
    device: str
    """'auto', 'cpu' or 'cuda': where cores are trained."""
    network: CoreSettings
    """How a core is shaped and trained."""
    heads: HeadSettings
    epsilon: float
    """Of the default request, which every head must be able to serve."""
    delta: float
    """Of the default request."""
    written: Mapping[str, Any] | None = None
    """`network` as an earlier version of the program wrote it, where it had other settings: a
    policy is named by its bytes, so they stay as they were."""

    @classmethod
    def of(cls, settings: Settings, *, core: str, seed: int, device: str) -> Recipe:
        """The recipe of a training with these settings.

        Raises:
            UsageError: A setting of the core is unknown or out of range.
        """
        return cls(
            core=core,
            seed=seed,
            device=device,
            network=CoreSettings().with_overrides(settings.core),
            heads=settings.heads,
            epsilon=settings.deletion.epsilon,
            delta=settings.deletion.delta,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "core": self.core,
            "seed": self.seed,
            "device": self.device,
            "network": dataclasses.asdict(self.network)
            if self.written is None
            else dict(self.written),
            "heads": self.heads.model_dump(),
            "epsilon": self.epsilon,
            "delta": self.delta,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Recipe:
        """Inverse of `to_json`, also of what it wrote in earlier versions.

        Raises:
            IntegrityError: Not what `to_json` writes.
        """
        try:
            network = CoreSettings().with_overrides(_translated(found["network"]))
            same = dataclasses.asdict(network) == found["network"]
            return cls(
                core=found["core"],
                seed=found["seed"],
                device=found["device"],
                network=network,
                heads=HeadSettings(**found["heads"]),
                epsilon=float(found["epsilon"]),
                delta=float(found["delta"]),
                written=None if same else dict(found["network"]),
            )
        except (KeyError, TypeError, ValueError, ValidationError, UsageError) as error:
            raise IntegrityError(f"recipe: {error!r}", code="policy.invalid") from error


def _translated(network: Mapping[str, Any]) -> dict[str, Any]:
    """Settings under today's names: `properties` weighed three terms, of which one is left."""
    if not isinstance(network, Mapping):
        raise TypeError(f"network: want settings by name, got {network!r}")
    now = dict(network)
    if "properties" in now:
        now = {"prototype": now.pop("properties"), **now}
    return now
