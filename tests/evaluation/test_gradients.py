"""Gradient norms are those of the whole batch, per encoder; an absent channel pulls at nothing."""

import numpy as np
import pytest
import torch

from mbd.data.records import Records
from mbd.model.core import Core
from mbd.training.batches import to_tensors
from mbd.training.objective import task_loss
from mbd.workflows.gradients import gradient_norms
from tests.model.builders import CLASSES, SCORES, random_core, random_record, ranges


def records(count: int, task, absent: str = "") -> Records:
    rng = np.random.default_rng(0)
    rows = [random_record(rng) for _ in range(count)]
    labels = (
        rng.integers(0, 3, count) if task.kind == "classification" else rng.uniform(-3, 3, count)
    )
    names = sorted(rows[0])
    return Records(
        record_ids=tuple(f"r{i}" for i in range(count)),
        subjects=("s",) * count,
        cohorts=("foundation",) * count,
        splits=("valid",) * count,
        labels=labels.astype(np.float64),
        x={m: tuple(None if m == absent else row[m] for row in rows) for m in names},
    )


def at_once(core: Core, chosen: Records, task) -> dict[str, float]:
    """The same in one product, the slow and obvious way."""
    core.requires_grad_(True)
    batch = to_tensors(chosen, ranges(), task, torch.device("cpu"))
    loss = task_loss(
        core(batch.x, batch.lengths, batch.available).scores, batch.labels, core.config
    )
    norms = {}
    for name, encoder in ((name, core.encoder(name)) for name in core.config.modalities):
        pulls = torch.autograd.grad(loss, list(encoder.parameters()), retain_graph=True,
                                    allow_unused=True)  # fmt: skip
        total = sum(float(pull.double().square().sum()) for pull in pulls if pull is not None)
        norms[name] = (total / sum(p.numel() for p in encoder.parameters())) ** 0.5
    return norms


@pytest.mark.parametrize("task", [SCORES, CLASSES])
@pytest.mark.parametrize("count", [1, 64, 150])
def test_batches_add_up_to_the_gradient_of_all_records(task, count):
    chosen = records(count, task)

    made = gradient_norms(random_core(task), chosen, ranges(), task)

    expected = at_once(random_core(task), chosen, task)
    assert made == pytest.approx(expected, rel=1e-4)
    assert min(made.values()) > 0


def test_a_channel_that_is_not_there_pulls_at_nothing():
    made = gradient_norms(random_core(), records(9, SCORES, absent="vision"), ranges(), SCORES)

    assert made["vision"] == 0
    assert made["audio"] > 0
