"""Small worlds whose truth is known, cores trained in them, and what a term promises, measured."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from mbd.data.records import Records
from mbd.data.schema import DatasetSchema
from mbd.model.core import Core, Encoded
from mbd.model.scaling import Scaler, fit_scaler
from mbd.training.batches import Tensors, to_tensors
from mbd.training.loop import train_core
from mbd.training.settings import CoreSettings
from mbd.values import ModalityInfo, Task

NAMES = ("face", "pulse", "voice")
WIDTH, LATENT, PEOPLE = 8, 3, 48
SETTINGS = {"hidden": 16, "property_width": 4, "activations": 24, "epochs": 40, "patience": 40}


def make_world(
    *,
    seed: int = 0,
    records: int = 720,
    together: bool = True,
    noise: str | None = None,
    names: tuple[str, ...] = NAMES,
) -> tuple[Records, DatasetSchema]:
    """Sequences that show a hidden state, of people who are either all train or all test.

    Args:
        together: All channels show the same state; otherwise each one of its own, and the label
            adds them up: every channel helps, and none says anything of another.
        noise: A channel that shows nothing at all.
    """
    rng = np.random.default_rng(seed)
    states = rng.standard_normal((len(names), records, LATENT))
    if together:
        states[:] = states[0]
    owner = np.arange(records) % PEOPLE
    x = {}
    for index, name in enumerate(names):
        shown = states[index] @ rng.standard_normal((LATENT, WIDTH))  # (N, D)
        shown += 0.5 * rng.standard_normal((PEOPLE, WIDTH))[owner]
        shown *= name != noise
        lengths = rng.integers(1, 5, records)
        steps = [shown[i] + rng.standard_normal((n, WIDTH)) for i, n in enumerate(lengths)]
        absent = rng.random(records) < 0.1 * (index > 0)
        x[name] = tuple(
            None if gone else step.astype(np.float32)
            for gone, step in zip(absent, steps, strict=True)
        )
    splits = tuple(("test", "valid", "train", "train")[person % 4] for person in owner)
    made = Records(
        record_ids=tuple(f"r{i}" for i in range(records)),
        subjects=tuple(str(person) for person in owner),
        cohorts=("foundation",) * records,
        splits=splits,  # type: ignore[arg-type]
        labels=np.clip(states.mean(axis=0)[:, 0], -3, 3),
        x=x,
    )
    infos = tuple(ModalityInfo(name=name, width=WIDTH, max_length=4) for name in names)
    task = Task(kind="regression", label_range=(-3.0, 3.0))
    return made, DatasetSchema(name="world", task=task, modalities=infos)


@dataclass(frozen=True)
class Judged:
    """A core, and what it makes of people it learned from and of people it never saw."""

    core: Core
    train: Tensors
    test: Tensors

    def encoded(self, rows: Tensors) -> Encoded:
        """Embeddings of `rows`."""
        return self.core.encode(rows.x, rows.lengths, rows.available)


def learn(world: tuple[Records, DatasetSchema], **changes: float) -> Judged:
    """Train a core on a world's training people."""
    records, schema = world
    train, valid = records.where(split="train"), records.where(split="valid")
    scaler: Scaler = fit_scaler(train.x, schema.modalities, train.labels, schema.task)
    settings = CoreSettings().with_overrides({**SETTINGS, **changes})
    core = train_core(train, valid, schema, scaler, settings, seed=0).core
    cpu = torch.device("cpu")
    rows = (
        to_tensors(one, scaler, schema.task, cpu) for one in (train, records.where(split="test"))
    )
    return Judged(core, *rows)


@cache
def learned(**changes: float) -> Judged:
    """A core of the world in which channels show the same, trained once per session."""
    return learn(make_world(), **changes)


@torch.no_grad()
def gained(judged: Judged, *, over_zero: bool = False) -> list[float]:
    """Per absent modality: 1 - error of what is generated / error of the training mean.

    On people that were not learned from, all other channels given.
    """
    learned, held = judged.encoded(judged.train).samples, judged.encoded(judged.test).samples
    found = []
    for m in range(held.shape[1]):
        mean = learned[judged.train.available[:, m], m].mean(dim=0)
        other = torch.zeros_like(mean) if over_zero else mean
        given = judged.test.available.clone()
        given[:, m] = False
        rows = judged.test.available[:, m] & given.any(dim=1)
        made = judged.core.fuse(held[rows], given[rows]).reconstructed[:, m]
        truth = held[rows, m]
        found.append(1 - float((made - truth).square().sum() / (other - truth).square().sum()))
    return found


@torch.no_grad()
def apart(judged: Judged) -> float:
    """Mean distance of predictions without one channel to those from all, label units."""
    whole = judged.test.available.all(dim=1)
    samples = judged.encoded(judged.test).samples[whole]
    complete = judged.core.fuse(samples, judged.test.available[whole]).prediction
    gaps = []
    for m in range(samples.shape[1]):
        given = judged.test.available[whole]
        given[:, m] = False
        gaps.append((judged.core.fuse(samples, given).prediction - complete).abs().mean())
    return float(torch.stack(gaps).mean())


@torch.no_grad()
def named(judged: Judged) -> float:
    """Share of property embeddings that are nearest to their own prototype."""
    properties = judged.encoded(judged.test).properties
    nearest = judged.core.prototypes.distances(properties).argmin(dim=-1)
    right = nearest == torch.arange(nearest.shape[1])
    return float(right[judged.test.available].double().mean())


@torch.no_grad()
def scatter(judged: Judged) -> float:
    """Variance of properties within a modality over the variance between modalities."""
    properties, here = judged.encoded(judged.test).properties, judged.test.available
    parts = [properties[here[:, m], m] for m in range(here.shape[1])]
    within = torch.stack([part.var(dim=0).sum() for part in parts]).mean()
    between = torch.stack([part.mean(dim=0) for part in parts]).var(dim=0).sum()
    return float(within / between)


@torch.no_grad()
def told(judged: Judged) -> float:
    """R^2 on strangers of a least-squares map from property to sample embedding, mean over m."""
    known, held = judged.encoded(judged.train), judged.encoded(judged.test)
    found = []
    for m in range(held.samples.shape[1]):
        a, b = judged.train.available[:, m], judged.test.available[:, m]
        middle = known.samples[a, m].mean(dim=0)
        fit = torch.linalg.lstsq(_with_one(known.properties[a, m]), known.samples[a, m])
        gap = held.samples[b, m] - _with_one(held.properties[b, m]) @ fit.solution
        found.append(1 - float(gap.square().sum() / (held.samples[b, m] - middle).square().sum()))
    return float(np.mean(found))


def _with_one(x: Tensor) -> Tensor:
    return torch.cat([x, torch.ones(len(x), 1)], dim=1)
