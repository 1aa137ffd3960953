"""What an update costs: a small model, fitted to what `examples/benchmarks/surgery.py` printed.

Two factors can serve an update. One in double precision takes one step; one in single
precision costs half, and takes one step for every few digits of the condition. The model
compares them; nothing depends on its numbers but time.
"""

from __future__ import annotations

from math import ceil, log10

import numpy as np

from mbd.head.factor import Precision
from mbd.head.solve import HeadScale
from mbd.head.state import HeadState

# Seconds on two cores of an AMD EPYC of 2024, OpenBLAS 0.3.30.
_FACTOR = {"double": 3.5e-12, "single": 1.7e-12}
"""Times d^3: conversion apart, one Cholesky factor."""
_CONVERT = 1.2e-9
"""Times d^2: the matrix in floating point."""
_STEP = 2.5e-9
"""Times d^2: the exact product of a step's residual, the matrix cut into digits."""
_OUTPUT = 0.25e-9
"""Times d^2 K: its columns, and the triangular solves."""
_SUBTRACT = 3.0e-9
"""Times d^2: the Gram matrix read, changed and written."""
_ROW = 0.05e-9
"""Times d^2 n: products of the removed rows."""
_NOISE = 0.25e-6
"""Times d K: one draw."""
_CALL = 2e-3
"""Everything that does not grow."""

TOO_ILL = 1e7
"""Condition from which a factor in single precision is not tried."""


def condition(state: HeadState, scale: HeadScale) -> float:
    """An upper bound on the condition number of `A`: `(trace(a G) + lambda) / lambda`."""
    trace = float(np.trace(state.gram, dtype=np.float64))
    return 1 + trace * scale.a / scale.strong_convexity


def steps(precision: Precision, ill: float) -> int:
    """Refinements that a factor of that precision needs at this condition; as measured."""
    return 1 if precision == "double" else max(1, ceil(log10(ill) - 3))


def update_seconds(precision: Precision, width: int, outputs: int, ill: float) -> float:
    """Expected time from the integer state to a proved head."""
    each = (_STEP + _OUTPUT * outputs) * width**2
    factor = _FACTOR[precision] * width**3 + _CONVERT * width**2
    return _CALL + factor + steps(precision, ill) * each


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
    """Expected time of one head: rows subtracted, update, noise; digests and files apart.

    Args:
        width: d.
        outputs: K.
        rows: Rows that are removed.
    """
    subtract = (_SUBTRACT + _ROW * rows) * width**2
    noise = _NOISE * width * outputs
    return subtract + update_seconds("double", width, outputs, 1.0) + noise
