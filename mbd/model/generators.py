"""Generators: the embedding of an absent modality from those of the present ones."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

TRUST = 0.2
"""k. Of .1, .2, .3, .4, .5 and 1, judged on foundation people of three data sets who had no part
in training, .1 and .2 were no worse than the mean embedding on any of them, and .2 was the
better (examples/benchmarks, `ablation.py`)."""


class Generator(nn.Module):
    """One network for all targets, told which one by the target's property prototype.

    `f_m = o_m + MLP([r_1 s_1, ..., r_M s_M, r, c_m])` is a guess around o_m, the mean embedding
    of m over the training rows; `r` is the availability without m itself, so that a generator
    never sees the embedding it has to make. It is taught by the guess; what is used is

    `g_m = o_m + k (f_m - o_m)`,

    because a network that learned from few people is too sure of itself with others.
    """

    def __init__(self, modalities: int, hidden: int, property_width: int, dropout: float) -> None:
        super().__init__()
        self.modalities = modalities
        inputs = modalities * hidden + modalities + property_width
        self.network = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(inputs, 2 * hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * hidden, hidden),
        )
        self.register_buffer("centres", torch.zeros(modalities, hidden))
        self.centres: Tensor
        self.register_buffer("others", ~torch.eye(modalities, dtype=torch.bool), persistent=False)
        self.others: Tensor

    def forward(
        self,
        samples: Float[Tensor, "batch modality hidden"],
        available: Bool[Tensor, "batch modality"],
        prototypes: Float[Tensor, "modality property"],
    ) -> Float[Tensor, "batch modality hidden"]:
        """A guess at every modality, present or not, from the others present."""
        batch, modalities, _ = samples.shape
        seen = available.unsqueeze(1) & self.others  # (batch, target, source)
        sources = torch.where(seen.unsqueeze(-1), samples.unsqueeze(1), 0.0).flatten(2)
        target = prototypes.expand(batch, modalities, -1)
        made: Tensor = self.network(torch.cat([sources, seen.to(samples.dtype), target], dim=-1))
        return self.centres + made

    def shrink(
        self, guesses: Float[Tensor, "batch modality hidden"]
    ) -> Float[Tensor, "batch modality hidden"]:
        """What is used of a guess: `o_m + k (f_m - o_m)`."""
        return self.centres + TRUST * (guesses - self.centres)

    @torch.no_grad()
    def centre(
        self,
        samples: Float[Tensor, "rows modality hidden"],
        available: Bool[Tensor, "rows modality"],
    ) -> None:
        """Set every o_m to the mean of s_m over the rows that have m; 0 where none has."""
        here = available.unsqueeze(-1)
        total = torch.where(here, samples, 0.0).sum(dim=0)
        self.centres.copy_(total / here.sum(dim=0).clamp(min=1))
