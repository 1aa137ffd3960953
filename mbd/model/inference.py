"""From one record to the floating-point row of every head: features and core prediction.

A record is computed alone: a batch of one, in float64, on one CPU thread, always for the whole
family of availabilities in the same order, so every product has a shape that depends on
nothing but this record. Prepared training rows and predictions come from this one function.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64

from mbd.errors import DataError, NotFoundError
from mbd.model.core import Core
from mbd.model.scaling import CLIP, Scaler
from mbd.model.snapshot import double
from mbd.model.threads import one_thread
from mbd.values import Availability, availability_name

Record = Mapping[str, Float32[np.ndarray, "steps width"]]
"""The present modalities of one record; flat channels have one step."""


@dataclass(frozen=True)
class Row:
    """What one record brings to one head, before quantisation."""

    features: Float64[np.ndarray, " inputs"]
    """Scaled raw features of p, then embeddings and activations if there is a core."""
    prediction: Float64[np.ndarray, " outputs"]
    """core(x, p): label units or probabilities; the prior without a core."""


class Extractor:
    """The frozen part of a model: scaler, core (or none) and family of availabilities.

    Args:
        scaler: Standardises every modality.
        family: The availabilities that have a head; others are refused.
        core: A trained core, or None: features are then the raw ones alone.
        prior: (K,) prediction without a core; unused with one.

    Raises:
        DataError: The family is empty or names a modality that is not scaled.
    """

    def __init__(
        self,
        scaler: Scaler,
        family: Sequence[Availability],
        core: Core | None,
        prior: Sequence[float],
    ) -> None:
        known = set(scaler.channels)
        if not family or any(not p or not p <= known for p in family):
            raise DataError("want non-empty subsets of the scaled modalities", field="family")
        self._scaler = scaler
        self._family = tuple(family)
        self._modalities = tuple(sorted(known))
        self._core = None if core is None else double(core)
        self._prior = np.array(prior, dtype=np.float64)
        flags = [[name in p for name in self._modalities] for p in self._family]
        self._available = torch.tensor(flags)

    def width(self, p: Availability) -> int:
        """Features of a row of head `p`."""
        raw = sum(self._scaler.channels[name].pooled_width for name in p)
        if self._core is None:
            return raw
        shape = self._core.config
        return raw + len(self._modalities) * shape.hidden + shape.activations

    def blocks(self, p: Availability) -> int:
        """Parts of a row of head `p` whose squared length is about one: its scale."""
        return len(p) + (0 if self._core is None else len(self._modalities) + 1)

    def clip(self, p: Availability) -> float:
        """What a row of head `p` is quantised against: no scaled raw feature is larger."""
        weights = [max(self._scaler.channels[name].weights) for name in p]
        if self._core is not None:
            shape = self._core.config
            weights.append(1 / math.sqrt(min(shape.hidden, shape.activations)))
        return CLIP * max(weights)

    def rows(self, record: Record) -> dict[str, Row]:
        """The row of every head contained in the record's availability, by head name.

        Raises:
            DataError: A wrong shape or a bad value, or an unknown modality; `field` names it.
        """
        steps = {name: self._standardise(name, x) for name, x in sorted(record.items())}
        raw = {name: self._scaler.channels[name].pool(x) for name, x in steps.items()}
        with one_thread(), torch.inference_mode():
            learned = self._learned(steps)
        return {
            availability_name(p): Row(
                np.concatenate([*(raw[name] for name in sorted(p)), learned[0][index]]),
                learned[1][index],
            )
            for index, p in enumerate(self._family)
            if p <= steps.keys()
        }

    def row(self, record: Record) -> Row:
        """The row of the head of exactly these modalities: what a prediction needs.

        Raises:
            DataError: As `rows`.
            NotFoundError: This availability has no head.
        """
        name = availability_name(record)
        try:
            return self.rows(record)[name]
        except KeyError as error:
            raise NotFoundError(f"no head for the availability {name or '(nothing)'!r}") from error

    def each(self, records: Iterable[Record]) -> Iterator[dict[str, Row]]:
        """`rows` of many records, one at a time: the same numbers as alone."""
        return map(self.rows, records)

    def _standardise(self, name: str, x: np.ndarray) -> Float64[np.ndarray, "steps width"]:
        channel = self._scaler.channels.get(name)
        if channel is None:
            raise DataError(f"unknown modality {name!r}", field=name)
        try:
            return channel.standardise(x)
        except DataError as error:
            raise DataError(f"{name}: {error.message}", field=name) from error

    def _learned(self, steps: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings and activations (family, M h + A), and predictions (family, K)."""
        if self._core is None:
            size = len(self._family)
            return np.zeros((size, 0)), np.tile(self._prior, (size, 1))
        shape = self._core.config
        output = self._core.fuse(self._samples(steps), self._available)
        embeddings = output.embeddings.flatten(1) / math.sqrt(shape.hidden)
        activations = output.activations / math.sqrt(shape.activations)
        features = torch.cat([embeddings, activations], dim=1)
        return features.numpy(), output.prediction.numpy()

    def _samples(self, steps: Mapping[str, np.ndarray]) -> torch.Tensor:
        """Sample embeddings of the present modalities, zeros elsewhere: (family, M, h)."""
        assert self._core is not None
        samples = torch.zeros(
            1, len(self._modalities), self._core.config.hidden, dtype=torch.float64
        )
        for index, name in enumerate(self._modalities):
            if name in steps:
                x = torch.from_numpy(steps[name]).unsqueeze(0)
                real = torch.ones(x.shape[:2], dtype=torch.bool)
                samples[0, index] = self._core.encoder(name)(x, real).sample[0]
        return samples.expand(len(self._family), -1, -1)
