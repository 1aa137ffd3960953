"""Lambda is what real heads would choose that never saw the row they are judged on."""

from __future__ import annotations

import numpy as np
import pytest

from mbd.errors import DataError
from mbd.head import selection
from mbd.head.predict import head_scores
from mbd.head.selection import Choice, Rows, choose_strong_convexity, left_out_errors
from mbd.head.solve import HeadScale, solve
from mbd.head.state import contribution
from tests.head.rows import TARGET_BITS, rows, scale

BITS = scale().feature_bits
CANDIDATES = (2.0**-6, 1.0, 64.0, 4096.0)


def choose(q, t) -> Choice:
    return choose_strong_convexity(
        Rows(q, t), feature_bits=BITS, target_bits=TARGET_BITS, candidates=CANDIDATES
    )


def error_of_the_real_head(q, t, out: int, convexity: float) -> np.ndarray:
    """On row `out`, of the integer head whose state does not hold that row."""
    units = HeadScale(feature_bits=BITS, target_bits=TARGET_BITS, strong_convexity=convexity)
    state = contribution(q, t) - contribution(q[out : out + 1], t[out : out + 1])
    scores = head_scores(q[out : out + 1], solve(state, units, 2.0**-40), 2.0**-40, units)
    return t[out] * 2.0**-TARGET_BITS - scores[0]


@pytest.mark.parametrize("count", [15, 60], ids=["fewer rows than features", "more rows"])
def test_errors_are_those_of_heads_without_the_row(count):
    q, t = rows(count)

    errors = left_out_errors(q * 2.0**-BITS, t * 2.0**-TARGET_BITS, CANDIDATES)

    for found, convexity in zip(errors, CANDIDATES, strict=True):
        for out in (0, count // 2, count - 1):
            expected = error_of_the_real_head(q, t, out, convexity)
            assert found[out] == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_choice_has_the_smallest_loss(seed):
    q, t = rows(40, seed=seed)
    losses = {
        c: np.mean([np.abs(error_of_the_real_head(q, t, i, c)).mean() for i in range(40)])
        for c in CANDIDATES
    }

    found = choose(q, t)

    assert found.strong_convexity == min(losses, key=losses.__getitem__)
    assert found.loss == pytest.approx(min(losses.values()), rel=1e-5)


def test_pure_noise_asks_for_the_strongest_regulariser():
    q, _ = rows(60)
    t = np.rint(np.random.default_rng(0).normal(size=(60, 1)) * 2**TARGET_BITS).astype(np.int32)

    assert choose(q, t).strong_convexity == 4096.0


def test_many_rows_are_thinned_evenly(monkeypatch):
    monkeypatch.setattr(selection, "MOST_ROWS", 30)
    q, t = rows(90)

    assert choose(q, t) == choose(q[::3], t[::3])


def test_without_rows_it_says_what_to_set():
    q, t = rows(1)
    with pytest.raises(DataError, match="foundation"):
        choose(q, t)
