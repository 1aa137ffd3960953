"""Intervals of metrics: how far they would move with other people.

Records of one person are alike, so people are drawn, not records: the percentile bootstrap over
clusters. Source: Davison and Hinkley 1997, Bootstrap Methods and their Application, section 3.8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mbd.evaluation.draws import uniforms
from mbd.evaluation.metrics import Family, decided
from mbd.values import Task

LEVEL = 0.95
REPLICATES = 200
_FEWEST = 5
"""With fewer subjects than this an interval says nothing."""

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Resamples:
    """Draws of subjects with replacement, the same for every row of a report."""

    subjects: Sequence[str]
    """Of each record."""
    seed: int = 0
    replicates: int = REPLICATES

    @cached_property
    def _people(self) -> tuple[list[str], Indices]:
        names, of_record = np.unique(np.array(self.subjects, dtype=object), return_inverse=True)
        return list(names), of_record.astype(np.intp)

    @cached_property
    def _counts(self) -> npt.NDArray[np.intp]:
        """How often each subject was drawn: (replicates, subjects)."""
        count = len(self._people[0])
        drawn = uniforms(self.replicates * count, "bootstrap", self.seed) * count
        rows = drawn.astype(np.intp).reshape(self.replicates, count)
        return np.stack([np.bincount(row, minlength=count) for row in rows])

    def intervals(
        self, index: Indices, truth: Floats, prediction: Floats, task: Task, family: Family
    ) -> dict[str, tuple[float, float]]:
        """The 95 % interval of each metric.

        Args:
            index: (n,) which of the records were scored.
            truth: (n,) their labels.
            prediction: (n, K).
            task: What the labels are.
            family: The metrics.
        """
        owner = self._people[1][index]
        if len(np.unique(owner)) < _FEWEST:
            return {}
        chosen = decided(prediction, task)
        times = self._counts[:, owner]  # (replicates, n)
        found = [
            family.compute(np.repeat(truth, count), np.repeat(chosen, count))
            for count in times
            if count.any()
        ]
        tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
        quantiles = {name: np.quantile([one[name] for one in found], tails) for name in found[0]}
        return {name: (float(low), float(high)) for name, (low, high) in quantiles.items()}
