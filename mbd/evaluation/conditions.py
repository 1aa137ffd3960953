"""The protocols: under which conditions a model is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mbd.errors import UsageError
from mbd.evaluation.damage import (
    Damage,
    Fill,
    additive_noise,
    missing_channels,
    missing_frames,
    only,
    shift,
)
from mbd.values import Availability, availability_name, nonempty_subsets

FRAME_RATES = tuple(k / 10 for k in range(10))
CHANNEL_RATES = tuple(k / 10 for k in range(8))
MEAN_RATES = (0.1, 0.3, 0.5, 0.7)
LEVELS = (0.0, 0.25, 0.5, 1.0, 2.0)
"""Of noise and shifts, in standard deviations."""
ALL = "all channels"
EQUAL = "equal rates"


@dataclass(frozen=True, kw_only=True, eq=False)
class Condition:
    """One point of a protocol."""

    protocol: str
    series: str
    """Conditions of one series differ in their rate alone: a curve of a plot."""
    rate: float = 0.0
    """Nominal rate of what is missing, or strength of a corruption in standard deviations."""
    rates: Mapping[str, float] = field(default_factory=dict)
    """Per modality, where they differ."""
    available: str = ""
    """The one subset of modalities that is used, for the protocol of subsets."""
    damage: Damage


@dataclass(frozen=True, kw_only=True, eq=False)
class Setting:
    """What the conditions of a run follow from."""

    modalities: tuple[str, ...]
    seed: int = 0
    fill: Fill = "drop"
    scales: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    """Per modality the standard deviation of each feature, (D,), for noise and shifts."""
    sequences: bool = True
    """Whether a modality may have more than one frame."""


def conditions(protocol: str, setting: Setting) -> tuple[Condition, ...]:
    """The conditions of a protocol, in the order of a table.

    Raises:
        UsageError: No such protocol, or the data set has too few modalities for it.
    """
    if protocol not in PROTOCOLS:
        raise UsageError(f"no protocol {protocol!r}", field="--protocol")
    if reason := why_not(protocol, setting):
        raise UsageError(reason, field="--protocol")
    return tuple(PROTOCOLS[protocol](setting))


def why_not(protocol: str, setting: Setting) -> str | None:
    """Why a protocol says nothing about a data set, if it does not."""
    if len(setting.modalities) > 1:
        return None
    if protocol in {"whole", "imbalanced"}:
        return "with a single modality there is none that could be missing"
    if protocol == "random" and not setting.sequences:
        return "with a single vector for each record there is none that could be missing"
    return None


def _subsets(setting: Setting) -> Iterator[Condition]:
    for p in nonempty_subsets(setting.modalities):
        name = availability_name(p)
        yield Condition(protocol="subsets", series=name, available=name, damage=only(p))


def _random(setting: Setting) -> Iterator[Condition]:
    for rate in FRAME_RATES:
        damage = missing_frames(setting.seed, rate, setting.fill)
        yield Condition(protocol="random", series="model", rate=rate, damage=damage)


def _whole(setting: Setting) -> Iterator[Condition]:
    for rate in CHANNEL_RATES:
        damage = missing_channels(setting.seed, dict.fromkeys(setting.modalities, rate))
        yield Condition(protocol="whole", series="model", rate=rate, damage=damage)


def _imbalanced(setting: Setting) -> Iterator[Condition]:
    for most in (EQUAL, *setting.modalities):
        for mean in MEAN_RATES:
            rates = uneven(mean, setting.modalities, most)
            yield Condition(
                protocol="imbalanced",
                series=most if most == EQUAL else f"{most} most",
                rate=mean,
                rates=rates,
                damage=missing_channels(setting.seed, rates),
            )


def uneven(mean: float, modalities: Sequence[str], most: str) -> dict[str, float]:
    """Rates evenly spaced around `mean`, the highest for `most`, falling along the names.

    The same rate for all, if none is named: what the others are compared with.

    Of M modalities the k-th after `most` gets `mean + s (1 - 2 k / (M - 1))` with
    `s = 2/3 min(mean, 1 - mean)`: they differ, stay within [0, 1], and their mean is `mean`.
    """
    if most not in modalities:
        return dict.fromkeys(modalities, mean)
    spread, count = 2 / 3 * min(mean, 1 - mean), len(modalities)
    first = modalities.index(most)
    after = [modalities[(first + k) % count] for k in range(count)]
    return {m: mean + spread * (1 - 2 * k / (count - 1)) for k, m in enumerate(after)}


def _corrupt(setting: Setting) -> Iterator[Condition]:
    whole = frozenset(setting.modalities)
    groups: dict[str, Availability] = {ALL: whole}
    if len(whole) > 1:
        groups |= {m: frozenset([m]) for m in setting.modalities}
    for kind, damage in (("noise", additive_noise), ("shift", shift)):
        for name, channels in groups.items():
            for level in LEVELS:
                yield Condition(
                    protocol="corrupt",
                    series=f"{kind}, {name}",
                    rate=level,
                    damage=damage(setting.seed, level, channels, setting.scales),
                )


PROTOCOLS = {
    "subsets": _subsets,
    "random": _random,
    "whole": _whole,
    "imbalanced": _imbalanced,
    "corrupt": _corrupt,
}
