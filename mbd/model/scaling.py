"""Scaling of raw features: what the core and the heads see of a channel.

A scaler is fitted on foundation or calibration rows, or comes from declared ranges; it is
frozen before a revocable subject's data is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from mbd.errors import DataError, IntegrityError
from mbd.values import ModalityInfo

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
        scaled = (np.asarray(rows, dtype=np.float64) - self.mean) / self.std
        return np.clip(scaled, -CLIP, CLIP)


@dataclass(frozen=True)
class ChannelScaler:
    """How one modality is standardised: step by step, and pooled over a record."""

    steps: Moments
    pooled: Moments | None
    """Moments of [time mean, time std] of the standardised steps; None for flat channels."""

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
        """One vector for a record of standardised steps: (pooled_width,), within +-CLIP."""
        if self.pooled is None:
            return np.asarray(steps.mean(axis=0))
        return self.pooled.apply(_time_statistics(steps))


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
                    )
                    for name, entry in content.items()
                }
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise IntegrityError(f"scaler: {error!r}", field="scaler") from error


def fit_scaler(
    x: Mapping[str, Sequence[np.ndarray | None]], infos: Iterable[ModalityInfo]
) -> Scaler:
    """Fit on the given records: moments of all steps, then moments of the pooled vectors.

    Args:
        x: Per modality one (T, D) array or None per record; foundation or calibration rows.
        infos: The modalities; one with `max_length` > 1 is pooled to mean and std over time.

    Raises:
        DataError: A modality has no record to fit on.
    """
    return Scaler({info.name: _fit_channel(x[info.name], info) for info in infos})


def scaler_from_ranges(infos: Iterable[ModalityInfo]) -> Scaler:
    """Scale by declared ranges, as if features were uniform on them: no data is read.

    Raises:
        DataError: A modality declares no range.
    """
    return Scaler({info.name: _channel_from_range(info) for info in infos})


def _fit_channel(arrays: Sequence[np.ndarray | None], info: ModalityInfo) -> ChannelScaler:
    present = [array for array in arrays if array is not None]
    if not present:
        raise DataError(
            f"no record to fit the scaler of {info.name!r} on",
            field=info.name,
            hint="declare `range` for it in the import spec, or enlarge the foundation cohort",
        )
    steps = _moments(np.concatenate(present, dtype=np.float64))
    if info.max_length == 1:
        return ChannelScaler(steps, None)
    pooled = np.stack([_time_statistics(steps.apply(array)) for array in present])
    return ChannelScaler(steps, _moments(pooled))


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
        return ChannelScaler(steps, None)
    # A time mean of standardised steps is about 0, a time std about 1; both stay of order one.
    pooled = Moments((0.0,) * info.width + (1.0,) * info.width, (1.0,) * (2 * info.width))
    return ChannelScaler(steps, pooled)


def _time_statistics(steps: np.ndarray) -> Float64[np.ndarray, " pooled"]:
    """[mean, std] over time: (2 D,)."""
    return np.concatenate([steps.mean(axis=0), steps.std(axis=0)])


def _moments(rows: np.ndarray) -> Moments:
    mean, std = rows.mean(axis=0), rows.std(axis=0)
    constant = std <= _SMALLEST_STD * (1 + np.abs(mean))
    return Moments(tuple(mean.tolist()), tuple(np.where(constant, 1.0, std).tolist()))


def _moments_to_json(moments: Moments) -> dict[str, list[float]]:
    return {"mean": list(moments.mean), "std": list(moments.std)}


def _moments_from_json(content: Mapping[str, Any]) -> Moments:
    return Moments(tuple(map(float, content["mean"])), tuple(map(float, content["std"])))
