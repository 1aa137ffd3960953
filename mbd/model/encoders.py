"""Encoders: from a sequence of one modality to a sample and a property embedding.

The architecture is ours; the paper this follows leaves its own unpublished.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class Encoding(NamedTuple):
    """What one encoder says about a batch."""

    sample: Float[Tensor, "batch hidden"]
    """s_m: what each record says; zero mean and unit variance over its entries."""
    property: Float[Tensor, "batch property"]
    """p_m: how this kind of signal behaves."""


class Encoder(nn.Module):
    """A perceptron for every step, then attention pooling with one learned query.

    `z_t = MLP(x_t)`, `a = softmax_t(w . tanh(z_t))`, `s = LayerNorm(S sum_t a_t z_t)`,
    `p = P sum_t a_t z_t`. One step (T = 1) is the same formula with a = 1.

    Args:
        width: D, features per step.
        hidden: h, width of the sample embedding.
        property_width: h_p.
        dropout: Share of hidden units dropped in training.
    """

    def __init__(self, width: int, hidden: int, property_width: int, dropout: float) -> None:
        super().__init__()
        self.steps = nn.Sequential(
            nn.Linear(width, 2 * hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * hidden, hidden),
        )
        self.query = nn.Linear(hidden, 1, bias=False)
        self.to_sample = nn.Sequential(
            nn.GELU(), nn.Linear(hidden, hidden), nn.LayerNorm(hidden, elementwise_affine=False)
        )
        self.to_property = nn.Linear(hidden, property_width)

    def forward(
        self, x: Float[Tensor, "batch steps width"], real: Bool[Tensor, "batch steps"]
    ) -> Encoding:
        """Encode; steps that are not `real` are padding and have no influence.

        Every record needs at least one real step (an absent one: a step of zeros).
        """
        z = self.steps(x)
        weight = self.query(torch.tanh(z)).squeeze(-1).masked_fill(~real, -torch.inf)
        pooled = (torch.softmax(weight, dim=1).unsqueeze(-1) * z).sum(dim=1)
        return Encoding(self.to_sample(pooled), self.to_property(pooled))
