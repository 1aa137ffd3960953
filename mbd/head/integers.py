"""Exact integer linear algebra at BLAS speed.

A float64 product of integer operands is exact, in any order of summation, while every
partial sum stays below 2^53. So long sums are cut into chunks and the chunks add into
int64; whatever cannot be exact is refused. Plain GEMM only: Strassen-like schemes and
emulated float64 would break the argument.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mbd.errors import ArithmeticRefused
from mbd.head import accelerator

Ints = npt.NDArray[np.int64]
Integers = npt.NDArray[Any]
"""An array of integers: an integer dtype, or Python ints (dtype object) of any size."""

EXACT = 2**53
"""Largest integer up to which float64 holds every integer."""

DIGIT_BITS = 20
_HALF = 1 << (DIGIT_BITS - 1)
_CACHED = 2**16  # elements of a block that stays in a core's cache


def largest(array: Integers) -> int:
    """Largest absolute value; 0 for an empty array."""
    if array.size == 0:
        return 0
    return max(abs(int(array.max())), abs(int(array.min())))


def inner_product(left: Integers, right: Integers) -> Ints:
    """`left^T @ right`, exactly: (n, a), (n, b) -> (a, b).

    Raises:
        ArithmeticRefused: A sum could leave int64, or one product leaves 2^53.
    """
    rows = left.shape[0]
    bound = largest(left) * largest(right)
    if bound > EXACT or bound * rows >= 2**63:
        raise ArithmeticRefused(f"a sum of {rows} products up to {bound} may overflow")
    chunk = min(rows, EXACT // bound) if bound else rows
    made = accelerator.inner_product(left, right, chunk)
    if made is not None:
        return made
    total = np.zeros((left.shape[1], right.shape[1]), np.int64)
    for start in range(0, rows, max(chunk, 1)):
        part = left[start : start + chunk].astype(np.float64)
        other = part if right is left else right[start : start + chunk].astype(np.float64)
        total += (part.T @ other).astype(np.int64)
    return total


def add_exactly(left: Ints, right: Ints) -> Ints:
    """`left + right`; refused if the largest of both together do not fit into int64."""
    if largest(left) + largest(right) >= 2**63:
        raise ArithmeticRefused("an integer sum may leave the range of int64")
    return left + right


def digits(values: Integers) -> npt.NDArray[np.float64]:
    """Balanced digits of base 2^20: `values = sum_i 2^(20 i) digit_i`, |digit| <= 2^19.

    Returns:
        (digits, *values.shape), the lowest first.

    Raises:
        ArithmeticRefused: int64 values of 2^62 or more.
    """
    bits = largest(values).bit_length()
    if values.dtype != object and bits > 62:
        raise ArithmeticRefused("a value of 2^62 or more")
    places = np.empty((max(1, -(-(bits + 2) // DIGIT_BITS)), *values.shape))
    step = max(1, _CACHED * len(values) // max(1, values.size))
    for start in range(0, len(values), step):
        block = slice(start, start + step)
        rest = values[block]
        for place in places:
            rest = rest + _HALF
            place[block] = rest & (2 * _HALF - 1)
            place[block] -= _HALF
            rest >>= DIGIT_BITS
    return places
