"""What each term of the objective was, on average over an epoch: for curves, not for training.

A term reports its own value, unweighted, to whoever records at that moment. So a list of terms
is written down nowhere: one that is added to the objective appears in the curves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec

import torch
from torch import Tensor

P = ParamSpec("P")


class Terms:
    """Sums of values by name; they stay on their device until somebody asks."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, name: str, value: Tensor) -> None:
        """One more value of a term."""
        value = value.detach().double()
        self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._counts[name] = self._counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """The mean of each term over its values, by name."""
        return {name: float(self._sums[name]) / self._counts[name] for name in sorted(self._sums)}


_recorder: ContextVar[Terms | None] = ContextVar("terms", default=None)


@contextmanager
def recording() -> Iterator[Terms]:
    """Inside, terms are added up."""
    terms = Terms()
    token = _recorder.set(terms)
    try:
        yield terms
    finally:
        _recorder.reset(token)


def term(name: str) -> Callable[[Callable[P, Tensor]], Callable[P, Tensor]]:
    """Mark a function as a term of the objective: its values are recorded under this name."""

    def mark(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
        @wraps(function)
        def reporting(*arguments: P.args, **named: P.kwargs) -> Tensor:
            value = function(*arguments, **named)
            recorder = _recorder.get()
            if recorder is not None:
                with torch.no_grad():
                    recorder.add(name, value)
            return value

        return reporting

    return mark
