"""How many threads BLAS may start: none where they cost more than they save.

OpenBLAS's threads wait for one another by spinning. On a busy machine, or in a container that
may use fewer processors than it sees, the factor of a matrix of width 192 then took 100 ms
instead of one. Results are the same integers with any number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from threadpoolctl import ThreadpoolController

WORTH_THREADS = 2048
"""Narrower matrices are worked on by one thread: at most some tens of milliseconds."""


@contextmanager
def threads_for(width: int) -> Iterator[None]:
    """Let BLAS use threads inside only for matrices of at least `WORTH_THREADS` columns."""
    if width >= WORTH_THREADS:
        yield
        return
    with _controller().limit(limits=1, user_api="blas"):
        yield


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    """The libraries that are loaded when a head is first solved; numpy's and scipy's are."""
    return ThreadpoolController()
