from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mbd.head.predict import head_scores
from tests.head.rows import rows, scale

GRID = 2.0**-40


@given(st.integers(0, 99), st.integers(1, 61))
@settings(deadline=None, max_examples=30)
def test_a_score_is_the_product_of_features_and_weights(seed, bits):
    q, _ = rows(4, seed=seed)
    weights = np.random.default_rng(seed).integers(-(2**bits), 2**bits, (24, 3))

    found = head_scores(q, weights, GRID, scale())

    exact = q.astype(object) @ weights.astype(object)
    unit = Fraction(GRID) / 2 ** scale().feature_bits
    largest = int(np.abs(exact).max()) + 2**40
    for score, whole in zip(found.flat, exact.flat, strict=True):
        assert abs(Fraction(score) - whole * unit) <= largest * unit / 2**50


def test_a_score_has_the_same_bits_alone_and_beside_others():
    q, _ = rows(50, inputs=20, width=300)
    weights = np.random.default_rng(0).integers(-(2**50), 2**50, (300, 2))
    units = scale(inputs=20, width=300)
    together = head_scores(q, weights, GRID, units)

    alone = np.concatenate([head_scores(q[i : i + 1], weights, GRID, units) for i in range(50)])

    assert (together == alone).all()
