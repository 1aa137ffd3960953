"""Every term of the objective keeps its promise, on people who were not learned from.

Each is trained with and without, in small worlds whose truth is known.
"""

from __future__ import annotations

import torch

from tests.training.worlds import (
    apart,
    gained,
    learn,
    learned,
    make_world,
    named,
    scatter,
    told,
)


def test_a_generator_beats_the_mean_and_the_zero_embedding_where_channels_share_something() -> None:
    assert min(gained(learned())) > 0.05
    assert min(gained(learned(), over_zero=True)) > 0.5


def test_without_the_reconstruction_term_a_generator_beats_no_mean() -> None:
    assert max(gained(learned(reconstruction=0.0))) < 0.02


def test_where_channels_share_nothing_a_generator_is_no_worse_than_the_mean() -> None:
    assert min(gained(learn(make_world(together=False)))) > -0.02


def test_the_prototype_term_makes_a_property_tell_its_modality() -> None:
    with_it, without = learned(), learned(prototype=0.0)

    assert named(with_it) > 0.99
    assert named(without) < 0.9
    assert scatter(with_it) < 0.2 < scatter(without)


def test_the_prototype_term_makes_a_property_tell_less_of_its_record() -> None:
    assert told(learned()) < 0.6 * told(learned(prototype=0.0))


def test_the_consistency_term_brings_reconstructed_and_complete_predictions_together() -> None:
    assert apart(learned()) < 0.95 * apart(learned(consistency=0.0))


def test_properties_say_little_of_a_record_and_samples_say_much_of_the_label() -> None:
    judged = learned()
    test, encoded = judged.test, judged.encoded(judged.test)
    here = test.available.all(dim=1)
    half = torch.arange(int(here.sum())) % 2 == 0

    def explained(features: torch.Tensor) -> float:
        """R^2 of the label by least squares, fitted on half of the records."""
        x = torch.cat([features[here].flatten(1), torch.ones(int(here.sum()), 1)], dim=1).double()
        y = test.labels[here].double()
        eye = torch.eye(x.shape[1], dtype=x.dtype)
        weights = torch.linalg.solve(x[half].T @ x[half] + eye, x[half].T @ y[half])
        rest = ~half
        return 1 - float((y[rest] - x[rest] @ weights).square().sum() / y[rest].square().sum())

    assert explained(encoded.samples.detach()) > 0.4
    assert explained(encoded.properties.detach()) < 0.5 * explained(encoded.samples.detach())
