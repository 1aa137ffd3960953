"""Pieces of values: what a search looks for instead of whole values.

A piece is 64 consecutive bytes of a feature vector or of a prepared row, as they lie in a
file. Pieces that say nothing (almost constant, or held by somebody else too) are left out,
so whatever is found is a finding.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from mbd.data.needle_index import NeedleIndex

LENGTHS = (64, 32, 16)
"""Bytes of a piece: the first for all rows but the shortest."""
_DISTINCT_BYTES = 8  # different byte values that make a piece distinctive
_BLOCK = 1 << 13  # pieces judged at once: what stays in the processor's cache


def pieces_of(contents: Iterable[bytes]) -> list[bytes]:
    """Distinctive pieces that together cover every row of bytes, in order.

    The length is the longest of `LENGTHS` that fits a row; its last piece overlaps the one
    before. A row shorter than all of them, and what is not distinctive, has none.
    """
    rows = list(contents)
    size = np.array([len(row) for row in rows], np.int64)
    length = np.select([size >= one for one in LENGTHS], LENGTHS, 0)
    count = -(-size // np.maximum(length, 1)) * (length > 0)
    row = np.repeat(np.arange(len(rows)), count)
    step = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    starts = (np.cumsum(size) - size)[row]
    starts += np.minimum(step * length[row], size[row] - length[row])
    joined = b"".join(rows)
    stops = starts + length[row]
    kept = _distinctive(joined, starts, length[row])
    return [joined[a:b] for a, b in zip(starts[kept].tolist(), stops[kept].tolist(), strict=True)]


def held_by(candidates: Iterable[bytes], others: Iterable[bytes]) -> set[bytes]:
    """The candidates that lie in some byte string of `others`, or across two neighbours."""
    return NeedleIndex({"": tuple(dict.fromkeys(candidates))}).hits(b"".join(others))


def _distinctive(
    joined: bytes, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Whether each piece has enough different byte values."""
    content = np.frombuffer(joined, np.uint8)
    found = np.zeros(len(starts), dtype=bool)
    for length in LENGTHS:
        chosen = np.flatnonzero(lengths == length)
        for first in range(0, len(chosen), _BLOCK):
            block = chosen[first : first + _BLOCK]
            values = content[starts[block, None] + np.arange(length)]
            seen = np.zeros((len(block), 256), dtype=bool)
            seen[np.arange(len(block))[:, None], values] = True
            found[block] = seen.sum(axis=1) >= _DISTINCT_BYTES
    return found
