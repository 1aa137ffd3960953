"""What an ablation looks at: one core, judged on people it has never seen.

core      leading metric of the core alone, mean over availabilities
heads     the same of heads on top of it, fitted on other rows of these people
rebuilt   1 - (error of a generated embedding) / (error of the mean embedding of the rows the
          core learned from), mean over absent channels, all others given: above 0 beats
          the mean, which is all that could be put there otherwise
from one  the same with one other channel given, mean over pairs
apart     distance between what is said from all channels and from all but one, in units of
          half the label range, or of probability
named     share of records whose property embedding is nearest to its own prototype
told      R^2 of a ridge from property to sample embeddings, on rows that it was not
          fitted on: 0 says nothing of the record
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from ablation_parts import Variant
from quality import Setting
from torch import Tensor

from mbd.data.records import Records
from mbd.head.feature_map import design_feature_map, quantise, quantise_targets
from mbd.head.selection import CANDIDATES, Rows, choose_strong_convexity
from mbd.model.core import Core
from mbd.model.inference import Extractor, Row
from mbd.model.scaling import Scaler, fit_scaler
from mbd.model.snapshot import freeze
from mbd.training.batches import Tensors, to_tensors
from mbd.training.loop import train_core
from mbd.training.settings import CoreSettings
from mbd.values import Availability, availability_name, nonempty_subsets
from mbd.workflows.model import present, targets_of
from mbd.workflows.rows import float_rows

Floats = npt.NDArray[np.float64]
Figures = dict[str, float]
COLUMNS = ("core", "heads", "rebuilt", "from one", "apart", "named", "told")
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 1.0)
"""Of a guess's way from the mean: which of them is best is the generator's TRUST."""
TARGET_BITS = 15
RIDGE = 1e-2


def measure(setting: Setting, variant: Variant, *, predictions: bool) -> Figures:
    """Train one core and judge it; what it predicts, or its embeddings alone."""
    foundation = setting.records.where(cohort="foundation")
    train, valid = foundation.where(split="train"), foundation.where(split="valid")
    scaler = fit_scaler(train.x, setting.schema.modalities, train.labels, setting.schema.task)
    settings = CoreSettings().with_overrides(variant.changes)
    core = train_core(
        train, valid, setting.schema, scaler, settings, seed=setting.seed, build=variant.build
    ).core
    said = _predictions(core, setting, scaler) if predictions else {}
    return {**said, **_embeddings(core, setting, scaler)}


def _predictions(core: Core, setting: Setting, scaler: Scaler) -> Figures:
    """The leading metric, without and with heads."""
    family = list(nonempty_subsets(setting.schema.names))
    extractor = Extractor(scaler, family, core, (0.0,) * setting.schema.task.outputs)
    # An extractor makes a plain core of the weights: here the variant's own code has to run.
    extractor._core = freeze(copy.deepcopy(core).double())
    test = _rows(extractor, setting.test)

    def alone(chosen: Records, p: Availability) -> Floats:
        found = (test[record][availability_name(p)] for record in chosen.record_ids)
        return np.stack([row.prediction for row in found])

    return {
        "core": float(np.mean(list(setting.score(alone).values()))),
        "heads": _heads(setting, extractor, test),
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
    nearest = core.prototypes.distances(held.properties).argmin(dim=-1)
    judged = Judged(core, test, held.samples, _means(core, setting, scaler))
    every = range(len(core.config.modalities))
    named = [(nearest[test.available[:, m], m] == m).double().mean() for m in every]
    rebuilt = [judged.rebuilt(m, [k for k in every if k != m]) for m in every]
    alone = [judged.rebuilt(m, [k]) for m in every for k in every if k != m]
    return {
        **{
            f"rebuilt {k}": float(v)
            for k, v in zip(SHARES, np.mean(rebuilt, axis=0)[1:], strict=True)
        },
        "rebuilt": float(np.mean(rebuilt, axis=0)[0]),
        "from one": float(np.mean(alone, axis=0)[0]),
        "apart": float(np.mean([judged.apart(m) for m in every])),
        "named": float(np.mean(named)),
        "told": float(np.mean([_told(seen, held, fit, test, m) for m in every])),
    }


def _means(core: Core, setting: Setting, scaler: Scaler) -> Tensor:
    """The mean embedding of every channel over the rows that the core learned from."""
    rows = setting.records.where(cohort="foundation", split="train")
    known = to_tensors(rows, scaler, setting.schema.task, torch.device("cpu"))
    here = known.available.unsqueeze(-1)
    samples = core.encode(known.x, known.lengths, known.available).samples
    return torch.where(here, samples, 0.0).sum(dim=0) / here.sum(dim=0)


@dataclass(frozen=True)
class Judged:
    """A core and people it has never seen."""

    core: Core
    test: Tensors
    samples: Tensor
    means: Tensor

    def rebuilt(self, m: int, sources: list[int]) -> list[float]:
        """1 - error / error of the mean: of what is used, and of each of SHARES of a guess."""
        given = torch.zeros_like(self.test.available)
        given[:, sources] = self.test.available[:, sources]
        rows = self.test.available[:, m] & given.any(dim=1)
        made = self.core.fuse(self.samples[rows], given[rows])
        truth, mean = self.samples[rows, m], self.means[m]
        bolder = [mean + share * (made.guesses[:, m] - mean) for share in SHARES]
        base = (mean - truth).square().sum()
        return [
            1 - float((one - truth).square().sum() / base)
            for one in (made.reconstructed[:, m], *bolder)
        ]

    def apart(self, m: int) -> float:
        """How far what is said without m is from what is said with everything."""
        whole = self.test.available.all(dim=1)
        given = self.test.available[whole].clone()
        complete = self.core.fuse(self.samples[whole], given).prediction
        given[:, m] = False
        partial = self.core.fuse(self.samples[whole], given).prediction
        return float((partial - complete).norm(dim=1).mean()) / self.core.config.label_scale


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
