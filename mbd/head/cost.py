"""What an update costs: a small model, fitted to what `examples/benchmarks/surgery.py` printed.

Two factors can serve an update. One in double precision takes one step; one in single
precision costs half, and takes one step for every few digits of the condition. The model
compares them; nothing depends on its numbers but time.
"""

from __future__ import annotations

from math import ceil, log10, sqrt

import numpy as np

from mbd.head.factor import Precision
from mbd.head.solve import HeadScale
from mbd.head.state import HeadState

# Seconds of one core of an AMD EPYC (Zen 5), OpenBLAS 0.3.30, fitted to d = 1024, 2048 and 4096
# with K = 1 and 8: non-negative least squares of relative errors, all within 5 percent; at
# d = 8192, which it had not seen, the model is 1 to 12 percent too low.
_FACTOR = {"double": 5.8e-12, "single": 2.3e-12}
"""Times d^3: one Cholesky factor."""
_CONVERT = 3.9e-9
"""Times d^2: the matrix in floating point, and whatever else is done once."""
_STEP = 1.7e-9
"""Times d^2: the exact product of a step's residual, for which the matrix is cut into digits."""
_OUTPUT = 0.29e-9
"""Times d^2 K: the columns of that product, and the triangular solves."""
_SUBTRACT = 2.6e-9
"""Times d^2: the Gram matrix read, changed and written."""
_ROW = 0.06e-9
"""Times d^2 n: products of the removed rows."""
_NOISE = 0.42e-6
"""Times d K: one draw."""
_DRAW = 1.5e-3
"""Drawing at all."""

TOO_ILL = 1e7
"""Condition from which a factor in single precision is not tried."""


def condition(state: HeadState, scale: HeadScale) -> float:
    """An upper bound on the condition number of `A`: `(trace(a G) + lambda) / lambda`."""
    trace = float(np.trace(state.gram, dtype=np.float64))
    return 1 + trace * scale.a / scale.strong_convexity


def steps(precision: Precision, outputs: int, ill: float) -> int:
    """Refinements that a factor of that precision needs at this condition.

    In single precision: as counted at conditions from 1e3 to 1e7, or one more.
    """
    return 1 if precision == "double" else max(1, ceil(log10(ill * sqrt(outputs)) - 3))


def update_seconds(precision: Precision, width: int, outputs: int, ill: float) -> float:
    """Expected time from the integer state to a proved head, on one core."""
    each = (_STEP + _OUTPUT * outputs) * width**2
    once = _FACTOR[precision] * width**3 + _CONVERT * width**2
    return once + steps(precision, outputs, ill) * each


def cheaper_precision(state: HeadState, scale: HeadScale) -> Precision:
    """The precision of the factor that is expected to serve an update sooner.

    A function of d, K, and the trace and lambda of the head after the subtraction: a system
    that never saw the rows chooses the same.
    """
    ill = condition(state, scale)
    if ill > TOO_ILL:
        return "double"
    size = (state.width, state.outputs, ill)
    return (
        "single" if update_seconds("single", *size) < update_seconds("double", *size) else "double"
    )


def estimated_seconds(width: int, outputs: int, rows: int) -> float:
    """Expected time of one head on one core: rows subtracted, update, noise; no digests or files.

    An upper estimate: the factor is taken to be in double precision. With two cores, heads of
    2048 and wider take a little more than half of it.

    Args:
        width: d.
        outputs: K.
        rows: Rows that are removed.
    """
    subtract = (_SUBTRACT + _ROW * rows) * width**2
    noise = _DRAW + _NOISE * width * outputs
    return subtract + update_seconds("double", width, outputs, 1.0) + noise
