"""The state of a head: integer sums over rows, from which a row can be subtracted exactly.

`G = sum q q^T`, `H = sum q t^T`, `n`. Integers add associatively, so the state is the same
bit for bit whatever the order of rows, the batch size, the threads or the machine, and after
a subtraction it *is* the state of a system that never saw the row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors

from mbd.errors import ArithmeticRefused, IntegrityError, NotFoundError
from mbd.head.integers import Integers, Ints, add_exactly, inner_product
from mbd.head.threads import over_blocks
from mbd.workspace.files import write_atomically

_BLOCK = 2**18  # elements of the Gram matrix that are worked on at a time
_MIRRORED = 512  # rows from which half a product and a transposed copy cost less than a whole


@dataclass(frozen=True, eq=False)
class HeadState:
    """Sufficient statistics of one head."""

    gram: Ints
    """G: (d, d) int64, symmetric, positive semidefinite."""
    cross: Ints
    """H: (d, K) int64."""
    rows: int
    """n."""

    @classmethod
    def empty(cls, width: int, outputs: int) -> HeadState:
        """The state of no rows."""
        return cls(np.zeros((width, width), np.int64), np.zeros((width, outputs), np.int64), 0)

    @property
    def width(self) -> int:
        """d."""
        return int(self.gram.shape[0])

    @property
    def outputs(self) -> int:
        """K."""
        return int(self.cross.shape[1])

    def __add__(self, other: HeadState) -> HeadState:
        return HeadState(
            add_exactly(self.gram, other.gram),
            add_exactly(self.cross, other.cross),
            self.rows + other.rows,
        )

    def __sub__(self, other: HeadState) -> HeadState:
        """Take rows out again.

        Raises:
            ArithmeticRefused: The rows cannot have been part of this state.
        """
        return HeadState(
            add_exactly(self.gram, -other.gram),
            add_exactly(self.cross, -other.cross),
            self.rows - other.rows,
        )._held()

    def without(self, q: Integers, t: Integers) -> HeadState:
        """`self - contribution(q, t)`, made in blocks: only the result is as large as the state.

        Raises:
            ArithmeticRefused: The rows cannot have been part of this state.
        """
        _check_rows(q, t)
        gram = np.empty_like(self.gram)
        mirror = len(q) >= _MIRRORED

        def subtract(block: slice) -> None:
            right = slice(block.start if mirror else 0, None)
            gone = inner_product(q[:, block], q[:, right])
            gram[block, right] = add_exactly(self.gram[block, right], -gone)
            if mirror:
                gram[right, block] = gram[block, right].T

        # With many rows a block is wide enough to be worth their conversion to floats.
        step = max(1, _BLOCK // self.width, min(self.width // 8, len(q)))
        over_blocks(self.width, self.width, step, subtract)
        cross = add_exactly(self.cross, -inner_product(q, t))
        return HeadState(gram, cross, self.rows - len(q))._held()

    def _held(self) -> HeadState:
        if self.rows < 0 or bool((np.diagonal(self.gram) < 0).any()):
            raise ArithmeticRefused("subtracted rows that the state does not hold")
        return self

    def digest(self) -> str:
        """SHA-256 (hex) of shapes, rows and little-endian content."""
        header = f"mbd head state v1 {self.width} {self.outputs} {self.rows}\n"
        content = hashlib.sha256(header.encode())
        for part in (self.gram, self.cross):
            content.update(np.ascontiguousarray(part, "<i8").data)
        return content.hexdigest()

    def save(self, path: Path) -> None:
        """Write one safetensors file, atomically and durably, without a copy in memory."""
        tensors = {
            "cross": np.ascontiguousarray(self.cross, "<i8"),
            "gram": np.ascontiguousarray(self.gram, "<i8"),
            "rows": np.array([self.rows], "<i8"),
        }
        content: list[bytes | memoryview] = [
            _header(tensors),
            *(tensor.reshape(-1).view(np.uint8).data for tensor in tensors.values()),
        ]
        write_atomically(path, content)

    @classmethod
    def load(cls, path: Path) -> HeadState:
        """Read what `save` wrote.

        Raises:
            NotFoundError: There is no such file.
            IntegrityError: It is torn or not a state.
        """
        try:
            with safetensors.safe_open(path, "numpy") as tensors:
                gram, cross, rows = (tensors.get_tensor(name) for name in ("gram", "cross", "rows"))
        except FileNotFoundError as error:
            raise NotFoundError(f"no state at {path}") from error
        except safetensors.SafetensorError as error:
            raise IntegrityError(f"{path}: not a head's state: {error}") from error
        _check_shapes(path, gram, cross, rows)
        return cls(gram, cross, int(rows[0]))


def _header(tensors: Mapping[str, Ints]) -> bytes:
    """What precedes int64 tensors in a safetensors file: the same bytes as its library writes."""
    described, end = {}, 0
    for name, tensor in sorted(tensors.items()):
        start, end = end, end + tensor.nbytes
        described[name] = {
            "dtype": "I64",
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _check_shapes(path: Path, gram: Integers, cross: Integers, rows: Integers) -> None:
    width = gram.shape[0] if gram.ndim else 0
    whole = all(part.dtype == np.int64 for part in (gram, cross, rows))
    square = gram.shape == (width, width) and cross.ndim == 2 and len(cross) == width
    if not (whole and square and rows.shape == (1,) and int(rows[0]) >= 0):
        raise IntegrityError(f"{path}: tensors of a head's state have the wrong type or shape")


def contribution(q: Integers, t: Integers) -> HeadState:
    """What rows add to a state: (n, d) int16 features, (n, K) int32 targets.

    Raises:
        ArithmeticRefused: A sum could overflow.
    """
    _check_rows(q, t)
    return HeadState(inner_product(q, q), inner_product(q, t), len(q))


def _check_rows(q: Integers, t: Integers) -> None:
    if q.ndim != 2 or t.ndim != 2 or len(q) != len(t):
        raise ArithmeticRefused(f"rows: want (n, d) and (n, K), got {q.shape} and {t.shape}")


def state_digest(states: Mapping[str, HeadState]) -> str:
    """SHA-256 (hex) over the heads' names and digests, in the order of the names."""
    return digest_of_heads({name: state.digest() for name, state in states.items()})


def digest_of_heads(digests: Mapping[str, str]) -> str:
    """The state's digest from the digests of its heads."""
    lines = [f"{name} {digests[name]}\n" for name in sorted(digests)]
    return hashlib.sha256("".join(["mbd state v1\n", *lines]).encode()).hexdigest()
