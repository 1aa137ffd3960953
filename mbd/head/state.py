"""The state of a head: integer sums over rows, from which a row can be subtracted exactly.

`G = sum q q^T`, `H = sum q t^T`, `n`. Integers add associatively, so the state is the same
bit for bit whatever the order of rows, the batch size, the threads or the machine, and after
a subtraction it *is* the state of a system that never saw the row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from mbd.errors import ArithmeticRefused, IntegrityError, NotFoundError
from mbd.head.integers import Integers, Ints, add_exactly, inner_product
from mbd.workspace.files import write_atomically


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
        left = HeadState(
            add_exactly(self.gram, -other.gram),
            add_exactly(self.cross, -other.cross),
            self.rows - other.rows,
        )
        if left.rows < 0 or bool((np.diagonal(left.gram) < 0).any()):
            raise ArithmeticRefused("subtracted rows that the state does not hold")
        return left

    def digest(self) -> str:
        """SHA-256 (hex) of shapes, rows and little-endian content."""
        header = f"mbd head state v1 {self.width} {self.outputs} {self.rows}\n"
        content = hashlib.sha256(header.encode())
        for part in (self.gram, self.cross):
            content.update(np.ascontiguousarray(part, "<i8").data)
        return content.hexdigest()

    def save(self, path: Path) -> None:
        """Write one safetensors file, atomically and durably."""
        tensors = {
            "cross": np.ascontiguousarray(self.cross),
            "gram": np.ascontiguousarray(self.gram),
            "rows": np.array([self.rows], np.int64),
        }
        write_atomically(path, safetensors.numpy.save(tensors))

    @classmethod
    def load(cls, path: Path) -> HeadState:
        """Read what `save` wrote.

        Raises:
            NotFoundError: There is no such file.
            IntegrityError: It is torn or not a state.
        """
        try:
            tensors = safetensors.numpy.load(path.read_bytes())
            gram, cross, rows = tensors["gram"], tensors["cross"], tensors["rows"]
        except FileNotFoundError as error:
            raise NotFoundError(f"no state at {path}") from error
        except (safetensors.SafetensorError, KeyError) as error:
            raise IntegrityError(f"{path}: not a head's state: {error}") from error
        _check_shapes(path, gram, cross, rows)
        return cls(gram, cross, int(rows[0]))


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
    if q.ndim != 2 or t.ndim != 2 or len(q) != len(t):
        raise ArithmeticRefused(f"rows: want (n, d) and (n, K), got {q.shape} and {t.shape}")
    return HeadState(inner_product(q, q), inner_product(q, t), len(q))


def state_digest(states: Mapping[str, HeadState]) -> str:
    """SHA-256 (hex) over the heads' names and digests, in the order of the names."""
    return digest_of_heads({name: state.digest() for name, state in states.items()})


def digest_of_heads(digests: Mapping[str, str]) -> str:
    """The state's digest from the digests of its heads."""
    lines = [f"{name} {digests[name]}\n" for name in sorted(digests)]
    return hashlib.sha256("".join(["mbd state v1\n", *lines]).encode()).hexdigest()
