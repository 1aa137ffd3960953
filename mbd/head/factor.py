"""Cholesky factors of a head's matrix `A = a G + lambda I`, in double or single precision.

A factor only proposes steps; exact residuals decide what is accepted. So a single precision
factor, which costs half the time and half the memory, serves wherever its steps converge.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.linalg.lapack

from mbd.errors import ArithmeticRefused
from mbd.head import accelerator
from mbd.head.integers import Ints

Precision = Literal["double", "single"]
Floats = npt.NDArray[np.float64]


def factor(gram: Ints, a: float, ridge: float, precision: Precision) -> accelerator.Solver:
    """Solves with `a G + ridge I`: (d, K) right sides -> (d, K) solutions, both float64.

    Args:
        gram: G, (d, d), symmetric.
        a, ridge: Finite, positive.
        precision: Of the CPU's factor; a GPU's has double precision.

    Raises:
        ArithmeticRefused: Not positive definite in that precision.
    """
    return accelerator.factor(gram, a, ridge, lambda: _on_cpu(gram, a, ridge, precision))


def _on_cpu(gram: Ints, a: float, ridge: float, precision: Precision) -> accelerator.Solver:
    dtype = np.float64 if precision == "double" else np.float32
    matrix = np.empty(gram.shape, dtype)
    np.multiply(gram, a, out=matrix, casting="same_kind")
    matrix[np.diag_indices(len(gram))] += dtype(ridge)
    potrf, potrs = scipy.linalg.lapack.get_lapack_funcs(("potrf", "potrs"), dtype=dtype)
    # The transpose of a symmetric matrix lies in memory as LAPACK wants it: no copy is made.
    lower, info = potrf(matrix.T, lower=True, overwrite_a=True, clean=False)
    if info:
        raise ArithmeticRefused(
            f"the head's matrix is not positive definite in {precision} precision",
            hint="use a larger lambda (heads.strong_convexity)",
        )

    def solve(right: Floats) -> Floats:
        # Halved or doubled until the largest is about one: single precision has a short range.
        size = 2.0 ** float(np.frexp(np.abs(right).max(initial=0.0))[1])
        found, _ = potrs(lower, (right / size).astype(dtype), lower=True)
        solution: Floats = found.astype(np.float64) * size
        return solution

    return solve
