"""Choosing width, bandwidth and lambda of a head: on foundation rows only.

All of them judge, each by heads that never saw it (`mbd.head.left_out`), before any revocable
row is looked at. A choice moves away from the default only where the gain is clearly more than
chance. It is an ordinary float64 computation; its result enters the policy, which is logged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import sqrt

import numpy as np
import numpy.typing as npt

from mbd.errors import DataError
from mbd.head.integers import Integers, Ints
from mbd.head.left_out import LeftOut

Floats = npt.NDArray[np.float64]

CANDIDATES: tuple[float, ...] = tuple(2.0**k for k in range(-8, 15))
"""Values of lambda that are tried."""

BANDWIDTHS: tuple[float, ...] = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8)
"""Deviations of the frequencies that may be tried, per unit of a standardised channel."""

DEFAULT_BANDWIDTH = 1.0
"""Where the walk begins."""

WIDTHS: tuple[int, ...] = (2048, 4096)
"""Values of d that are tried."""

CLEARLY = 2.0
"""Standard errors by which another bandwidth must be better."""

WIDER = 1.0
"""Standard errors by which a wider head must be better: it is the better approximation."""

MOST_ROWS = 1000
"""More rows than this are thinned evenly: lambda stands for noise, not for a number of rows."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Integer rows of one head: features (n, d) and targets (n, K)."""

    q: Integers
    t: Integers
    people: Ints | None = None
    """A number for the person of each row (n,); None: nobody says whose they are."""

    def __len__(self) -> int:
        return len(self.q)

    def thinned(self, most: int) -> Rows:
        """At most `most` of the rows, evenly spaced."""
        if len(self) <= most:
            return self
        chosen = evenly(len(self), most)
        people = None if self.people is None else self.people[chosen]
        return Rows(self.q[chosen], self.t[chosen], people)

    @property
    def members(self) -> list[Ints]:
        """Indices of the rows of each person; none where there are fewer than two people."""
        if self.people is None:
            return []
        known = np.unique(self.people)
        return [np.flatnonzero(self.people == one) for one in known] if len(known) > 1 else []


@dataclass(frozen=True, eq=False)
class Choice:
    """A chosen lambda and its loss on each row."""

    strong_convexity: float
    records: Floats
    """The row left out (n,): a new record of somebody whose other records are known."""
    people: Floats | None
    """All rows of the person left out (n,): somebody new; None where there is only one."""

    @property
    def losses(self) -> Floats:
        """Both uses alike: (n,)."""
        return self.records if self.people is None else (self.records + self.people) / 2

    @property
    def loss(self) -> float:
        """Mean over the rows and both uses."""
        return float(self.losses.mean())


@dataclass(frozen=True, eq=False)
class HeadChoice:
    """What is chosen for one head."""

    width: int
    frequency_std: float
    """Per unit of a standardised channel."""
    judged: Choice


def evenly(count: int, most: int) -> Ints:
    """At most `most` of `count` indices, evenly spaced."""
    return np.arange(min(most, count)) * count // min(most, count)


def choose_head(
    judge: Callable[[int, float], Choice], widths: Sequence[int], bandwidths: Sequence[float]
) -> HeadChoice:
    """The narrowest head, unless a wider one is better; each with its own bandwidth.

    Args:
        judge: The best lambda of a width and a bandwidth, and its losses, always of the same rows.
        widths, bandwidths: In ascending order. Where several bandwidths may be taken,
            `DEFAULT_BANDWIDTH` is one of them.
    """
    best: HeadChoice | None = None
    for width in widths:
        std, found = choose_bandwidth(partial(judge, width), bandwidths)
        if best is None or clearly_less(found.records, best.judged.records, WIDER):
            best = HeadChoice(width, std, found)
    assert best is not None
    return best


def choose_bandwidth(
    judge: Callable[[float], Choice], candidates: Sequence[float] = BANDWIDTHS
) -> tuple[float, Choice]:
    """Walk from the default to one side while the loss clearly falls, else to the other.

    The loss has one valley in practice, so three or four candidates are judged, not all.
    """
    start = DEFAULT_BANDWIDTH if len(candidates) > 1 else candidates[0]
    first = candidates.index(start)
    best = (start, judge(start))
    for path in (candidates[first + 1 :], candidates[:first][::-1]):
        for candidate in path:
            found = judge(candidate)
            if not clearly_less(found.records, best[1].records, CLEARLY):
                break
            best = (candidate, found)
        if best[0] != start:
            break
    return best


def choose_strong_convexity(
    rows: Rows,
    *,
    feature_bits: int,
    target_bits: int,
    candidates: Sequence[float] = CANDIDATES,
) -> Choice:
    """Of the values that serve known people as well as the best, the one that serves new ones best.

    As well as: with a loss that is within one standard error of the least, row by row. New
    people alone would ask for values that cost known people far more than they bring.
    Loss: mean absolute error of one output; with several, mean squared error.

    Args:
        rows: Two or more; order says nothing but which are used when there are too many.
        feature_bits, target_bits: Units of `q` and `t`.
        candidates: On a tie, the larger one is taken.

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
    fit = LeftOut.of(used.q * 2.0**-feature_bits, used.t * 2.0**-target_bits)
    records = {one: _losses(fit.rows(one)) for one in sorted(candidates, reverse=True)}
    least = min(records, key=lambda one: records[one].mean())
    members = used.members
    if not members:
        return Choice(least, records[least], None)
    close = [one for one in records if not clearly_less(records[least], records[one], 1.0)]
    people = {one: _losses(fit.groups(one, members)) for one in close}
    best = min(people, key=lambda one: people[one].mean())
    return Choice(best, records[best], people[best])


def clearly_less(losses: Floats, others: Floats, standard_errors: float) -> bool:
    """Whether the mean is less by more than so many standard errors of the difference."""
    gained = others - losses
    return bool(gained.mean() > standard_errors * gained.std() / sqrt(len(gained)))


def _losses(errors: Floats) -> Floats:
    """Of each row: absolute error of one output, mean squared error of several."""
    if errors.shape[1] == 1:
        return np.asarray(np.abs(errors[:, 0]))
    return np.asarray(np.square(errors).mean(axis=1))
