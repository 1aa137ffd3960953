"""Fusion believes what deserves it: clean channels more than noise, observed more than made up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mbd.model.fusion import Reliability
from tests.training.worlds import NAMES, Judged, learn, learned, make_world

VOICE = NAMES.index("voice")


@torch.no_grad()
def counted(judged: Judged) -> Tensor:
    """How much every modality of every test record counts."""
    test = judged.test
    return judged.core(test.x, test.lengths, test.available).reliability


def test_weights_are_positive_and_their_mean_is_one() -> None:
    rng = torch.Generator().manual_seed(0)
    reliability = Reliability(4, 6)
    with torch.no_grad():
        reliability.queries.copy_(torch.randn(4, 6, generator=rng))
    flags = (torch.rand(9, 4, generator=rng) < 0.5).float()

    weights = reliability(torch.randn(9, 4, 6, generator=rng), flags)

    assert (weights > 0).all()
    torch.testing.assert_close(weights.mean(dim=1), torch.ones(9))
    assert torch.equal(Reliability(1, 6)(torch.randn(9, 1, 6), flags[:, :1]), torch.ones(9, 1))


def test_a_channel_of_noise_counts_less_than_clean_ones_and_less_than_it_would_clean() -> None:
    noisy, clean = learn(make_world(noise={"voice": 1.0})), learned()
    here = noisy.test.available
    means = [float(counted(noisy)[here[:, m], m].mean()) for m in range(len(NAMES))]

    assert means[VOICE] < 0.75 * min(means[:VOICE] + means[VOICE + 1 :])
    assert means[VOICE] < 0.9 * float(counted(clean)[here[:, VOICE], VOICE].mean())


@pytest.mark.slow
def test_of_one_channel_records_of_noise_count_less_than_clean_records() -> None:
    world = make_world(records=2400, noise={"voice": 0.5})
    judged = learn(world, epochs=60, patience=60)
    test = world[0].where(split="test")
    rows = [i for i in range(len(test)) if test.x["voice"][i] is not None]
    loud = np.array([_spread(test.x["voice"][i]) for i in rows])
    weights = counted(judged)[rows, VOICE].numpy()

    quiet = loud < np.quantile(loud, 0.3)
    strong = loud > np.quantile(loud, 0.7)
    assert weights[quiet].mean() < 0.85 * weights[strong].mean()


def test_what_is_observed_counts_more_than_what_is_reconstructed() -> None:
    judged, here = learned(), learned().test.available
    weights = counted(judged)

    for m in range(len(NAMES)):
        if not here[:, m].all():
            assert weights[here[:, m], m].mean() > weights[~here[:, m], m].mean()


def _spread(steps: np.ndarray | None) -> float:
    assert steps is not None
    return float(np.square(steps.mean(axis=0)).mean() * len(steps))
