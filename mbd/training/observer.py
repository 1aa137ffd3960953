"""Who watches a training: told after each epoch what it was like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One pass over the training rows, in numbers that concern nobody in particular."""

    number: int
    """From 1."""
    terms: Mapping[str, float]
    """Mean of each term, unweighted, and of their weighted sum, `loss`."""
    valid_loss: float | None
    """Mean task loss over all availabilities afterwards; None without validation rows."""
    learning_rate: float
    """That it was made with."""
    seconds: float


class Observer(Protocol):
    """Watches one core."""

    def begin(self, done: int) -> None:
        """Training begins, or goes on after so many epochs: what was told of later ones is void."""

    def epoch(self, epoch: Epoch) -> None:
        """One is over. A checkpoint is made afterwards, so it may be told of twice."""


class Nobody:
    """Watches nothing."""

    def begin(self, done: int) -> None:
        """See `Observer`."""

    def epoch(self, epoch: Epoch) -> None:
        """See `Observer`."""
