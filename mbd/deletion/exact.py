"""Exact deletion: subtract, then solve from the state alone. No noise, no old head.

The subtraction is the first step of every method; the result of `exact_update` is a function
of the new state, which is the state of a system that never saw the rows.
"""

from __future__ import annotations

from mbd.errors import ArithmeticRefused
from mbd.head.integers import Integers, Ints
from mbd.head.solve import HeadScale, solve
from mbd.head.state import HeadState


def subtract_rows(state: HeadState, q: Integers, t: Integers) -> HeadState:
    """The state without these rows: (n, d) features and (n, K) targets, as they were added.

    Raises:
        ArithmeticRefused: The rows cannot have been in the state.
    """
    return state.without(q, t)


def exact_update(state: HeadState, scale: HeadScale, grid: float) -> Ints:
    """The optimum of the state, rounded to the grid: (d, K) multiples of g."""
    return solve(state, scale, grid)


def refuse_unchanged(before: str, after: str, rows_removed: int) -> None:
    """Refuse to issue for a deletion that removed rows and left the state as it was.

    Args:
        before, after: Digests of the state.
        rows_removed: Rows that were to be removed from it.

    Raises:
        ArithmeticRefused: The digests are equal although rows were to be removed, or differ
            although there were none.
    """
    if rows_removed > 0 and before == after:
        raise ArithmeticRefused(
            f"{rows_removed} rows were to be removed, but the state did not change",
            code="deletion.unchanged",
        )
    if rows_removed == 0 and before != after:
        raise ArithmeticRefused(
            "no row was to be removed, but the state changed", code="deletion.changed"
        )
