"""Random numbers that depend on nothing but their name.

A mask must not change because records came in another order, in other batches or from other
workers, so no generator is carried along: each draw is a hash of what it is for. SHAKE-256 is
read as far as there are values to draw; its first bytes do not depend on how many follow.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64

_IRWIN_HALL = 4  # sixteen-bit numbers in a sum
_MEAN = _IRWIN_HALL * 65535 / 2
_STD = (_IRWIN_HALL * (65536**2 - 1) / 12) ** 0.5


def uniforms(count: int, *name: str | int) -> Float64[np.ndarray, " count"]:
    """`count` numbers in [0, 1), multiples of 2^-53: those of this name, always."""
    return np.asarray((_words(count, name) >> np.uint64(11)) * 2.0**-53)


def noise(count: int, *name: str | int) -> Float64[np.ndarray, " count"]:
    """`count` numbers with mean 0 and variance 1, nearly normal, at most 3.5.

    Each is a sum of four 16-bit numbers (Irwin and Hall's law): whole numbers until one last
    division, so that every machine draws the same. The choice is ours.
    """
    parts = _words(count, name).view(np.uint16).reshape(count, _IRWIN_HALL)
    return np.asarray((parts.sum(axis=1, dtype=np.int64) - _MEAN) / _STD)


def _words(count: int, name: tuple[str | int, ...]) -> npt.NDArray[np.uint64]:
    said = json.dumps(["mbd eval", *name], ensure_ascii=True, separators=(",", ":")).encode()
    drawn = hashlib.shake_256(said).digest(8 * count)
    return np.frombuffer(drawn, "<u8").astype(np.uint64)
