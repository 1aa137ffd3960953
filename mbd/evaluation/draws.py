"""Random numbers that depend on nothing but their name.

A mask must not change because records came in another order, in other batches or from other
workers, so no generator is carried along: each draw is a hash of what it is for. SHAKE-256 is
read as far as there are values to draw; its first bytes do not depend on how many follow.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
from jaxtyping import Float64

_BYTES = 4  # in a sum
_MEAN = _BYTES * 255 / 2
_STD = (_BYTES * (256**2 - 1) / 12) ** 0.5


def uniforms(count: int, *name: str | int) -> Float64[np.ndarray, " count"]:
    """`count` numbers in [0, 1), multiples of 2^-53: those of this name, always."""
    words = np.frombuffer(_drawn(8 * count, name), "<u8")
    return np.asarray((words >> np.uint64(11)) * 2.0**-53)


def noise(count: int, *name: str | int) -> Float64[np.ndarray, " count"]:
    """`count` numbers with mean 0 and variance 1, nearly normal, at most 3.5.

    Each is a sum of four bytes (Irwin and Hall's law): whole numbers until one last division,
    so that every machine draws the same. The choice is ours.
    """
    parts = np.frombuffer(_drawn(_BYTES * count, name), np.uint8).reshape(count, _BYTES)
    return np.asarray((parts.sum(axis=1, dtype=np.int16) - _MEAN) / _STD)


def _drawn(size_bytes: int, name: tuple[str | int, ...]) -> bytes:
    said = json.dumps(["mbd eval", *name], ensure_ascii=True, separators=(",", ":")).encode()
    return hashlib.shake_256(said).digest(size_bytes)
