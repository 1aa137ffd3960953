"""Does every part of the core earn its place? Each is switched off in turn, on three data sets.

    python examples/benchmarks/ablation.py [--data DIR] [--quick] [--only NAME]

A core is trained on the foundation cohort and judged on revocable people, whom it has never
seen. Three seeds; a seed draws the foundation, weights and order. Nothing is chosen on test rows.

  core      leading metric of the core alone, test rows, mean over availabilities
  heads     the same of heads on top of it, fitted on the training rows of these people
  rebuilt   1 - (error of a generated embedding) / (error of the mean embedding of the foundation's
            training rows), test rows, mean over absent channels, all others given: above 0
            beats the mean, which is all that could be put there otherwise
  apart     distance between what is said from all channels and from all but one, in units of
            half the label range, or of probability
  named     share of test rows whose property embedding is nearest to its own prototype
  told      R^2 of a ridge from property to sample embeddings, on rows that it was not
            fitted on: 0 says nothing of the record
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import quality
import torch
from quality import LEADING, Setting
from torch import Tensor

from mbd.data.records import Records
from mbd.data.synthetic import synthesise
from mbd.head.feature_map import design_feature_map, quantise, quantise_targets
from mbd.head.selection import CANDIDATES, Rows, choose_strong_convexity
from mbd.model.core import Core, CoreConfig
from mbd.model.fusion import Reliability
from mbd.model.inference import Extractor, Row
from mbd.model.scaling import Scaler, fit_scaler
from mbd.model.snapshot import freeze
from mbd.training.batches import Tensors, to_tensors
from mbd.training.loop import train_core
from mbd.training.settings import TERMS, CoreSettings
from mbd.values import Availability, availability_name, nonempty_subsets
from mbd.workflows.model import present, targets_of
from mbd.workflows.rows import float_rows

Floats = npt.NDArray[np.float64]
Figures = dict[str, float]
FIGURES = ("core", "heads", "rebuilt", "apart", "named", "told")
WIDTH = 1024
TARGET_BITS = 15
RIDGE = 1e-2


class Zeros(Core):
    """An absent modality is an embedding of zeros."""

    def shrink(self, guesses: Tensor) -> Tensor:
        return torch.zeros_like(guesses)


class Means(Core):
    """An absent modality is the mean embedding of the training rows."""

    def shrink(self, guesses: Tensor) -> Tensor:
        return self.generator.centres.expand_as(guesses)


class Sure(Core):
    """The generator's guess is used as it is."""

    def shrink(self, guesses: Tensor) -> Tensor:
        return guesses


class Untold(Core):
    """The generator is not told by a prototype what it should make."""

    def guess(self, samples: Tensor, available: Tensor) -> Tensor:
        nothing = torch.zeros_like(self.prototypes.vectors)
        return torch.as_tensor(self.generator(samples, available, nothing))


class Alike(Reliability):
    """In place of `Reliability`: every modality counts the same."""

    def forward(self, embeddings: Tensor, flags: Tensor) -> Tensor:
        return torch.ones_like(flags)


class WithoutReliability(Core):
    """Fusion believes every modality alike."""

    def __init__(self, config: CoreConfig) -> None:
        super().__init__(config)
        self.fusion.reliability = Alike(len(config.widths), config.hidden)


@dataclass(frozen=True)
class Variant:
    """One way to train a core."""

    name: str
    changes: dict[str, object] = field(default_factory=dict)
    build: Callable[[CoreConfig], Core] = Core


VARIANTS = (
    Variant("everything"),
    *(Variant(f"no {term}", {term: 0.0}) for term in TERMS),
    Variant("no term but the task", dict.fromkeys(TERMS, 0.0)),
    Variant("zeros for a generator", {}, Zeros),
    Variant("means for a generator", {}, Means),
    Variant("guesses not shrunk", {}, Sure),
    Variant("no prototype in it", {}, Untold),
    Variant("no reliability", {}, WithoutReliability),
)


def measure(setting: Setting, variant: Variant) -> Figures:
    """Train one core and judge it."""
    foundation = setting.records.where(cohort="foundation")
    train, valid = foundation.where(split="train"), foundation.where(split="valid")
    task = setting.schema.task
    scaler = fit_scaler(train.x, setting.schema.modalities, train.labels, task)
    settings = CoreSettings().with_overrides(variant.changes)
    core = train_core(
        train, valid, setting.schema, scaler, settings, seed=setting.seed, build=variant.build
    ).core
    family = list(nonempty_subsets(setting.schema.names))
    extractor = Extractor(scaler, family, core, (0.0,) * task.outputs)
    # An extractor makes a plain core of the weights: here the variant's own code has to run.
    extractor._core = freeze(copy.deepcopy(core).double())
    test = _rows(extractor, setting.test)

    def alone(chosen: Records, p: Availability) -> Floats:
        found = (test[record][availability_name(p)] for record in chosen.record_ids)
        return np.stack([row.prediction for row in found])

    return {
        "core": float(np.mean(list(setting.score(alone).values()))),
        "heads": _heads(setting, extractor, test),
        **_embeddings(core, setting, scaler),
    }


def _rows(extractor: Extractor, records: Records) -> dict[str, dict[str, Row]]:
    """The row of every head of every record, by record id: each is computed once."""
    return {
        record: extractor.rows(present(records, i)) for i, record in enumerate(records.record_ids)
    }


def _heads(setting: Setting, extractor: Extractor, test: dict[str, dict[str, Row]]) -> float:
    """Released without noise: what the features of this core are worth."""
    task = setting.schema.task
    train = setting.train.where(cohort="revocable")
    rows, targets = float_rows(extractor, train), targets_of(task, train.labels)
    maps, weights = {}, {}
    for p in nonempty_subsets(setting.schema.names):
        name = availability_name(p)
        map_, bits = design_feature_map(
            inputs=extractor.width(p),
            width=setting.width,
            frequency_std=0.5 / np.sqrt(extractor.blocks(p)),
            clip=extractor.clip(p),
            seed=f"{setting.seed} {name}",
        )
        q = map_.expand(quantise(np.stack(rows[name].features), map_.clip))
        residual = targets[rows[name].records] - np.stack(rows[name].core)
        choice = choose_strong_convexity(
            Rows(q, quantise_targets(residual, TARGET_BITS)),
            feature_bits=bits,
            target_bits=TARGET_BITS,
            candidates=CANDIDATES,
        )
        z = q.astype(np.float64) * 2.0**-bits
        gram = z @ z.T + choice.strong_convexity * np.eye(len(z))
        maps[name], weights[name] = (map_, bits), z.T @ np.linalg.solve(gram, residual)

    def predict(chosen: Records, p: Availability) -> Floats:
        name = availability_name(p)
        map_, bits = maps[name]
        found = [test[record][name] for record in chosen.record_ids]
        v = quantise(np.stack([row.features for row in found]), map_.clip)
        said = map_.expand(v).astype(np.float64) * 2.0**-bits @ weights[name]
        return np.asarray(np.stack([row.prediction for row in found]) + said)

    return float(np.mean(list(setting.score(predict).values())))


@torch.no_grad()
def _embeddings(core: Core, setting: Setting, scaler: Scaler) -> Figures:
    """What the terms promise, on people the core has never seen."""
    task, cpu = setting.schema.task, torch.device("cpu")
    people = setting.records.where(cohort="revocable")
    fit, test = (
        to_tensors(people.where(split=split), scaler, task, cpu) for split in ("train", "test")
    )
    seen, held = (core.encode(one.x, one.lengths, one.available) for one in (fit, test))
    known = to_tensors(setting.records.where(cohort="foundation", split="train"), scaler, task, cpu)
    learned = core.encode(known.x, known.lengths, known.available).samples
    rebuilt, apart, named, told = [], [], [], []
    whole = test.available.all(dim=1)
    complete = core.fuse(held.samples[whole], test.available[whole])
    nearest = core.prototypes.distances(held.properties).argmin(dim=-1)
    for m in range(len(core.config.modalities)):
        here = test.available[:, m]
        named.append(float((nearest[here, m] == m).double().mean()))
        told.append(_told(seen, held, fit, test, m))
        mean = learned[known.available[:, m], m].mean(dim=0)
        given = test.available.clone()
        given[:, m] = False
        rows = here & given.any(dim=1)
        made = core.fuse(held.samples[rows], given[rows]).reconstructed[:, m]
        truth = held.samples[rows, m]
        rebuilt.append(1 - float((made - truth).square().sum() / (mean - truth).square().sum()))
        partial = core.fuse(held.samples[whole], given[whole])
        gap = (partial.prediction - complete.prediction).norm(dim=1).mean()
        apart.append(float(gap) / core.config.label_scale)
    return {
        "rebuilt": float(np.mean(rebuilt)),
        "apart": float(np.mean(apart)),
        "named": float(np.mean(named)),
        "told": float(np.mean(told)),
    }


def _told(seen, held, fit: Tensors, test: Tensors, m: int) -> float:  # type: ignore[no-untyped-def]
    """R^2 on test rows of a ridge from the property to the sample embedding."""
    a, b = fit.available[:, m], test.available[:, m]
    x, y = seen.properties[a, m].double(), seen.samples[a, m].double()
    centre, spread = x.mean(dim=0), x.std(dim=0).clamp(min=1e-9)
    z, middle = (x - centre) / spread, y.mean(dim=0)
    eye = RIDGE * len(z) * torch.eye(z.shape[1], dtype=z.dtype)
    weights = torch.linalg.solve(z.T @ z + eye, z.T @ (y - middle))
    said = middle + (held.properties[b, m].double() - centre) / spread @ weights
    truth = held.samples[b, m].double()
    return 1 - float((truth - said).square().sum() / (truth - middle).square().sum())


def settings_of(data: Path, seed: int) -> Iterator[tuple[str, Setting]]:
    """Every data set under one seed; real ones only where they are."""
    for name in quality.SETS:
        yield name, quality.load(data, name, seed, WIDTH)
    records, schema = synthesise(60, 1200, seed)
    yield "synthetic", Setting(records, schema, seed, WIDTH)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=quality.DATA, help="folder of the data sets")
    parser.add_argument("--quick", action="store_true", help="one seed")
    parser.add_argument("--only", help="this data set alone")
    arguments = parser.parse_args()
    found: dict[str, dict[str, list[Figures]]] = {}
    kinds = {}
    for seed in range(1 if arguments.quick else 3):
        for name, setting in settings_of(arguments.data, seed):
            if arguments.only not in (None, name):
                continue
            kinds[name] = LEADING[setting.schema.task.kind]
            for variant in VARIANTS:
                started = time.perf_counter()
                figures = measure(setting, variant)
                found.setdefault(name, {}).setdefault(variant.name, []).append(figures)
                spent = time.perf_counter() - started
                shown = "  ".join(f"{key} {value:.3f}" for key, value in figures.items())
                print(f"{name} seed {seed} {variant.name}: {shown} ({spent:.0f} s)",
                      file=sys.stderr, flush=True)  # fmt: skip
    for data, variants in found.items():
        print(f"\n{data}: {kinds[data]} of core and heads, revocable people")
        print(f"{'':24}" + "".join(f"{column:>17}" for column in FIGURES))
        for name, runs in variants.items():
            cells = (quality._cell([run[column] for run in runs]) for column in FIGURES)
            print(f"{name:24}" + "".join(f"{cell:>17}" for cell in cells))


if __name__ == "__main__":
    main()
