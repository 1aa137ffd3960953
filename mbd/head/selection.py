"""Choosing lambda: on foundation rows only, before any revocable row is looked at.

Every row is predicted by a head fitted on all the others. For ridge regression that needs no
refitting, so all foundation rows can judge, and the choice does not hang on a few of them.
It is an ordinary float64 computation; its result enters the policy, which is logged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mbd.errors import DataError
from mbd.head.integers import Integers

Floats = npt.NDArray[np.float64]

CANDIDATES: tuple[float, ...] = tuple(2.0**k for k in range(-8, 15))
"""Values of lambda that are tried."""

MOST_ROWS = 1000
"""More rows than this are thinned evenly: lambda stands for noise, not for a number of rows."""

_FREEDOM = 1e-9
"""Least share of itself that a row is taken not to predict."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Integer rows of one head: features (n, d) and targets (n, K)."""

    q: Integers
    t: Integers

    def __len__(self) -> int:
        return len(self.q)

    def thinned(self, most: int) -> Rows:
        """At most `most` of the rows, evenly spaced."""
        if len(self) <= most:
            return self
        chosen = np.arange(most) * len(self) // most
        return Rows(self.q[chosen], self.t[chosen])


@dataclass(frozen=True)
class Choice:
    """A chosen lambda and its mean loss on rows that were left out."""

    strong_convexity: float
    loss: float


def choose_strong_convexity(
    rows: Rows,
    *,
    feature_bits: int,
    target_bits: int,
    candidates: Sequence[float] = CANDIDATES,
) -> Choice:
    """The candidate with the smallest leave-one-out loss; the larger one on a tie.

    Loss: mean absolute error of one output; with several, mean squared error.

    Args:
        rows: Two or more; order says nothing but which are used when there are too many.
        feature_bits, target_bits: Units of `q` and `t`.

    Raises:
        DataError: Fewer than two rows.
    """
    if len(rows) < 2:
        raise DataError(
            "lambda: no foundation rows to choose it on",
            code="heads.no_rows",
            field="heads.strong_convexity",
            hint="set heads.strong_convexity to a number, or add foundation subjects",
        )
    used = rows.thinned(MOST_ROWS)
    errors = left_out_errors(used.q * 2.0**-feature_bits, used.t * 2.0**-target_bits, candidates)
    losses = [_loss(error) for error in errors]
    best = min(range(len(candidates)), key=lambda i: (losses[i], -candidates[i]))
    return Choice(candidates[best], losses[best])


def left_out_errors(q: Floats, t: Floats, candidates: Sequence[float]) -> list[Floats]:
    """For every lambda, the error (n, K) on each row of ridge fitted on all the other rows.

    `e_i = (t_i - f_i) / (1 - h_i)`, with the fit `f = K (K + lambda)^-1 t`, `K = q q^T` and
    h the diagonal of `K (K + lambda)^-1`.

    Source: the PRESS identity, Allen 1974; Golub, Heath & Wahba 1979.
    """
    values, vectors = np.linalg.eigh(q @ q.T)
    values = np.maximum(values, 0.0)
    turned = vectors.T @ t
    errors = []
    for candidate in candidates:
        shrink = values / (values + candidate)
        fit = vectors @ (shrink[:, None] * turned)
        own = np.square(vectors) @ shrink
        errors.append((t - fit) / np.maximum(1 - own, _FREEDOM)[:, None])
    return errors


def _loss(errors: Floats) -> float:
    if errors.shape[1] == 1:
        return float(np.abs(errors).mean())
    return float(np.square(errors).mean())
