"""Why nothing without noise survives a request: a kept warm start would tell of the revoked rows
again with every later release.

Two worlds: in one a subject's rows were learned and then revoked, in the other they never were.
Later requests of others release the same head again. Most of them bring few rows or none to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mbd.deletion.exact import subtract_rows
from mbd.deletion.parameters import head_parameters
from mbd.deletion.surgical import surgical_update
from mbd.head.state import HeadState, contribution
from mbd.privacy.zcdp import compose, epsilon_of, rho_of
from tests.deletion.heads import DELTA, OUTPUTS, WIDTH, data, policy

HEAD = policy(convexity=20.0, selected=1)
PARAMETERS = head_parameters([HEAD], 1.0, DELTA)[0]
LATER = 5
"""Requests after the subject's own."""

Floats = npt.NDArray[np.float64]
Engine = Callable[[HeadState], Floats]
"""From the state after a request to the head before its noise, in label units."""


def states(*, with_subject: bool) -> Iterator[HeadState]:
    """The state at training, after the subject's request, and after each later one."""
    q, t = data(200)
    retained = contribution(q[20:], t[20:])
    yield contribution(q, t) if with_subject else retained
    yield subtract_rows(contribution(q, t), q[:20], t[:20]) if with_subject else retained
    for _ in range(LATER):
        yield retained


def distances(engine: Callable[[], Engine]) -> list[float]:
    """Between the heads of the two worlds, before noise, one for each request."""
    heads = []
    for with_subject in (True, False):
        update = engine()
        heads.append([update(state) for state in states(with_subject=with_subject)])
    return [float(np.linalg.norm(a - b)) for a, b in zip(*heads, strict=True)][1:]


def epsilons(found: list[float]) -> list[float]:
    """What the releases up to each request cost the subject together."""
    rhos = [rho_of(distance, PARAMETERS.sigma) if distance else 0.0 for distance in found]
    return [
        epsilon_of(compose(rhos[: i + 1]), DELTA) if any(rhos[: i + 1]) else 0.0
        for i in range(len(rhos))
    ]


class KeptWarmStart:
    """An engine as it must not be: it goes on from its last head before noise, down to tau."""

    def __init__(self) -> None:
        self._head = np.zeros((WIDTH, OUTPUTS))

    def __call__(self, state: HeadState) -> Floats:
        matrix = state.gram * HEAD.scale.a + HEAD.scale.strong_convexity * np.eye(WIDTH)
        right = state.cross * HEAD.scale.b
        longest = np.linalg.eigvalsh(matrix)[-1]
        while np.linalg.norm(left := right - matrix @ self._head) > PARAMETERS.tolerance:
            self._head = self._head + left / longest
        return self._head


def the_engine() -> Engine:
    def update(state: HeadState) -> Floats:
        rounded = surgical_update(
            state, HEAD.scale, tolerance=PARAMETERS.tolerance, grid=PARAMETERS.grid
        )
        return rounded.weights * rounded.grid

    return update


def test_a_kept_warm_start_costs_the_subject_something_with_every_later_release():
    found = distances(KeptWarmStart)
    costs = epsilons(found)

    assert all(0 < distance <= PARAMETERS.sensitivity for distance in found)
    assert costs[0] <= 1.0, "the subject's own release is as private as it says"
    assert all(later > earlier for earlier, later in pairwise(costs))
    assert costs[-1] > 1.5 * costs[0]


def test_the_engine_makes_the_same_heads_in_both_worlds():
    """Bit for bit, before noise: whatever comes after the subject's release is free."""
    found = distances(the_engine)

    assert found == [0.0] * (LATER + 1)
    assert epsilons(found) == [0.0] * (LATER + 1)
