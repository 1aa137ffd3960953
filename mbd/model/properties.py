"""Properties: a learned prototype for each modality, and how well properties name it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Prototypes(nn.Module):
    """One vector per modality: `c_m`, (modalities, property).

    A prototype stands for a kind of signal when the signal itself is absent.
    """

    def __init__(self, modalities: int, property_width: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(modalities, property_width))

    def distances(
        self, properties: Float[Tensor, "batch modality property"]
    ) -> Float[Tensor, "batch modality prototype"]:
        """Mean squared distance of each property embedding to every prototype."""
        gap = properties.unsqueeze(2) - self.vectors
        return gap.square().mean(dim=-1)
