"""Choosing lambda: on foundation rows only, before any revocable row is looked at.

The choice is an ordinary float64 computation; its result enters the policy, which is logged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mbd.errors import DataError
from mbd.head.integers import Integers

Floats = npt.NDArray[np.float64]

CANDIDATES: tuple[float, ...] = tuple(2.0**k for k in range(-8, 13))
"""Values of lambda that are tried."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Integer rows of one head: features (n, d), targets (n, K), and what is said already."""

    q: Integers
    t: Integers
    base: Floats
    """(n, K): the prediction that the head corrects, in label units."""


@dataclass(frozen=True)
class Fold:
    """Rows to fit on, and rows of the same cohort to judge by."""

    fit: Rows
    judge: Rows


@dataclass(frozen=True)
class Choice:
    """A chosen lambda and its mean loss on the judging rows."""

    strong_convexity: float
    loss: float


def choose_strong_convexity(
    folds: Sequence[Fold],
    *,
    feature_bits: int,
    target_bits: int,
    candidates: Sequence[float] = CANDIDATES,
) -> Choice:
    """The candidate with the smallest loss on the judging rows of all folds.

    Loss: absolute error of one output; with several, the share of wrong largest outputs.
    Ties are broken by the squared error, then by the larger lambda.

    Raises:
        DataError: No fold has rows on both sides.
    """
    usable = [fold for fold in folds if len(fold.fit.q) and len(fold.judge.q)]
    if not usable:
        raise DataError(
            "lambda: no foundation rows to choose it on",
            code="heads.no_rows",
            field="heads.strong_convexity",
            hint="set heads.strong_convexity to a number, or add foundation subjects",
        )
    losses = np.zeros((len(candidates), 2))
    for fold in usable:
        losses += _losses(fold, feature_bits, target_bits, candidates)
    best = min(range(len(candidates)), key=lambda i: (*losses[i], -candidates[i]))
    judged = sum(len(fold.judge.q) for fold in usable)
    return Choice(candidates[best], float(losses[best, 0]) / judged)


def _losses(fold: Fold, feature_bits: int, target_bits: int, candidates: Sequence[float]) -> Floats:
    """(candidates, 2): the loss and the squared error of one fold, summed over rows."""
    fit, judge = (rows.q * 2.0**-feature_bits for rows in (fold.fit, fold.judge))
    targets = fold.fit.t * 2.0**-target_bits
    truth = fold.judge.t * 2.0**-target_bits
    found = np.empty((len(candidates), 2))
    for i, scores in enumerate(_scores(fit, judge, targets, candidates)):
        found[i] = _loss(scores, truth, fold.judge.base), float(((scores - truth) ** 2).sum())
    return found


def _scores(
    fit: Floats, judge: Floats, targets: Floats, candidates: Sequence[float]
) -> list[Floats]:
    """Ridge predictions for every lambda from one eigendecomposition of the smaller side."""
    dual = len(fit) <= fit.shape[1]
    values, vectors = np.linalg.eigh(fit @ fit.T if dual else fit.T @ fit)
    right = vectors.T @ (targets if dual else fit.T @ targets)
    left = (judge @ fit.T if dual else judge) @ vectors
    values = np.maximum(values, 0.0)[:, None]
    return [left @ (right / (values + candidate)) for candidate in candidates]


def _loss(scores: Floats, truth: Floats, base: Floats) -> float:
    if truth.shape[1] == 1:
        return float(np.abs(scores - truth).sum())
    said, right = (scores + base).argmax(axis=1), (truth + base).argmax(axis=1)
    return float((said != right).sum())
