"""Missing is normal: every subset is served, and what is masked has no influence."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mbd.errors import IntegrityError, UsageError
from mbd.model.core import CoreConfig
from mbd.model.generators import TRUST
from mbd.values import availability_name, nonempty_subsets
from tests.model.builders import CLASSES, INFOS, SCORES, random_core

NAMES = tuple(info.name for info in INFOS)
SUBSETS = tuple(nonempty_subsets(NAMES))


def batch(seed: int, size: int = 3):
    rng = np.random.default_rng(seed)
    x, lengths = {}, {}
    for info in INFOS:
        x[info.name] = torch.tensor(
            rng.standard_normal((size, info.max_length, info.width)), dtype=torch.float32
        )
        lengths[info.name] = torch.tensor(rng.integers(1, info.max_length + 1, size))
    return x, lengths


def flags(p: frozenset[str], size: int = 3) -> torch.Tensor:
    return torch.tensor([[name in p for name in NAMES]] * size)


@pytest.mark.parametrize("p", SUBSETS, ids=availability_name)
@pytest.mark.parametrize("task", [SCORES, CLASSES], ids=["regression", "classification"])
def test_every_subset_gives_a_finite_prediction(p, task):
    output = random_core(task)(*batch(0), flags(p))

    assert output.prediction.shape == (3, task.outputs)
    assert output.embeddings.shape == (3, 3, 8)
    assert output.activations.shape == (3, 6)
    assert all(part.isfinite().all() for part in output)


@pytest.mark.parametrize("p", SUBSETS, ids=availability_name)
def test_what_is_absent_has_no_influence_not_even_nan(p):
    core = random_core()
    x, lengths = batch(1)
    clean = core(x, lengths, flags(p))

    for name in set(NAMES) - p:
        x[name] = torch.full_like(x[name], torch.nan)
    masked = core(x, lengths, flags(p))

    assert torch.equal(clean.prediction, masked.prediction)
    assert torch.equal(clean.embeddings, masked.embeddings)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), extra=st.integers(1, 9))
def test_padding_has_no_influence(seed, extra):
    core = random_core()
    x, lengths = batch(seed)
    longer = {
        name: torch.cat([part, torch.full((3, extra, part.shape[2]), 9.0)], dim=1)
        for name, part in x.items()
    }
    for name, part in longer.items():
        for row, length in enumerate(lengths[name]):
            part[row, length:] = 9.0

    short, padded = (
        core(x, lengths, flags(frozenset(NAMES))),
        core(longer, lengths, flags(frozenset(NAMES))),
    )

    torch.testing.assert_close(short.prediction, padded.prediction, atol=1e-6, rtol=1e-5)


def test_observed_embeddings_pass_and_absent_ones_are_generated():
    core = random_core()
    x, lengths = batch(2)
    everything = core(x, lengths, flags(frozenset(NAMES)))

    without_audio = core(x, lengths, flags(frozenset({"text", "vision"})))

    assert torch.equal(without_audio.embeddings[:, 1:], everything.embeddings[:, 1:])
    assert torch.equal(without_audio.embeddings[:, 0], everything.reconstructed[:, 0])


def test_a_generator_never_sees_its_target():
    core = random_core()
    samples = torch.randn(4, 3, 8, generator=torch.Generator().manual_seed(0))
    available = torch.ones(4, 3, dtype=torch.bool)
    before = core.fuse(samples, available).reconstructed

    samples[:, 1] += 1
    after = core.fuse(samples, available).reconstructed

    assert torch.equal(before[:, 1], after[:, 1])
    assert not torch.equal(before[:, 0], after[:, 0])


def test_what_is_used_of_a_guess_lies_between_the_mean_and_the_guess():
    generator = random_core().generator
    samples = torch.randn(5, 3, 8, generator=torch.Generator().manual_seed(1))
    available = torch.tensor([[True, True, False]] * 4 + [[False, True, False]])

    generator.centre(samples, available)
    guesses = generator(samples, available, torch.zeros(3, 3))

    torch.testing.assert_close(generator.centres[0], samples[:4, 0].mean(dim=0))
    torch.testing.assert_close(generator.centres[1], samples[:, 1].mean(dim=0))
    assert torch.equal(generator.centres[2], torch.zeros(8))
    share = (generator.shrink(guesses) - generator.centres) / (guesses - generator.centres)
    torch.testing.assert_close(share, torch.full_like(share, TRUST), rtol=1e-3, atol=1e-3)


def test_predictions_of_classes_are_probabilities():
    prediction = random_core(CLASSES)(*batch(3), flags(frozenset(NAMES))).prediction

    assert prediction.min() >= 0
    torch.testing.assert_close(prediction.sum(dim=1), torch.ones(3))


def test_config_round_trips_and_refuses_nonsense():
    config = random_core().config

    assert CoreConfig.from_json(config.to_json()) == config
    with pytest.raises(IntegrityError):
        CoreConfig.from_json({**config.to_json(), "unknown": 1})
    with pytest.raises(UsageError):
        CoreConfig.for_task(INFOS, SCORES, hidden=0)
