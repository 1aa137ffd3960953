"""Errors on rows that a head never saw, without fitting it again.

A head is for new records of people whose other records it has learned from, and it meets new
people. So a row is left out alone, and with all other rows of its person. For ridge regression
both follow from one fit of all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mbd.head.integers import Ints

Floats = npt.NDArray[np.float64]

_ROUNDING = 1e-6
"""Of the least share of themselves that rows can fail to predict, what rounding may take."""


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Ridge on rows q (n, d) with targets t (n, K), for every lambda.

    With `K = q q^T`, the fit is `f = S t`, `S = K (K + lambda)^-1`. Of rows I that are left out
    together, the errors are `(1 - S_II)^-1 (t_I - f_I)`.

    Source: the PRESS identity, Allen 1974; Golub, Heath & Wahba 1979; for blocks of rows it
    follows in the same way from Woodbury's identity.
    """

    t: Floats
    values: Floats
    """Eigenvalues of K: (n,), none below zero."""
    vectors: Floats
    """Its eigenvectors: (n, n)."""

    @classmethod
    def of(cls, q: Floats, t: Floats) -> LeftOut:
        """One decomposition, which serves every lambda."""
        values, vectors = np.linalg.eigh(q @ q.T)
        return cls(t, np.maximum(values, 0.0), vectors)

    def rows(self, strong_convexity: float) -> Floats:
        """Error (n, K) on each row of the fit of all other rows."""
        own = np.square(self.vectors) @ self._shrink(strong_convexity)
        free = np.maximum(1 - own, self._least_free(strong_convexity))
        return np.asarray(self._residual(strong_convexity) / free[:, None])

    def groups(self, strong_convexity: float, members: Sequence[Ints]) -> Floats:
        """Error (n, K) on each row of the fit of the rows of all other groups.

        Args:
            members: Indices of the rows of each group; every row is in one.
        """
        shrink, errors = self._shrink(strong_convexity), self._residual(strong_convexity)
        least = _ROUNDING * self._least_free(strong_convexity)
        for group in members:
            part = self.vectors[group]
            own = (part * shrink) @ part.T
            errors[group] = np.linalg.solve((1 + least) * np.eye(len(group)) - own, errors[group])
        return errors

    def _least_free(self, strong_convexity: float) -> float:
        """Least eigenvalue of `1 - S`: no row and no group is predicted better by itself."""
        return float(strong_convexity / (self.values.max(initial=0.0) + strong_convexity))

    def _shrink(self, strong_convexity: float) -> Floats:
        return np.asarray(self.values / (self.values + strong_convexity))

    def _residual(self, strong_convexity: float) -> Floats:
        shrunk = self._shrink(strong_convexity)[:, None] * (self.vectors.T @ self.t)
        return np.asarray(self.t - self.vectors @ shrunk)
