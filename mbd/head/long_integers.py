"""Integers longer than a machine word, as arrays of digits: exact products at BLAS speed.

A number is `sum_i 2^(20 i) places[i]`. In *balanced* form every digit is at most 2^19 in
absolute value, so a product of two digits stays below 2^38 and a sum of 2^14 of them is exact
in float64. Between normalisations a digit may be any int64. Arrays of digits keep memory and
time near those of the float64 product; Python integers cost a hundred times as much.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mbd.errors import ArithmeticRefused
from mbd.head.integers import DIGIT_BITS, Integers, Ints, digits, largest
from mbd.head.threads import over_blocks

Places = npt.NDArray[np.int64]
"""(places, *shape), the lowest digit first."""
Floats = npt.NDArray[np.float64]

RELATIVE_ERROR = 2.0**-50
"""Of `to_floats`, at most: half a unit in the last place per digit, of digits that fall off."""

_HALF = 1 << (DIGIT_BITS - 1)
_BASE = 1 << DIGIT_BITS
_FLOAT_BITS = 52  # float64 sums of that size, and their rounding to a digit, are exact
_BLOCK = 2**18  # elements of a matrix that are split at a time: they stay in the cache


def places_of(values: Integers) -> Places:
    """Balanced digits of integers; refused from 2^62 on unless they are Python integers."""
    return digits(values).astype(np.int64)


def places_of_floats(values: Floats) -> Places:
    """Balanced digits of whole-numbered floats of any size."""
    top = float(np.abs(values).max(initial=0.0))
    count = int(np.frexp(top)[1]) // DIGIT_BITS + 1
    places = np.empty((count, *values.shape), np.int64)
    rest = values.copy()
    for index in reversed(range(count)):
        unit = 2.0 ** (DIGIT_BITS * index)
        digit = np.rint(rest / unit)
        rest -= digit * unit
        places[index] = digit
    return balanced(places)


def balanced(places: Places) -> Places:
    """The same numbers with digits of at most 2^19; no leading place without a digit."""
    carried: list[Ints] = []
    carry = np.zeros(places.shape[1:], np.int64)
    for place in places:
        value = place + carry
        carry = (value + _HALF) >> DIGIT_BITS
        carried.append(value - (carry << DIGIT_BITS))
    while carry.any():
        above = (carry + _HALF) >> DIGIT_BITS
        carried.append(carry - (above << DIGIT_BITS))
        carry = above
    while len(carried) > 1 and not carried[-1].any():
        carried.pop()
    return np.stack(carried)


def shifted(places: Places, bits: int) -> Places:
    """Balanced digits times 2^bits, bits >= 0; not balanced any more."""
    zeros = np.zeros((bits // DIGIT_BITS, *places.shape[1:]), np.int64)
    return np.concatenate([zeros, places << (bits % DIGIT_BITS)])


def added(*terms: Places) -> Places:
    """The sum, digit by digit; not balanced."""
    total = np.zeros((max(map(len, terms)), *terms[0].shape[1:]), np.int64)
    for term in terms:
        total[: len(term)] += term
    return total


def times(places: Places, factor: int) -> Places:
    """Balanced digits times a whole number >= 0 of less than 2^1024; not balanced."""
    count = len(places) + factor.bit_length() // DIGIT_BITS
    total = np.zeros((count, *places.shape[1:]), np.int64)
    index = 0
    while factor:
        factor, digit = divmod(factor, _BASE)
        total[index : index + len(places)] += places * digit
        index += 1
    return total


def to_floats(places: Places) -> Floats:
    """Balanced digits as floats, each within `RELATIVE_ERROR` of its number."""
    total = np.zeros(places.shape[1:])
    for index, place in enumerate(places):
        total += place * 2.0 ** (DIGIT_BITS * index)
    return total


def rounded_off(places: Places, bits: int) -> Ints:
    """Numbers divided by 2^bits and rounded, halves upwards; bits is a multiple of 20.

    Raises:
        ArithmeticRefused: A result is about 2^62 or more.
    """
    dropped = bits // DIGIT_BITS
    whole = added(places, shifted(np.full((1, *places.shape[1:]), 1, np.int64), bits - 1))
    carry = np.zeros(places.shape[1:], np.int64)
    for place in whole[:dropped]:
        carry = (place + carry) >> DIGIT_BITS
    kept = added(whole[dropped:], carry[None]) if len(whole) > dropped else carry[None]
    kept = balanced(kept)
    if not float(np.abs(to_floats(kept)).max(initial=0.0)) < 2.0**62:
        raise ArithmeticRefused("a number does not fit into 62 bits")
    result = np.zeros(places.shape[1:], np.int64)
    for place in kept[::-1]:
        result = (result << DIGIT_BITS) + place
    return result


def long_product(matrix: Ints, factor: Places) -> Places:
    """`matrix @ factor`, exactly: (a, d) of less than 2^62, (places, d, K) balanced.

    Only a block of rows of the matrix is cut into digits at a time.

    Returns:
        Balanced digits, (places, a, K).
    """
    rows, width = matrix.shape
    if width > 2**14:
        raise ArithmeticRefused(f"width {width}: want at most {2**14}")
    count, _, columns = factor.shape
    if not factor.any():  # where a refinement starts
        return np.zeros((1, rows, columns), np.int64)
    stacked = factor.transpose(1, 0, 2).reshape(width, count * columns).astype(np.float64)
    total = np.zeros((count + 3, rows, columns), np.int64)

    def multiply(block: slice) -> None:
        for index, plane in enumerate(_planes(matrix[block])):
            product = (plane @ stacked).reshape(-1, count, columns)
            total[index : index + count, block] += product.transpose(1, 0, 2).astype(np.int64)

    over_blocks(rows, width, max(1, _BLOCK // max(width, 1)), multiply)
    return balanced(total)


def _planes(block: Ints) -> Floats:
    """Balanced digits of a block, as floats ready to be multiplied."""
    bits = largest(block).bit_length()
    if bits > _FLOAT_BITS:
        return digits(block)
    count = max(1, -(-(bits + 2) // DIGIT_BITS))
    planes = np.empty((count, *block.shape))
    np.copyto(planes[0], block)
    for index in reversed(range(1, count)):
        # Adding and subtracting 1.5 * 2^52 units rounds to a whole number of units.
        magic = 1.5 * 2.0 ** (52 + DIGIT_BITS * index)
        np.add(planes[0], magic, out=planes[index])
        planes[index] -= magic
        planes[0] -= planes[index]
        planes[index] *= 2.0 ** (-DIGIT_BITS * index)
    return planes
