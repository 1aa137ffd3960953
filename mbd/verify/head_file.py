"""A released head's file, read without numpy: its shape, and how much noise it declares.

Source of the format: github.com/huggingface/safetensors, README, "Format": eight bytes of
length (little endian), a JSON header, then the tensors without gaps. Stricter here: two
tensors of int64, nothing else, and no metadata.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from mbd.canonical.json import loads_strict
from mbd.errors import DataError

MAX_HEADER_BYTES = 4096
_LENGTH_BYTES = 8
_ITEM_BYTES = 8  # of an int64
_NAMES = {"noise_steps", "weights"}


@dataclass(frozen=True)
class HeadFile:
    """What the file of a head says without looking at its weights."""

    dimension: int
    """d: rows of the weights."""
    outputs: int
    """K: columns of the weights."""
    noise_steps: int
    """Standard deviation of its noise in grid steps; 0 for an exact release."""


def read_head(path: Path) -> HeadFile:
    """Read the header of a head and the one number beside its weights.

    Raises:
        DataError: It is not the file of a head (`artifact.head`).
    """
    with path.open("rb") as stream:
        size = path.stat().st_size
        length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
        if not 0 < length <= min(MAX_HEADER_BYTES, size - _LENGTH_BYTES):
            raise _refused(path, f"a header of {length} bytes in a file of {size}")
        tensors = _tensors(path, stream.read(length), size - _LENGTH_BYTES - length)
        (steps_shape, steps_start), (shape, _) = tensors["noise_steps"], tensors["weights"]
        if steps_shape != [1] or len(shape) != 2:
            raise _refused(path, f"shapes {steps_shape} and {shape}")
        stream.seek(_LENGTH_BYTES + length + steps_start)
        steps = int.from_bytes(stream.read(_ITEM_BYTES), "little", signed=True)
    if steps < 0:
        raise _refused(path, f"noise of {steps} steps")
    return HeadFile(dimension=shape[0], outputs=shape[1], noise_steps=steps)


def _tensors(path: Path, header: bytes, data_bytes: int) -> dict[str, tuple[list[int], int]]:
    """Shape and first byte of each tensor; together they fill the data exactly."""
    try:
        found = loads_strict(header, max_bytes=MAX_HEADER_BYTES, max_depth=4)
    except DataError as error:
        raise _refused(path, error.message) from error
    if not isinstance(found, dict) or set(found) != _NAMES:
        raise _refused(path, f"want the tensors {', '.join(sorted(_NAMES))}")
    tensors, end = {}, 0
    places = [(name, *_tensor(path, one)) for name, one in found.items()]
    for name, shape, start, stop in sorted(places, key=lambda place: place[2]):
        if start != end or stop - start != _ITEM_BYTES * prod(shape):
            raise _refused(path, f"{name} has {stop - start} bytes at {start}")
        tensors[name], end = (shape, start), stop
    if end != data_bytes:
        raise _refused(path, f"{data_bytes} bytes of data, of which {end} belong to tensors")
    return tensors


def _tensor(path: Path, found: Any) -> tuple[list[int], int, int]:
    """Shape, first byte and end of one tensor."""
    if not isinstance(found, dict) or set(found) != {"dtype", "shape", "data_offsets"}:
        raise _refused(path, "want dtype, shape and data_offsets")
    shape, offsets = found["shape"], found["data_offsets"]
    if found["dtype"] != "I64" or not _counts(shape, 1) or not _counts(offsets, 0):
        raise _refused(path, "want int64 tensors of plain sizes")
    if len(offsets) != 2:
        raise _refused(path, "want a start and an end")
    return shape, offsets[0], offsets[1]


def _counts(values: Any, least: int) -> bool:
    return isinstance(values, list) and all(type(one) is int and one >= least for one in values)


def _refused(path: Path, why: str) -> DataError:
    return DataError(f"{path.name} is not the file of a head: {why}", code="artifact.head")
