"""The terms of the core's objective, one function each. The equations are ours.

The paper this follows (Missing-by-Design, arXiv 2602.16144) names a task loss, a
reconstruction loss and losses on property embeddings, and leaves their formulas unpublished
in what we could read.

Notation: r in {0,1}^M is what a record has, p <= r what modality dropout left of it; s_m its
sample embeddings, p_m its property embeddings, c_m the prototypes, g_m the reconstructions.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from mbd.model.core import CoreConfig
from mbd.training.terms import term


@term("task")
def task_loss(
    scores: Float[Tensor, "batch outputs"],
    labels: Float[Tensor, " batch"] | Int[Tensor, " batch"],
    config: CoreConfig,
) -> Float[Tensor, ""]:
    """Cross entropy for classes; for regression Huber's loss in units of half the label range.

    `mean_i H(scores_i - (y_i - centre) / scale)`, H quadratic up to 0.2 and linear beyond.
    """
    if config.kind == "classification":
        return functional.cross_entropy(scores, labels)
    target = (labels - config.label_centre) / config.label_scale
    return functional.huber_loss(scores.squeeze(1), target, delta=0.2)


@term("reconstruction")
def reconstruction_loss(
    reconstructed: Float[Tensor, "batch modality hidden"],
    observed: Float[Tensor, "batch modality hidden"],
    dropped: Bool[Tensor, "batch modality"],
) -> Float[Tensor, ""]:
    """`mean over dropped (i, m) of |g_m - stop(s_m)|^2 / h`; zero when nothing was dropped.

    The target is detached: an embedding must not become easy to guess.
    """
    error = (reconstructed - observed.detach()).square().mean(dim=-1)
    return _masked_mean(error, dropped)


@term("prototype")
def prototype_loss(
    distances: Float[Tensor, "batch modality prototype"],
    available: Bool[Tensor, "batch modality"],
) -> Float[Tensor, ""]:
    """Pull each property to its prototype: `mean over present (i, m) of |p_m - c_m|^2 / h_p`.

    With all p_m at c_m they are also the same in distribution over records.
    """
    return _masked_mean(distances.diagonal(dim1=1, dim2=2), available)


@term("consistency")
def consistency_loss(
    partial: Float[Tensor, "batch outputs"],
    complete: Float[Tensor, "batch outputs"],
    changed: Bool[Tensor, " batch"],
    config: CoreConfig,
) -> Float[Tensor, ""]:
    """What is said from reconstructed inputs stays close to what all inputs say.

    `KL(softmax(complete) | softmax(partial))` for classes, the squared difference of
    scores for regression; mean over records that lost a modality. Both sides learn: with the
    complete side held fast the partial one only becomes as sure of itself, and of people
    who were not learned from the two then said more different things, not less.
    """
    if config.kind == "classification":
        log_partial, log_complete = torch.log_softmax(partial, 1), torch.log_softmax(complete, 1)
        error = (log_complete.exp() * (log_complete - log_partial)).sum(dim=1)
    else:
        error = (partial - complete).square().mean(dim=1)
    return _masked_mean(error, changed)


def _masked_mean(values: Tensor, mask: Tensor) -> Float[Tensor, ""]:
    """Mean where `mask`; zero where it is empty."""
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)
