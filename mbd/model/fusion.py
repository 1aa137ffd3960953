"""Fusion: from observed or reconstructed embeddings and availability to scores."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class Reliability(nn.Module):
    """How much each modality is believed, beside the others: `w = M softmax_m(b_m r_m + d_m)`.

    2M learned numbers: for each modality, how much more it counts observed than made up, and
    how much it counts at all. Weights are positive and their mean is one. In the beginning
    (b = 1, d = 0) an observed embedding counts e times a made-up one. Weights that also
    depend on the embedding were tried: of people who were not learned from they were no better,
    and worse where a channel was noise now and then.
    """

    def __init__(self, modalities: int) -> None:
        super().__init__()
        self.observed = nn.Parameter(torch.ones(modalities))
        self.offsets = nn.Parameter(torch.zeros(modalities))

    def forward(
        self, available: Float[Tensor, "batch modality"]
    ) -> Float[Tensor, "batch modality"]:
        """Weights of mean one."""
        return available.shape[1] * torch.softmax(self.observed * available + self.offsets, dim=1)


class Fusion(nn.Module):
    """`u = LayerNorm(MLP([w_1 e_1, ..., w_M e_M, r]))`, `scores = V u + b`; u are the activations.

    w are the weights of `Reliability`.
    """

    def __init__(
        self, modalities: int, hidden: int, activations: int, outputs: int, dropout: float
    ) -> None:
        super().__init__()
        self.reliability = Reliability(modalities)
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
    ) -> tuple[
        Float[Tensor, "batch outputs"],
        Float[Tensor, "batch activations"],
        Float[Tensor, "batch modality"],
    ]:
        """Scores, fusion activations, and how much each modality counted."""
        flags = available.to(embeddings.dtype)
        weights = self.reliability(flags)
        weighted = (weights.unsqueeze(-1) * embeddings).flatten(1)
        activations = self.network(torch.cat([weighted, flags], dim=1))
        return self.to_scores(activations), activations, weights
