"""Choices are what real heads would choose, and move from the default only for a reason."""

from __future__ import annotations

import numpy as np
import pytest

from mbd.errors import DataError
from mbd.head import selection
from mbd.head.selection import (
    BANDWIDTHS,
    Choice,
    Rows,
    choose_bandwidth,
    choose_head,
    choose_strong_convexity,
    clearly_less,
)
from tests.head.rows import TARGET_BITS, rows
from tests.head.test_left_out import BITS, error_of_the_real_head

CANDIDATES = (2.0**-6, 1.0, 64.0, 4096.0)


def choose(q, t, people=None) -> Choice:
    return choose_strong_convexity(
        Rows(q, t, people), feature_bits=BITS, target_bits=TARGET_BITS, candidates=CANDIDATES
    )


@pytest.mark.parametrize("seed", range(3))
def test_without_people_lambda_has_the_smallest_loss(seed):
    q, t = rows(40, seed=seed)
    losses = {
        c: np.mean([np.abs(error_of_the_real_head(q, t, [i], c)).mean() for i in range(40)])
        for c in CANDIDATES
    }

    found = choose(q, t)

    assert found.strong_convexity == min(losses, key=losses.__getitem__)
    assert found.loss == pytest.approx(min(losses.values()), rel=1e-5)
    assert found.people is None


def habits(strength: float, people: int = 12, each: int = 8):
    """Rows that tell who it is, with labels that follow from nothing but whose they are."""
    rng = np.random.default_rng(1)
    owner = np.repeat(np.arange(people), each)
    features = rng.normal(size=(people, 24))[owner] + 0.1 * rng.normal(size=(people * each, 24))
    labels = strength * rng.normal(size=people)[owner] + rng.normal(size=people * each)
    q = np.rint(features * 2 ** (BITS - 2)).astype(np.int16)
    return q, np.rint(labels[:, None] * 2**TARGET_BITS).astype(np.int32), owner


def test_new_people_decide_among_what_serves_known_people_as_well():
    q, t, owner = habits(0.5)
    alone, found = choose(q, t), choose(q, t, owner)

    assert found.strong_convexity != alone.strong_convexity
    assert found.people.mean() < _people_loss(q, t, owner, alone.strong_convexity)
    assert not clearly_less(alone.records, found.records, 1.0)


def test_new_people_cost_known_people_nothing_that_is_clear():
    """Whose habit is strong is known only from other records; new people would shrink it away."""
    q, t, owner = habits(3.0)
    found = choose(q, t, owner)
    best_for_new = min(CANDIDATES, key=lambda one: _people_loss(q, t, owner, one))

    assert best_for_new != found.strong_convexity == choose(q, t).strong_convexity


def _people_loss(q, t, owner, convexity: float) -> float:
    groups = [np.flatnonzero(owner == one) for one in np.unique(owner)]
    errors = [error_of_the_real_head(q, t, theirs, convexity) for theirs in groups]
    return float(np.abs(np.concatenate(errors)).mean())


def test_rows_of_one_person_say_nothing_of_new_people():
    q, t = rows(40)

    found = choose(q, t, np.zeros(40, np.int64))

    assert found.people is None
    assert found.strong_convexity == choose(q, t).strong_convexity


def test_pure_noise_asks_for_the_strongest_regulariser():
    q, _ = rows(60)
    t = np.rint(np.random.default_rng(0).normal(size=(60, 1)) * 2**TARGET_BITS).astype(np.int32)

    assert choose(q, t, np.arange(60) // 6).strong_convexity == 4096.0


@pytest.mark.parametrize("people", [None, np.arange(40) // 20], ids=["rows", "people"])
def test_constant_rows_are_no_reason_for_anything_but_the_largest(people):
    q, t = rows(40)

    found = choose(np.ones_like(q), np.zeros_like(t), people)

    assert found.strong_convexity == 4096.0
    assert found.loss == 0


def test_many_rows_are_thinned_evenly(monkeypatch):
    monkeypatch.setattr(selection, "MOST_ROWS", 30)
    q, t = rows(90)
    people = np.arange(90) // 9

    found, expected = choose(q, t, people), choose(q[::3], t[::3], people[::3])

    assert found.strong_convexity == expected.strong_convexity
    assert (found.losses == expected.losses).all()


def test_without_rows_it_says_what_to_set():
    q, t = rows(1)
    with pytest.raises(DataError, match="foundation"):
        choose(q, t)


def judged(loss_of, noise: float = 0.0):
    """A judge whose rows lose so much on average, and what it was asked for."""
    asked = []

    def judge(*candidate) -> Choice:
        asked.append(candidate)
        rng = np.random.default_rng(len(asked))
        losses = loss_of(*candidate) + noise * rng.normal(size=100)
        return Choice(candidate[-1] / 8, losses, None)

    return judge, asked


@pytest.mark.parametrize("best", BANDWIDTHS)
def test_the_bandwidth_is_the_bottom_of_the_valley(best):
    judge, asked = judged(lambda std: np.full(100, abs(np.log(std / best))))

    std, found = choose_bandwidth(judge)

    assert (std, found.strong_convexity, found.loss) == (best, best / 8, 0)
    assert len(asked) == len(set(asked))


def test_a_difference_that_may_be_chance_does_not_move_the_bandwidth():
    slightly_better, _ = judged(lambda std: 1 - 0.01 * (std == 1.4), noise=1.0)
    clearly_better, _ = judged(lambda std: 1 - 0.9 * (std == 1.4), noise=1.0)

    assert choose_bandwidth(slightly_better)[0] == 1.0
    assert choose_bandwidth(clearly_better)[0] == 1.4


def test_a_wider_head_is_taken_only_if_it_is_better():
    same, _ = judged(lambda width, std: 1.0, noise=1.0)
    better, _ = judged(lambda width, std: 1 - 0.4 * (width > 50), noise=1.0)

    assert choose_head(same, (50, 100), (1.0,)).width == 50
    assert choose_head(better, (50, 100), (1.0,)).width == 100


def test_every_width_has_a_bandwidth_of_its_own():
    """More features bear higher frequencies."""
    judge, _ = judged(lambda width, std: abs(np.log(std / (width / 50))) - width / 1000)

    found = choose_head(judge, (50, 100), BANDWIDTHS)

    assert (found.width, found.frequency_std) == (100, 2.0)


def test_what_is_set_is_only_judged():
    judge, asked = judged(lambda width, std: std)

    found = choose_head(judge, (64,), (3.0,))

    assert (found.width, found.frequency_std) == (64, 3.0)
    assert asked == [(64, 3.0)]
