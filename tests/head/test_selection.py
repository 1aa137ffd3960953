from __future__ import annotations

import numpy as np
import pytest

from mbd.errors import DataError
from mbd.head.predict import head_scores
from mbd.head.selection import Choice, Fold, Rows, choose_strong_convexity
from mbd.head.solve import HeadScale, solve
from mbd.head.state import contribution
from tests.head.rows import TARGET_BITS, rows, scale

BITS = scale().feature_bits
CANDIDATES = (2.0**-6, 1.0, 64.0, 4096.0)


def fold(q, t, cut: int, base=None) -> Fold:
    base = np.zeros(t.shape) if base is None else base
    return Fold(Rows(q[:cut], t[:cut], base[:cut]), Rows(q[cut:], t[cut:], base[cut:]))


def choose(*folds: Fold) -> Choice:
    return choose_strong_convexity(
        folds, feature_bits=BITS, target_bits=TARGET_BITS, candidates=CANDIDATES
    )


def loss_of_the_real_head(q, t, cut: int, convexity: float) -> float:
    """Mean absolute error of the integer head on the judging rows."""
    units = HeadScale(feature_bits=BITS, target_bits=TARGET_BITS, strong_convexity=convexity)
    weights = solve(contribution(q[:cut], t[:cut]), units, 2.0**-40)
    truth = t[cut:] * 2.0**-TARGET_BITS
    return float(np.abs(head_scores(q[cut:], weights, 2.0**-40, units) - truth).mean())


@pytest.mark.parametrize("cut", [15, 80], ids=["fewer rows than features", "more rows"])
@pytest.mark.parametrize("seed", range(3))
def test_the_choice_is_best_for_the_real_head_on_the_judging_rows(cut, seed):
    q, t = rows(120, seed=seed)

    losses = {c: loss_of_the_real_head(q, t, cut, c) for c in CANDIDATES}
    found = choose(fold(q, t, cut))

    assert found.strong_convexity == min(losses, key=losses.__getitem__)
    assert found.loss == pytest.approx(min(losses.values()), rel=1e-6)


def test_pure_noise_asks_for_the_strongest_regulariser():
    q, _ = rows(200)
    t = np.rint(np.random.default_rng(0).normal(size=(200, 1)) * 2**TARGET_BITS).astype(np.int32)

    assert choose(fold(q, t, 60)).strong_convexity == 4096.0


def test_classes_are_judged_with_the_prediction_that_the_head_corrects():
    q, _ = rows(150)
    label = (q[:, 0] > 0).astype(int)
    base = np.tile([0.9, 0.1], (150, 1))
    t = np.rint((np.eye(2)[label] - base) * 2**TARGET_BITS).astype(np.int32)

    found = choose(fold(q, t, 100, base))

    assert found.strong_convexity < 4096.0
    assert found.loss < 0.2


def test_without_rows_on_both_sides_it_says_what_to_set():
    q, t = rows(5)
    with pytest.raises(DataError, match="foundation"):
        choose(fold(q, t, 5), fold(q, t, 0))
