"""Generators: the embedding of an absent modality from those of the present ones."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class Generator(nn.Module):
    """One network for all targets, told which one by the target's property prototype.

    `g_m = LayerNorm(MLP([r_1 s_1, ..., r_M s_M, r, c_m]))`, where `r` is the availability
    without m itself: a generator never sees the embedding it has to make.
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
        self.register_buffer("others", ~torch.eye(modalities, dtype=torch.bool), persistent=False)
        self.others: Tensor

    def forward(
        self,
        samples: Float[Tensor, "batch modality hidden"],
        available: Bool[Tensor, "batch modality"],
        prototypes: Float[Tensor, "modality property"],
    ) -> Float[Tensor, "batch modality hidden"]:
        """A reconstruction for every modality, present or not, from the others present."""
        batch, modalities, _ = samples.shape
        seen = available.unsqueeze(1) & self.others  # (batch, target, source)
        sources = torch.where(seen.unsqueeze(-1), samples.unsqueeze(1), 0.0).flatten(2)
        target = prototypes.expand(batch, modalities, -1)
        made: Tensor = self.network(torch.cat([sources, seen.to(samples.dtype), target], dim=-1))
        return made
