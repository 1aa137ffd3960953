"""Train a core: modality dropout, AdamW, early stopping; the same core for the same seed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mbd.data.records import Records
from mbd.data.schema import DatasetSchema
from mbd.errors import ArithmeticRefused
from mbd.model.core import Core, CoreConfig
from mbd.model.scaling import Scaler
from mbd.model.snapshot import freeze
from mbd.model.threads import one_thread
from mbd.training.batches import Tensors, to_tensors
from mbd.training.determinism import repeatable
from mbd.training.objective import (
    consistency_loss,
    prototype_loss,
    reconstruction_loss,
    task_loss,
)
from mbd.training.observer import Epoch, Nobody, Observer
from mbd.training.precision import reduced
from mbd.training.run import Run, binding_of
from mbd.training.settings import CoreSettings
from mbd.training.terms import recording, term
from mbd.values import Availability, nonempty_subsets

Progress = Callable[[int, int], None]
"""Called with (epochs done, epochs at most)."""

_GRADIENT_NORM = 5.0
_CENTRE_ROWS = 500
"""Enough for a mean; all of a large set would cost as much as a part of an epoch."""
_ALL_SUBSETS = 6
"""Modalities up to which every subset is judged in validation: 63 of them."""

CHECKPOINT_SECONDS = 2.0
"""Least time between two checkpoints: what a crash may cost, beside the epoch it hits."""


@dataclass(frozen=True)
class Trained:
    """A frozen core and how it came about."""

    core: Core
    epochs: int
    """Epochs run."""
    best_epoch: int
    """The epoch whose weights were kept, from 1."""
    valid_loss: float
    """Of the kept weights: mean task loss over all availabilities."""


def train_core(
    train: Records,
    valid: Records,
    schema: DatasetSchema,
    scaler: Scaler,
    settings: CoreSettings,
    *,
    seed: int,
    device: torch.device | None = None,
    checkpoint: Path | None = None,
    progress: Progress = lambda done, total: None,
    build: Callable[[CoreConfig], Core] | None = None,
    observer: Observer | None = None,
) -> Trained:
    """Train on `train`; keep the weights that are best on `valid`.

    On a CPU it runs on one thread: the networks are small, and the result is then the same
    however many threads the machine has. Without validation rows nothing can be selected:
    all epochs run and the last weights stay.

    Args:
        train, valid: Foundation rows (everybody's only for a reference that may not forget).
        seed: Initial weights, order of records, dropped modalities and units.
        device: Where; the CPU by default.
        checkpoint: A file that the run is kept in; if it holds this very run already, training
            goes on from there, and ends with the same weights. It holds what was learned from
            the rows, so whoever names it removes it.
        progress: Told how far it is.
        observer: Told what each epoch was like.

    Raises:
        DataError: No training rows.
        ArithmeticRefused: The loss is not finite.
        StorageError: The checkpoint could not be written.
    """
    device = device or torch.device("cpu")
    rows = to_tensors(train, scaler, schema.task, device)
    held_out = to_tensors(valid, scaler, schema.task, device) if len(valid) else None
    config = CoreConfig.for_task(schema.modalities, schema.task, **settings.shape)
    devices = [device] if device.type == "cuda" else []
    with one_thread(), repeatable(), torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        run = Run.start((build or Core)(config).to(device), settings)
        keeper = None
        if checkpoint is not None:
            keeper = _Keeper(checkpoint, binding_of(run.core, rows, held_out, settings, seed))
            run.resume(keeper.path, keeper.binding)
        return _fit(run, rows, held_out, settings, keeper, progress, observer or Nobody())


@dataclass
class _Keeper:
    """Keeps a run in a file, now and then."""

    path: Path
    binding: str
    last: float = -float("inf")

    def keep(self, run: Run, *, now: bool) -> None:
        if now or time.monotonic() - self.last >= CHECKPOINT_SECONDS:
            run.save(self.path, self.binding)
            self.last = time.monotonic()


def _fit(
    run: Run,
    rows: Tensors,
    held_out: Tensors | None,
    settings: CoreSettings,
    keeper: _Keeper | None,
    progress: Progress,
    observer: Observer,
) -> Trained:
    core, goes_on = run.core, _goes_on(run, settings)
    observer.begin(run.epoch)
    while goes_on:
        started, rate = time.perf_counter(), float(run.optimiser.param_groups[0]["lr"])
        run.epoch += 1
        with recording() as terms:
            _epoch(core, rows, settings, run.optimiser)
        run.schedule.step()
        centre(core, rows)
        loss = float("inf") if held_out is None else validation_loss(core, held_out)
        if held_out is None or loss < run.best:
            run.keep(loss)
        observer.epoch(
            Epoch(
                number=run.epoch,
                terms=terms.means(),
                valid_loss=None if held_out is None else loss,
                learning_rate=rate,
                seconds=time.perf_counter() - started,
            )
        )
        goes_on = _goes_on(run, settings)
        if keeper is not None:
            keeper.keep(run, now=not goes_on)
        progress(run.epoch, settings.epochs)
    if run.kept is not None:
        core.load_state_dict(run.kept)
    return Trained(freeze(core.cpu()), run.epoch, run.best_epoch, run.best)


def _goes_on(run: Run, settings: CoreSettings) -> bool:
    return run.epoch < settings.epochs and run.epoch - run.best_epoch < settings.patience


def _epoch(
    core: Core, rows: Tensors, settings: CoreSettings, optimiser: torch.optim.Optimizer
) -> None:
    core.train()
    # Drawn on the CPU, so that the order is the same whatever the device.
    order = torch.randperm(len(rows)).to(rows.available.device)
    for indices in torch.split(order, settings.batch_size):
        with reduced(settings.precision, rows.available.device):
            loss = objective(core, rows.take(indices), settings)
        if not torch.isfinite(loss):
            raise ArithmeticRefused(
                "core training diverged: the loss is not finite",
                field="core.learning_rate",
                hint="lower core.learning_rate",
            )
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(core.parameters(), _GRADIENT_NORM)
        optimiser.step()


@term("loss")
def objective(core: Core, batch: Tensors, settings: CoreSettings) -> Float[Tensor, ""]:
    """Task (complete and partial) + reconstruction + prototype + consistency."""
    config, present = core.config, batch.available
    left = drop_modalities(present, settings.keep)
    samples, properties = core.encode(batch.x, batch.lengths, present)
    complete, partial = core.fuse(samples, present), core.fuse(samples, left)
    distances = core.prototypes.distances(properties)
    task = task_loss(complete.scores, batch.labels, config) + task_loss(
        partial.scores, batch.labels, config
    )
    return (
        task
        + settings.reconstruction * reconstruction_loss(partial.guesses, samples, present & ~left)
        + settings.prototype * prototype_loss(distances, present)
        + settings.consistency
        * consistency_loss(partial.scores, complete.scores, (present & ~left).any(dim=1), config)
    )


@torch.no_grad()
def centre(core: Core, rows: Tensors) -> None:
    """Tell the generator the mean embeddings, from up to about 500 rows over all of them."""
    core.eval()
    every = max(1, len(rows) // _CENTRE_ROWS)
    some = rows.take(torch.arange(0, len(rows), every, device=rows.available.device))
    samples = core.encode(some.x, some.lengths, some.available).samples
    core.generator.centre(samples, some.available)


def drop_modalities(
    present: Bool[Tensor, "batch modality"], keep: float
) -> Bool[Tensor, "batch modality"]:
    """Drop present modalities independently; a record always keeps one of them."""
    draw = torch.rand(present.shape).to(present.device)
    kept = present & (draw < keep)
    fallback = torch.where(present, draw, torch.inf).argmin(dim=1, keepdim=True)
    rescued = torch.zeros_like(present).scatter(1, fallback, True)
    return torch.where(kept.any(dim=1, keepdim=True), kept, rescued)


@torch.no_grad()
def validation_loss(core: Core, held_out: Tensors) -> float:
    """Mean over availabilities of the task loss on the records that have them."""
    core.eval()
    names = core.config.modalities
    encoded = core.encode(held_out.x, held_out.lengths, held_out.available)
    losses = []
    for p in _judged(names):
        flags = torch.tensor([name in p for name in names], device=held_out.available.device)
        rows = (held_out.available | ~flags).all(dim=1)
        if rows.any():
            available = flags.expand(int(rows.sum()), -1)
            output = core.fuse(encoded.samples[rows], available)
            losses.append(task_loss(output.scores, held_out.labels[rows], core.config))
    return float(torch.stack(losses).mean())


def _judged(names: tuple[str, ...]) -> list[Availability]:
    """Every subset; of many modalities those of one, of all but one, and of all."""
    if len(names) <= _ALL_SUBSETS:
        return list(nonempty_subsets(names))
    whole = frozenset(names)
    return [*(frozenset({name}) for name in names), *(whole - {name} for name in names), whole]
