"""A small head with rows of some subjects, for the tests of the deletion engine."""

from __future__ import annotations

from mbd.deletion.parameters import HeadPolicy, plan_head
from mbd.head.state import HeadState, contribution
from tests.head.rows import feature_map, rows, scale

INPUTS, WIDTH, OUTPUTS = 8, 96, 2
DELTA = 1e-6


def data(count: int = 200, seed: int = 0):
    """Features and targets of `count` rows."""
    return rows(count, inputs=INPUTS, width=WIDTH, outputs=OUTPUTS, seed=seed)


def state_of(count: int = 200, seed: int = 0) -> HeadState:
    return contribution(*data(count, seed))


def policy(
    head: str = "audio", *, convexity: float = 2.0, selected: int = 4, **changes: float
) -> HeadPolicy:
    """The policy of a head as training would plan it."""
    made, _ = feature_map(INPUTS, WIDTH)
    arguments = {
        "noise": 0.001,
        "range_width": 6.0,
        "planned_rows": 2000,
        "epsilon": 1.0,
        **changes,
    }
    return plan_head(
        head=head,
        dimension=WIDTH,
        outputs=OUTPUTS,
        norm_squared=made.norm_squared,
        scale=scale(convexity, inputs=INPUTS, width=WIDTH),
        selected=selected,
        delta=DELTA,
        **arguments,
    )
