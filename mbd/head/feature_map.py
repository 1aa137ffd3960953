"""Integer features: what every row of a head looks like, the same bits on every machine.

`q = [v >> linear_shift, cos((Omega v + beta) mod 2^32)]`: the quantised inputs themselves,
then random Fourier features (Rahimi & Recht 2007) with a phase counted in 2^-32 of a cycle
and a cosine table. Frequencies come from SHAKE-256 of a public seed: no data, no generator
of a library, no floating point. The construction is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from hashlib import shake_256
from math import inf, isqrt, log2, sqrt

import numpy as np
import numpy.typing as npt

from mbd.errors import ArithmeticRefused, UsageError
from mbd.head.integers import Ints, inner_product

FULL_SCALE = 2**15 - 1
"""The integer that stands for an input at the clip."""

RATIO = 10 / 3
"""Weight of the Gaussian kernel beside the linear one; the latter needs no random features."""

_PHASE_BITS = 32
_TABLE_BITS = 14
_PI = Fraction(31415926535897932384626433832795028841971693993751058209749, 10**58)
_ONE = 1 << 128  # fixed point of the cosine table
_BLOCK = 2048  # rows expanded at a time


def quantise(features: npt.NDArray[np.float64], clip: float) -> npt.NDArray[np.int16]:
    """`round(clip(f / c, -1, 1) (2^15 - 1))`: (n, dv) float64 -> (n, dv) int16.

    Raises:
        ArithmeticRefused: A feature is not finite.
    """
    if not np.isfinite(features).all():
        raise ArithmeticRefused("a feature is not finite", field="features")
    scaled = np.clip(features / clip, -1.0, 1.0) * FULL_SCALE
    return np.rint(scaled).astype(np.int16)


def quantise_targets(targets: npt.NDArray[np.float64], bits: int) -> npt.NDArray[np.int32]:
    """Targets in units of 2^-bits: (n, K) float64 -> (n, K) int32.

    Raises:
        ArithmeticRefused: A target is not finite or does not fit.
    """
    scaled = np.rint(targets * 2.0**bits)
    if not (np.abs(scaled) < 2**31).all():
        raise ArithmeticRefused("a target is not finite or too large", field="targets")
    return scaled.astype(np.int32)


@dataclass(frozen=True, kw_only=True)
class FeatureMap:
    """From `inputs` quantised numbers to `width` integer features."""

    inputs: int
    """dv: quantised inputs per row."""
    width: int
    """d: features per row; the first dv are linear, the others cosines."""
    frequency_std: float
    """Standard deviation of a frequency, in radians per unit of input."""
    clip: float
    """c: the input, in its own unit, that quantises to full scale."""
    amplitude: int
    """Largest value of a cosine feature."""
    linear_shift: int
    """Linear features are the quantised inputs shifted right by this many bits."""
    seed: str
    """Public seed of the frequencies and phases."""

    def __post_init__(self) -> None:
        if not 0 < self.inputs < self.width <= 2**14:
            raise UsageError(
                f"width {self.width}: want more than the {self.inputs} inputs and at most {2**14}",
                field="heads.width",
                hint="set heads.width higher, or use narrower features",
            )
        if not (0 < self.frequency_std < inf and 0 < self.clip < inf):
            raise UsageError("frequency_std and clip: want finite numbers > 0", field="heads")
        if not (0 < self.amplitude < 2**15 and 0 <= self.linear_shift < 16):
            raise UsageError("amplitude: want 1..32767; linear_shift: 0..15", field="heads")

    @property
    def norm_squared(self) -> int:
        """No row is longer than the square root of this, whatever the data."""
        linear = (2**15 >> self.linear_shift) ** 2
        return self.inputs * linear + (self.width - self.inputs) * self.amplitude**2

    def expand(self, v: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
        """Features of quantised inputs: (n, dv) int16 -> (n, d) int16.

        Raises:
            ArithmeticRefused: A phase could leave 2^63.
        """
        if v.dtype != np.int16 or v.ndim != 2 or v.shape[1] != self.inputs:
            raise ArithmeticRefused(f"inputs: want (n, {self.inputs}) int16, got {v.shape}")
        omega, beta = _frequencies(self)
        table = _cosines(self.amplitude)
        q = np.empty((len(v), self.width), np.int16)
        q[:, : self.inputs] = v >> self.linear_shift
        for start in range(0, len(v), _BLOCK):
            rows = slice(start, start + _BLOCK)
            phase = (inner_product(v[rows].T, omega) + beta) & (2**_PHASE_BITS - 1)
            q[rows, self.inputs :] = table[phase >> (_PHASE_BITS - _TABLE_BITS)]
        return q


def width_for(inputs: int, wanted: int) -> int:
    """`wanted`, raised to a multiple of 64 that leaves room for 256 cosines if inputs are wide."""
    return max(wanted, -(-(inputs + 256) // 64) * 64)


def design_feature_map(
    *, inputs: int, width: int, frequency_std: float, clip: float, seed: str, ratio: float = RATIO
) -> tuple[FeatureMap, int]:
    """Balance linear and cosine features; returns the map and the `feature_bits` of its scale.

    The kernel of the rows is `x.y + ratio * exp(-|x-y|^2 std^2 / 2)` up to a common factor;
    that factor makes a cosine feature about one unit of 2^feature_bits.
    """
    gain = sqrt(max(width - inputs, 1) / (2 * ratio))  # linear feature per unit of input
    shift = 0
    while 2**15 / (clip * gain * 2**shift) > 2**14.5:
        shift += 1
    amplitude = max(1, round(2**15 / (clip * gain * 2**shift)))
    made = FeatureMap(
        inputs=inputs,
        width=width,
        frequency_std=frequency_std,
        clip=clip,
        amplitude=amplitude,
        linear_shift=shift,
        seed=seed,
    )
    return made, round(log2(amplitude))


@lru_cache(maxsize=32)
def _frequencies(feature_map: FeatureMap) -> tuple[Ints, Ints]:
    """Omega (dv, d - dv) in 2^-32 cycles per input step, and beta (d - dv,) in 2^-32 cycles."""
    sums, beta = _drawn(feature_map.seed, feature_map.inputs, feature_map.width)
    omega = (sums.astype(np.int64) * _multiplier(feature_map) + 2**19) >> 20
    return np.ascontiguousarray(omega.T), beta


def forget_frequencies() -> None:
    """Free the frequencies of maps that were tried and not taken: megabytes each."""
    _frequencies.cache_clear()
    _drawn.cache_clear()


@lru_cache(maxsize=4)
def _drawn(seed: str, inputs: int, width: int) -> tuple[npt.NDArray[np.int16], Ints]:
    """Frequencies before they are scaled, the same for every bandwidth; and beta.

    A frequency is a sum of twelve uniform bytes (Irwin-Hall: variance 65535, kurtosis 2.9),
    centred. Column k depends on the seed, the number of inputs and k alone.
    """
    columns = width - inputs
    uniform = np.empty((columns, 12 * inputs + 4), np.uint8)
    for k in range(columns):
        stream = shake_256(f"mbd frequency {k} of {seed}".encode())
        uniform[k] = np.frombuffer(stream.digest(uniform.shape[1]), np.uint8)
    beta = uniform[:, :4].copy().view("<u4").astype(np.int64)[:, 0]
    sums = uniform[:, 4:].reshape(columns, inputs, 12).sum(axis=2, dtype=np.int16)
    return sums - np.int16(6 * 255), beta


def _multiplier(feature_map: FeatureMap) -> int:
    """2^20 times: 2^-32 cycles per input step, for one unit of a byte sum."""
    unit = Fraction(feature_map.frequency_std) * Fraction(feature_map.clip) / FULL_SCALE
    byte_sum_std = Fraction(isqrt(65535 << 128), 2**64)
    multiplier = round(unit * (1 << (_PHASE_BITS + 20)) / (2 * _PI * byte_sum_std))
    if not 0 < multiplier < 2**52:
        raise ArithmeticRefused("frequency_std times clip is out of range", field="heads")
    return multiplier


@lru_cache(maxsize=32)
def _cosines(amplitude: int) -> npt.NDArray[np.int16]:
    """`round(amplitude cos(2 pi (i + 1/2) / 2^14))`, by rotation in 128-bit fixed point."""
    quarter = 2 ** (_TABLE_BITS - 2)
    half_step = int(_ONE * _PI / 2**_TABLE_BITS)
    cos, sin = _small_angle(half_step)
    step_cos, step_sin = _small_angle(2 * half_step)
    first = np.empty(quarter, np.int64)
    for i in range(quarter):
        first[i] = (amplitude * cos + _ONE // 2) // _ONE
        cos, sin = (
            (cos * step_cos - sin * step_sin) // _ONE,
            (sin * step_cos + cos * step_sin) // _ONE,
        )
    half = np.concatenate([first, -first[::-1]])
    return np.concatenate([half, half[::-1]]).astype(np.int16)


def _small_angle(angle: int) -> tuple[int, int]:
    """Cosine and sine of a small fixed-point angle, by their Taylor series."""
    sums, term = [0, 0], _ONE
    for order in range(16):
        sign = -1 if order % 4 in (2, 3) else 1
        sums[order % 2] += sign * term
        term = term * angle // (_ONE * (order + 1))
    return sums[0], sums[1]
