"""Each term is what its equation says, and teaches only whom it should."""

import pytest
import torch

from mbd.model.core import CoreConfig
from mbd.training.loop import drop_modalities
from mbd.training.objective import (
    consistency_loss,
    prototype_loss,
    reconstruction_loss,
    task_loss,
)

SCORES = CoreConfig(
    widths=(("audio", 2), ("text", 3)), kind="regression", outputs=1, label_scale=3.0
)
CLASSES = CoreConfig(widths=(("audio", 2), ("text", 3)), kind="classification", outputs=3)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_perfect_score_costs_nothing():
    labels = torch.tensor([-3.0, 0.0, 1.5])

    assert task_loss((labels / 3)[:, None], labels, SCORES) == 0
    certain = 100 * torch.eye(3)
    assert task_loss(certain, torch.arange(3), CLASSES) < 1e-6


def test_reconstruction_is_the_mean_over_dropped_alone():
    observed, made = noise(4, 2, 5), noise(4, 2, 5, seed=1)
    dropped = torch.tensor([[True, False], [False, False], [False, True], [False, False]])

    loss = reconstruction_loss(made, observed, dropped)

    by_hand = [((made[i, m] - observed[i, m]) ** 2).mean() for i, m in ((0, 0), (2, 1))]
    assert loss == pytest.approx(float(sum(by_hand) / 2))
    assert reconstruction_loss(made, observed, torch.zeros_like(dropped)) == 0


def test_reconstruction_teaches_the_generator_and_not_its_target():
    student, target = noise(4, 3, 3).requires_grad_(), noise(4, 3, 3, seed=1).requires_grad_()

    reconstruction_loss(student, target, torch.ones(4, 3).bool()).backward()

    assert student.grad is not None
    assert student.grad.abs().sum() > 0
    assert target.grad is None


@pytest.mark.parametrize("config", [SCORES, CLASSES], ids=["regression", "classification"])
def test_consistency_teaches_both_sides(config):
    sides = [noise(4, config.outputs, seed=seed).requires_grad_() for seed in (0, 1)]

    consistency_loss(*sides, torch.ones(4).bool(), config).backward()

    assert all(side.grad is not None and side.grad.abs().sum() > 0 for side in sides)


def test_properties_at_their_prototypes_cost_nothing():
    prototypes = torch.tensor([[9.0, 0.0], [0.0, 9.0]])
    properties = prototypes.expand(4, 2, 2)
    distances = (properties.unsqueeze(2) - prototypes).square().mean(dim=-1)
    present = torch.ones(4, 2, dtype=torch.bool)

    assert prototype_loss(distances, present) == 0
    assert prototype_loss(distances.flip(1), present) > 1
    assert prototype_loss(distances.flip(1), torch.zeros_like(present)) == 0


@pytest.mark.parametrize("config", [SCORES, CLASSES], ids=["regression", "classification"])
def test_consistency_counts_changed_records_alone(config):
    partial, complete = noise(3, config.outputs), noise(3, config.outputs, seed=1)
    first = torch.tensor([True, False, False])

    loss = consistency_loss(partial, complete, first, config)

    assert loss == consistency_loss(partial[:1], complete[:1], first[:1], config)
    assert consistency_loss(complete, complete, first, config) == pytest.approx(0, abs=1e-6)


def test_modality_dropout_keeps_one_of_what_is_there():
    present = torch.rand(2000, 4, generator=torch.Generator().manual_seed(0)) < 0.5
    present[:, 0] |= ~present.any(dim=1)
    torch.manual_seed(0)

    left = drop_modalities(present, keep=0.3)

    assert not (left & ~present).any()
    assert left.any(dim=1).all()
    assert {tuple(row) for row in left.tolist()} == {
        tuple(bool(i & 1 << m) for m in range(4)) for i in range(1, 16)
    }
