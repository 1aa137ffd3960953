"""Scaling of raw features: what the core and the heads see of a channel.

A scaler is fitted on foundation or calibration rows, or comes from declared ranges; it is
frozen before a revocable subject's data is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float32, Float64

from mbd.errors import DataError, IntegrityError
from mbd.model.relevance import feature_weights
from mbd.values import ModalityInfo, Task

CLIP = 5.0
"""Standardised features are clipped to [-CLIP, CLIP]."""

_SMALLEST_STD = 1e-6
"""A feature that varies less than this (relative to its size) is constant: it is only centred."""


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of each feature, in the units of that feature."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not self.mean:
            raise IntegrityError("scaler: means and deviations differ in number", field="std")
        if not all(map(math.isfinite, self.mean)):
            raise IntegrityError("scaler: a mean is not finite", field="mean")
        if not all(0 < value < math.inf for value in self.std):
            raise IntegrityError("scaler: want finite deviations > 0", field="std")

    def apply(self, rows: np.ndarray) -> Float64[np.ndarray, "rows width"]:
        """Standardise rows (n, width) and clip to [-CLIP, CLIP]."""
        mean, std = self._arrays
        scaled = rows - mean
        scaled /= std
        return np.clip(scaled, -CLIP, CLIP, out=scaled)

    @cached_property
    def _arrays(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Made once: thousands of numbers, and every record asks for them."""
        return np.array(self.mean), np.array(self.std)


@dataclass(frozen=True)
class ChannelScaler:
    """How one modality is standardised step by step, pooled over a record, and weighted."""

    steps: Moments
    pooled: Moments | None
    """Moments of [time mean, time std] of the standardised steps; None for flat channels."""
    weights: tuple[float, ...]
    """One per pooled feature; their squares sum to 1, so that every channel counts the same."""

    def __post_init__(self) -> None:
        if len(self.weights) != self.pooled_width:
            raise IntegrityError("scaler: want one weight per pooled feature", field="weights")
        if not all(0 < weight <= 1 + 1e-9 for weight in self.weights):
            raise IntegrityError("scaler: want weights > 0 and <= 1", field="weights")

    @property
    def width(self) -> int:
        """D: features per step."""
        return len(self.steps.mean)

    @property
    def pooled_width(self) -> int:
        """Features of a pooled record: D when flat, 2 D for sequences."""
        return self.width if self.pooled is None else len(self.pooled.mean)

    def standardise(
        self, x: Float32[np.ndarray, "steps width"]
    ) -> Float64[np.ndarray, "steps width"]:
        """The steps of one record, standardised and clipped: (T, D).

        Raises:
            DataError: The array is not (T >= 1, D) or holds NaN or infinity.
        """
        if x.ndim != 2 or x.shape[0] < 1 or x.shape[1] != self.width:
            raise DataError(f"want an array (steps, {self.width}), got {x.shape}")
        if not np.isfinite(x).all():
            raise DataError("a feature is NaN or infinite")
        return self.steps.apply(x)

    def pool(self, steps: Float64[np.ndarray, "steps width"]) -> Float64[np.ndarray, " pooled"]:
        """One weighted vector for a record of standardised steps: (pooled_width,).

        Feature j stays within +-CLIP times its weight.
        """
        return np.asarray(self._pool(steps) * self._weights)

    @cached_property
    def _weights(self) -> npt.NDArray[np.float64]:
        return np.array(self.weights)

    def _pool(self, steps: Float64[np.ndarray, "steps width"]) -> Float64[np.ndarray, " pooled"]:
        if self.pooled is None:
            return np.asarray(steps.mean(axis=0))
        return self.pooled.apply(_time_statistics(steps))

    def weighted_by(
        self, present: Sequence[np.ndarray], labels: npt.NDArray[np.float64], task: Task
    ) -> ChannelScaler:
        """This scaler with weights that follow what each pooled feature explains."""
        rows = np.stack([self._pool(self.steps.apply(array)) for array in present])
        weights = feature_weights(rows, labels, task)
        return replace(self, weights=tuple(weights.tolist()))


@dataclass(frozen=True)
class Scaler:
    """The scalers of all modalities, by name."""

    channels: Mapping[str, ChannelScaler]

    def to_json(self) -> dict[str, Any]:
        """Plain lists of floats; `from_json` gives the same scaler bit for bit."""
        return {
            name: {
                "steps": _moments_to_json(channel.steps),
                "pooled": channel.pooled and _moments_to_json(channel.pooled),
                "weights": list(channel.weights),
            }
            for name, channel in sorted(self.channels.items())
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Scaler:
        """Inverse of `to_json`.

        Raises:
            IntegrityError: Not what `to_json` writes.
        """
        try:
            return cls(
                {
                    name: ChannelScaler(
                        _moments_from_json(entry["steps"]),
                        entry["pooled"] and _moments_from_json(entry["pooled"]),
                        tuple(map(float, entry["weights"])),
                    )
                    for name, entry in content.items()
                }
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise IntegrityError(f"scaler: {error!r}", field="scaler") from error


def fit_scaler(
    x: Mapping[str, Sequence[np.ndarray | None]],
    infos: Iterable[ModalityInfo],
    labels: npt.NDArray[np.float64],
    task: Task,
) -> Scaler:
    """Fit on the given records: moments of steps and of pooled vectors, weights of features.

    Args:
        x: Per modality one (T, D) array or None per record; foundation or calibration rows.
        infos: The modalities; one with `max_length` > 1 is pooled to mean and std over time.
        labels: (records,) of the same records; they weigh the features.
        task: What the labels are.

    Raises:
        DataError: A modality has no record to fit on.
    """
    channels = {}
    for info in infos:
        here = [i for i, array in enumerate(x[info.name]) if array is not None]
        present = [array for array in x[info.name] if array is not None]
        channel = _fit_channel(present, info)
        channels[info.name] = channel.weighted_by(present, labels[here], task)
    return Scaler(channels)


def scaler_from_ranges(infos: Iterable[ModalityInfo]) -> Scaler:
    """Scale by declared ranges, as if features were uniform on them: no data is read.

    Raises:
        DataError: A modality declares no range.
    """
    return Scaler({info.name: _channel_from_range(info) for info in infos})


def _fit_channel(present: Sequence[np.ndarray], info: ModalityInfo) -> ChannelScaler:
    if not present:
        raise DataError(
            f"no record to fit the scaler of {info.name!r} on",
            field=info.name,
            hint="declare `range` for it in the import spec, or enlarge the foundation cohort",
        )
    steps = _moments_of_steps(present)
    if info.max_length == 1:
        return ChannelScaler(steps, None, _alike(info.width))
    pooled = np.stack([_time_statistics(steps.apply(array)) for array in present])
    return ChannelScaler(steps, _moments_of_steps([pooled]), _alike(2 * info.width))


def _channel_from_range(info: ModalityInfo) -> ChannelScaler:
    if info.range is None:
        raise DataError(
            f"modality {info.name!r} declares no range and there are no rows to fit on",
            field=info.name,
            hint="declare `range` in the import spec, or name a calibration cohort",
        )
    low, high = info.range
    uniform_std = (high - low) / math.sqrt(12)
    steps = Moments(((low + high) / 2,) * info.width, (uniform_std,) * info.width)
    if info.max_length == 1:
        return ChannelScaler(steps, None, _alike(info.width))
    # A time mean of standardised steps is about 0, a time std about 1; both stay of order one.
    pooled = Moments((0.0,) * info.width + (1.0,) * info.width, (1.0,) * (2 * info.width))
    return ChannelScaler(steps, pooled, _alike(2 * info.width))


def _alike(count: int) -> tuple[float, ...]:
    """The same weight for every feature."""
    return (1 / math.sqrt(count),) * count


def _time_statistics(steps: np.ndarray) -> Float64[np.ndarray, " pooled"]:
    """[mean, std] over time: (2 D,)."""
    return np.concatenate(_mean_and_std([steps]))


def _moments_of_steps(arrays: Sequence[np.ndarray]) -> Moments:
    """Moments over all steps of all arrays."""
    return _moments(*_mean_and_std(arrays))


def _mean_and_std(
    arrays: Sequence[np.ndarray],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Over the rows of all arrays, one array in memory at a time: (D,) each."""
    count, width = sum(map(len, arrays)), arrays[0].shape[1]
    total, squares = np.zeros(width), np.zeros(width)
    for array in arrays:
        total += array.sum(axis=0, dtype=np.float64)
    mean = total / count
    for array in arrays:
        centred = array - mean
        squares += np.einsum("td,td->d", centred, centred)
    return mean, np.sqrt(squares / count)


def _moments(mean: npt.NDArray[np.float64], std: npt.NDArray[np.float64]) -> Moments:
    constant = std <= _SMALLEST_STD * (1 + np.abs(mean))
    return Moments(tuple(mean.tolist()), tuple(np.where(constant, 1.0, std).tolist()))


def _moments_to_json(moments: Moments) -> dict[str, list[float]]:
    return {"mean": list(moments.mean), "std": list(moments.std)}


def _moments_from_json(content: Mapping[str, Any]) -> Moments:
    return Moments(tuple(map(float, content["mean"])), tuple(map(float, content["std"])))
