"""Errors in closed form are those of real heads that never saw the row, or its person."""

from __future__ import annotations

import numpy as np
import pytest

from mbd.head.left_out import LeftOut
from mbd.head.predict import head_scores
from mbd.head.solve import HeadScale, solve
from mbd.head.state import contribution
from tests.head.rows import TARGET_BITS, rows, scale

BITS = scale().feature_bits
CONVEXITIES = (2.0**-20, 2.0**-6, 1.0, 64.0, 4096.0)


def left_out(q, t) -> LeftOut:
    return LeftOut.of(q * 2.0**-BITS, t * 2.0**-TARGET_BITS)


def error_of_the_real_head(q, t, out, convexity: float) -> np.ndarray:
    """On rows `out`, of the integer head whose state does not hold them."""
    units = HeadScale(feature_bits=BITS, target_bits=TARGET_BITS, strong_convexity=convexity)
    state = contribution(q, t) - contribution(q[out], t[out])
    scores = head_scores(q[out], solve(state, units, 2.0**-40), 2.0**-40, units)
    return t[out] * 2.0**-TARGET_BITS - scores


@pytest.mark.parametrize("count", [15, 60], ids=["fewer rows than features", "more rows"])
def test_of_one_row(count):
    q, t = rows(count)
    fit = left_out(q, t)

    for convexity in CONVEXITIES:
        errors = fit.rows(convexity)
        for out in (0, count // 2, count - 1):
            expected = error_of_the_real_head(q, t, [out], convexity)
            assert errors[out] == pytest.approx(expected[0], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("count", [15, 60], ids=["fewer rows than features", "more rows"])
def test_of_all_rows_of_a_person(count):
    q, t = rows(count, outputs=2)
    people = np.random.default_rng(0).permutation(np.arange(count) % 4)
    members = [np.flatnonzero(people == one) for one in range(4)]
    fit = left_out(q, t)

    for convexity in CONVEXITIES:
        errors = fit.groups(convexity, members)
        for theirs in members:
            expected = error_of_the_real_head(q, t, theirs, convexity)
            assert errors[theirs] == pytest.approx(expected, rel=1e-5, abs=1e-5)
