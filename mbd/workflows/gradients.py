"""How hard the task pulls at each encoder of a trained core, on validation records."""

from __future__ import annotations

import torch

from mbd.data.records import Records
from mbd.evaluation.diagnostics import Gradients
from mbd.model.core import Core
from mbd.model.scaling import Scaler
from mbd.model.snapshot import load_core
from mbd.model.threads import one_thread
from mbd.training.batches import Tensors, to_tensors
from mbd.training.objective import task_loss
from mbd.values import Task
from mbd.workflows.current import CurrentModel

_BATCH = 64
_MOST = 512
"""A few hundred records settle a norm; long sequences of thousands would not fit."""


def encoder_gradients(model: CurrentModel, valid: Records) -> Gradients | str:
    """Norms of the gradient of the mean task loss by each encoder's weights, or why none.

    Dropout is off and every record is seen with all the modalities it has.

    Args:
        model: The current model; without a trained core there is nothing to pull at.
        valid: Validation records: the first 512 by id are used.
    """
    if model.policy.core != "trained":
        return "the model has no trained core, so no gradient reaches a channel"
    if not len(valid):
        return "there is no validation record in this cohort"
    chosen = valid.sorted().select(range(min(len(valid), _MOST)))
    core = load_core(model.snapshot.folder)
    scaler, task = Scaler.from_json(model.policy.scaler), model.policy.schema.task
    return Gradients(len(chosen), gradient_norms(core, chosen, scaler, task))


def gradient_norms(core: Core, records: Records, scaler: Scaler, task: Task) -> dict[str, float]:
    """Per modality `|d loss / d theta_m| / sqrt(|theta_m|)`."""
    core.requires_grad_(True).zero_grad()
    with one_thread():
        for start in range(0, len(records), _BATCH):
            part = records.select(range(start, min(start + _BATCH, len(records))))
            batch = to_tensors(part, scaler, task, torch.device("cpu"))
            (_loss(core, batch) * len(part) / len(records)).backward()  # type: ignore[no-untyped-call]
    return {name: _norm(core.encoder(name)) for name in core.config.modalities}


def _loss(core: Core, batch: Tensors) -> torch.Tensor:
    scores = core(batch.x, batch.lengths, batch.available).scores
    return task_loss(scores, batch.labels, core.config)


def _norm(encoder: torch.nn.Module) -> float:
    pulls = [p.grad.flatten() for p in encoder.parameters() if p.grad is not None]
    count = sum(p.numel() for p in encoder.parameters())
    return float(torch.linalg.vector_norm(torch.cat(pulls))) / count**0.5 if pulls else 0.0
