"""Intervals draw people, not records, and the same people whatever the order."""

import numpy as np

from mbd.evaluation.intervals import Resamples
from mbd.evaluation.metrics import family_of
from mbd.values import Task

SCORES = Task(kind="regression", label_range=(-3.0, 3.0))
FAMILY = family_of(SCORES)


def people(count: int, each: int, seed: int = 0):
    """Each person errs by an amount of their own; their records are copies of one another."""
    rng = np.random.default_rng(seed)
    subjects = tuple(f"s{i:02}" for i in range(count) for _ in range(each))
    truth = np.repeat(rng.uniform(-3, 3, count), each)
    return subjects, truth, (truth + np.repeat(rng.standard_normal(count), each))[:, None]


def mae(subjects, truth, said, index=None, seed=0):
    chosen = np.arange(len(truth)) if index is None else index
    drawn = Resamples(subjects, seed)
    return drawn.intervals(chosen, truth[chosen], said[chosen], SCORES, FAMILY)["mae"]


def test_copies_of_a_person_make_no_interval_narrower():
    one, many = mae(*people(20, 1)), mae(*people(20, 9))

    np.testing.assert_allclose(one, many)
    assert one[0] < one[1]


def test_the_order_of_records_does_not_matter():
    subjects, truth, said = people(12, 3)
    order = np.random.default_rng(5).permutation(len(truth))

    shuffled = mae(tuple(subjects[i] for i in order), truth[order], said[order])

    np.testing.assert_allclose(shuffled, mae(subjects, truth, said))


def test_the_seed_is_all_there_is_to_chance():
    assert mae(*people(12, 3)) == mae(*people(12, 3))
    assert mae(*people(12, 3)) != mae(*people(12, 3), seed=1)


def test_most_intervals_hold_the_error_of_everybody():
    """500 people, 25 of them asked, 60 times: about 95 % of the intervals hold the truth."""
    _, truth, said = people(500, 1)
    everybody = np.abs(truth - said[:, 0]).mean()
    rng, hits = np.random.default_rng(1), 0
    for k in range(60):
        part = rng.choice(500, 25, replace=False)
        low, high = mae([f"s{i}" for i in part], truth[part], said[part], seed=k)
        hits += low <= everybody <= high
    assert 48 <= hits <= 60


def test_a_part_of_the_records_is_drawn_with_its_people():
    """One of three copies of everybody is as good as all three, wherever it stands."""
    everything = people(12, 3)
    for first in range(3):
        part = mae(*everything, index=np.arange(first, 36, 3))
        np.testing.assert_allclose(part, mae(*everything))


def test_with_few_people_there_are_no_intervals():
    subjects, truth, said = people(4, 9)
    assert Resamples(subjects).intervals(np.arange(36), truth, said, SCORES, FAMILY) == {}
