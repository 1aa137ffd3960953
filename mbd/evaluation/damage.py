"""What a protocol takes away from one record, or does to it: a function of that record alone.

A frame is missing at a rate if its draw lies below it. So what is missing at one rate is
missing at every higher one, and each modality has draws of its own. When nothing would be
left, what has the highest draw stays: a service that got nothing has nothing to predict from.

A missing frame is removed: the sequence gets shorter, as when a camera drops pictures, and
this model takes sequences of any length. Papers that need a fixed length put zeros in its
place instead; `fill="zero"` does that, for comparison with them. Either way a modality of
which every frame is missing is absent. A vector per record is one frame.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mbd.data.records import Sequence2D
from mbd.evaluation.draws import noise, uniforms
from mbd.values import Availability

Fill = Literal["drop", "zero"]
Arrays = Mapping[str, Sequence2D]
"""The modalities that one record has."""


@dataclass(frozen=True, eq=False)
class Damaged:
    """One record as the model will see it."""

    x: Arrays
    trace: Mapping[str, bytes]
    """What was done to each modality, for the digest of a report: short, and no data."""
    missing: int = 0
    """Frames or modalities gone."""
    total: int = 0
    """Frames or modalities that there were; 0 where nothing is ever taken away."""


Damage = Callable[[str, Arrays], Damaged | None]
"""From the id and arrays of a record; None if the record does not take part."""


def only(p: Availability) -> Damage:
    """Everything outside `p` is absent; records that lack a part of it do not take part."""

    def damage(record_id: str, x: Arrays) -> Damaged | None:
        return _channels(x, p) if p <= x.keys() else None

    return damage


def missing_channels(seed: int, rates: Mapping[str, float]) -> Damage:
    """Whole modalities are missing, each at its rate; at least one stays."""

    def damage(record_id: str, x: Arrays) -> Damaged:
        draws = {m: float(uniforms(1, "channel", seed, record_id, m)[0]) for m in sorted(x)}
        kept = frozenset(m for m, draw in draws.items() if draw >= rates[m])
        return _channels(x, kept or frozenset([max(draws, key=draws.__getitem__)]))

    return damage


def missing_frames(seed: int, rate: float, fill: Fill = "drop") -> Damage:
    """Frames or tokens are missing; at least one of the record stays."""

    def damage(record_id: str, x: Arrays) -> Damaged:
        draws = {m: uniforms(len(x[m]), "frame", seed, record_id, m) for m in sorted(x)}
        last = max(draws, key=lambda m: float(draws[m].max()))
        kept = {m: draw >= rate for m, draw in draws.items()}
        kept[last][draws[last].argmax()] = True
        return Damaged(
            {m: _frames(x[m], kept[m], fill) for m in x if kept[m].any()},
            {m: np.packbits(here).tobytes() for m, here in kept.items()},
            sum(int((~here).sum()) for here in kept.values()),
            sum(map(len, kept.values())),
        )

    return damage


def additive_noise(
    seed: int, level: float, channels: Availability, scales: Mapping[str, npt.NDArray[np.float64]]
) -> Damage:
    """`x + level * scale * z`, with z of variance 1 drawn for each value of each record.

    Args:
        seed: Names the draws.
        level: In standard deviations of each feature, as the model's scaler has them.
        channels: Which modalities; the others stay as they are.
        scales: Per modality those deviations, (D,).
    """

    def damage(record_id: str, x: Arrays) -> Damaged:
        def noisy(m: str) -> tuple[Sequence2D, bytes]:
            z = noise(x[m].size, "noise", seed, record_id, m).reshape(x[m].shape)
            return _added(x[m], level * scales[m] * z), _trace(level, z)

        return _changed(x, channels if level else frozenset(), noisy)

    return damage


def shift(
    seed: int, level: float, channels: Availability, scales: Mapping[str, npt.NDArray[np.float64]]
) -> Damage:
    """`x + level * scale * s`, with a sign s for each feature, the same in every record.

    A sensor that is off by a constant: another microphone, another light. Arguments as for
    `additive_noise`.
    """

    def damage(record_id: str, x: Arrays) -> Damaged:
        def shifted(m: str) -> tuple[Sequence2D, bytes]:
            sign = np.where(uniforms(x[m].shape[1], "shift", seed, m) < 0.5, -1.0, 1.0)
            return _added(x[m], level * scales[m] * sign), _trace(level, sign)

        return _changed(x, channels if level else frozenset(), shifted)

    return damage


def _channels(x: Arrays, kept: Availability) -> Damaged:
    return Damaged(
        {m: x[m] for m in x if m in kept},
        {m: b"\1" if m in kept else b"\0" for m in x},
        len(x.keys() - kept),
        len(x),
    )


def _frames(x: Sequence2D, kept: npt.NDArray[np.bool_], fill: Fill) -> Sequence2D:
    if kept.all():
        return x
    return x[kept] if fill == "drop" else np.where(kept[:, None], x, np.float32(0))


def _changed(
    x: Arrays, channels: Availability, change: Callable[[str], tuple[Sequence2D, bytes]]
) -> Damaged:
    made = {m: change(m) for m in sorted(x) if m in channels}
    return Damaged(
        {m: made[m][0] if m in made else x[m] for m in x},
        {m: made[m][1] if m in made else b"" for m in x},
    )


def _trace(level: float, drawn: npt.NDArray[np.float64]) -> bytes:
    said = np.concatenate([[level], drawn.ravel()]).astype("<f4")
    return hashlib.sha256(said.tobytes()).digest()


def _added(x: Sequence2D, change: npt.NDArray[np.float64]) -> Sequence2D:
    # A value may leave float32: the largest one stands for it.
    largest = float(np.finfo(np.float32).max)
    return np.clip(x + change, -largest, largest).astype(np.float32)
