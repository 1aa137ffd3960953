"""Fusion believes what deserves it: clean channels more than noise, observed more than made up."""

from __future__ import annotations

import torch

from mbd.model.fusion import Reliability
from tests.training.worlds import NAMES, learn, make_world

VOICE = NAMES.index("voice")


def test_weights_are_positive_and_their_mean_is_one() -> None:
    rng = torch.Generator().manual_seed(0)
    reliability = Reliability(4)
    with torch.no_grad():
        reliability.observed.copy_(torch.randn(4, generator=rng))
        reliability.offsets.copy_(torch.randn(4, generator=rng))
    flags = (torch.rand(9, 4, generator=rng) < 0.5).float()

    weights = reliability(flags)

    assert (weights > 0).all()
    torch.testing.assert_close(weights.mean(dim=1), torch.ones(9))
    assert torch.equal(Reliability(1)(flags[:, :1]), torch.ones(9, 1))


def test_in_the_beginning_what_is_observed_counts_e_times_what_is_made_up() -> None:
    weights = Reliability(3)(torch.tensor([[1.0, 0.0, 1.0]]))[0]

    torch.testing.assert_close(weights[0] / weights[1], torch.tensor(1.0).exp())
    assert weights[0] == weights[2]


def test_a_channel_of_noise_ends_with_less_weight_than_those_that_say_something() -> None:
    core = learn(make_world(noise="voice"), epochs=20).core

    weights = core.fusion.reliability(torch.ones(1, len(NAMES)))[0]

    assert weights[VOICE] < 0.95 * torch.cat([weights[:VOICE], weights[VOICE + 1 :]]).min()
