"""Fusion: from observed or reconstructed embeddings and availability to scores."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class Fusion(nn.Module):
    """`u = LayerNorm(MLP([e_1, ..., e_M, r]))`, `scores = V u + b`; u are the activations."""

    def __init__(
        self, modalities: int, hidden: int, activations: int, outputs: int, dropout: float
    ) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(modalities * (hidden + 1), activations),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(activations, activations),
            nn.LayerNorm(activations, elementwise_affine=False),
        )
        self.to_scores = nn.Linear(activations, outputs)

    def forward(
        self,
        embeddings: Float[Tensor, "batch modality hidden"],
        available: Bool[Tensor, "batch modality"],
    ) -> tuple[Float[Tensor, "batch outputs"], Float[Tensor, "batch activations"]]:
        """Scores and fusion activations."""
        flags = available.to(embeddings.dtype)
        activations = self.network(torch.cat([embeddings.flatten(1), flags], dim=1))
        return self.to_scores(activations), activations
