"""How evenly a model uses its channels. Names and summaries are ours.

Shapley's value itself is from Shapley 1953, A value for n-person games; here the players are
modalities and a coalition earns what a metric says of the model that sees only them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mbd.evaluation.metrics import LOWER_IS_BETTER, score
from mbd.evaluation.protocol import Trial
from mbd.values import Availability, nonempty_subsets

Game = Mapping[Availability, float]
"""What each coalition earns, the empty one too; larger is better."""


@dataclass(frozen=True)
class Contributions:
    """What each modality adds to a metric, on records that have all of them."""

    metric: str
    n: int
    shapley: dict[str, float]
    """Per modality, in units of the metric; > 0 makes it better."""
    equity: float


@dataclass(frozen=True)
class Gradients:
    """How hard the task pulls at each encoder of a trained core."""

    n: int
    """Validation records."""
    norms: dict[str, float]
    """Per modality `|d loss / d theta_m| / sqrt(|theta_m|)`: root mean square per parameter."""

    @property
    def imbalance(self) -> float:
        """See `imbalance`."""
        return imbalance(self.norms)


def shapley(game: Game, modalities: Sequence[str]) -> dict[str, float]:
    """Shapley's value of each modality.

    `phi_m = sum over S without m of |S|! (M - |S| - 1)! / M! (v(S + m) - v(S))`; the values
    sum to `v(all) - v(nothing)`.
    """
    count = len(modalities)
    coalitions = [frozenset[str](), *nonempty_subsets(modalities)]

    def weight(size: int) -> float:
        return 1 / (count * math.comb(count - 1, size))

    return {
        m: math.fsum(weight(len(s)) * (game[s | {m}] - game[s]) for s in coalitions if m not in s)
        for m in modalities
    }


def equity(contributions: Mapping[str, float]) -> float:
    """How evenly modalities contribute: 1 if all alike, 0 if one alone (or none) helps.

    Entropy of the shares of what helps: `-sum_m s_m log s_m / log M` with
    `s_m = max(phi_m, 0) / sum_k max(phi_k, 0)`; 1 for a single modality that helps. Ours.
    """
    helping = [value for value in contributions.values() if value > 0]
    if len(contributions) == 1:
        return float(len(helping))
    total = math.fsum(helping)
    shares = [value / total for value in helping]
    entropy = -math.fsum(share * math.log(share) for share in shares if share > 0)
    return min(1.0, max(0.0, entropy / math.log(len(contributions))))


def imbalance(norms: Mapping[str, float]) -> float:
    """`(max g - min g) / (max g + min g)`: 0 if all norms are equal, 1 if one is zero. Ours."""
    high, low = max(norms.values()), min(norms.values())
    return (high - low) / (high + low) if high else 0.0


def contributions(trial: Trial, modalities: Sequence[str]) -> list[Contributions]:
    """Shapley's values for the leading metrics; empty if no record has every modality.

    With nothing, a model can only say the constant.
    """
    complete = [i for i in range(len(trial.records)) if trial.arrays(i).keys() >= set(modalities)]
    if not complete:
        return []
    games = _games(trial, complete, modalities)
    return [_of_metric(name, len(complete), games, modalities) for name in trial.family.leading]


def _games(
    trial: Trial, complete: Sequence[int], modalities: Sequence[str]
) -> dict[Availability, dict[str, float]]:
    truth = trial.records.labels[list(complete)]
    constant = trial.baseline[None].repeat(len(complete), axis=0)
    games = {frozenset[str](): score(truth, constant, trial.task, trial.family)}
    for p in nonempty_subsets(modalities):
        inputs = {i: {m: x for m, x in trial.arrays(i).items() if m in p} for i in complete}
        games[p] = score(truth, trial.predictions(inputs), trial.task, trial.family)
    return games


def _of_metric(
    name: str,
    n: int,
    games: Mapping[Availability, Mapping[str, float]],
    modalities: Sequence[str],
) -> Contributions:
    sign = -1 if name in LOWER_IS_BETTER else 1
    values = shapley({p: sign * scores[name] for p, scores in games.items()}, modalities)
    return Contributions(name, n, values, equity(values))
