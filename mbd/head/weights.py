"""Released heads on disk: integer multiples of the grid, one file per head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from mbd.errors import IntegrityError, NotFoundError
from mbd.head.integers import Ints
from mbd.workspace.files import write_atomically


def save_weights(path: Path, weights: Ints) -> None:
    """Write (d, K) multiples of the grid, atomically; equal weights give equal bytes."""
    write_atomically(path, safetensors.numpy.save({"weights": np.ascontiguousarray(weights)}))


def load_weights(path: Path, *, width: int, outputs: int) -> Ints:
    """Read what `save_weights` wrote.

    Raises:
        NotFoundError: There is no such file.
        IntegrityError: It is torn, or not a head of this shape.
    """
    try:
        weights = safetensors.numpy.load(path.read_bytes())["weights"]
    except FileNotFoundError as error:
        raise NotFoundError(f"no head at {path}") from error
    except (safetensors.SafetensorError, KeyError) as error:
        raise IntegrityError(f"{path}: not a head: {error}") from error
    if weights.dtype != np.int64 or weights.shape != (width, outputs):
        raise IntegrityError(
            f"{path}: want ({width}, {outputs}) int64, got {weights.shape} {weights.dtype}"
        )
    return weights
