"""The core with one of its parts off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mbd.model.core import Core, CoreConfig
from mbd.model.fusion import Reliability
from mbd.training.settings import TERMS


class Zeros(Core):
    """An absent modality is an embedding of zeros."""

    def shrink(self, guesses: Tensor) -> Tensor:
        return torch.zeros_like(guesses)


class Means(Core):
    """An absent modality is the mean embedding of the training rows."""

    def shrink(self, guesses: Tensor) -> Tensor:
        return self.generator.centres.expand_as(guesses)


class Sure(Core):
    """The generator's guess is used as it is."""

    def shrink(self, guesses: Tensor) -> Tensor:
        return guesses


class Untold(Core):
    """The generator is not told by a prototype what it should make."""

    def guess(self, samples: Tensor, available: Tensor) -> Tensor:
        nothing = torch.zeros_like(self.prototypes.vectors)
        return torch.as_tensor(self.generator(samples, available, nothing))


class Alike(Reliability):
    """In place of `Reliability`: every modality counts the same."""

    def forward(self, available: Tensor) -> Tensor:
        return torch.ones_like(available)


class WithoutReliability(Core):
    """Fusion believes every modality alike."""

    def __init__(self, config: CoreConfig) -> None:
        super().__init__(config)
        self.fusion.reliability = Alike(len(config.widths))


@dataclass(frozen=True)
class Variant:
    """One way to train a core."""

    name: str
    changes: dict[str, object] = field(default_factory=dict)
    build: Callable[[CoreConfig], Core] = Core


EVERYTHING = Variant("everything")
WITHOUT_RECONSTRUCTION = Variant("no reconstruction", {"reconstruction": 0.0})
HEAVIER = tuple(Variant(f"consistency {weight}", {"consistency": weight}) for weight in (1.0, 2.0))
MEANS = Variant("means for a generator", {}, Means)
WITHOUT_PROTOTYPE_IN_IT = Variant("no prototype in it", {}, Untold)
VARIANTS = (
    EVERYTHING,
    *(Variant(f"no {term}", {term: 0.0}) for term in TERMS),
    *HEAVIER,
    Variant("no term but the task", dict.fromkeys(TERMS, 0.0)),
    Variant("zeros for a generator", {}, Zeros),
    MEANS,
    Variant("guesses not shrunk", {}, Sure),
    WITHOUT_PROTOTYPE_IN_IT,
    Variant("no reliability", {}, WithoutReliability),
)
