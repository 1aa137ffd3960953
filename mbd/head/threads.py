"""How many threads BLAS may start: none where they cost more than they save.

OpenBLAS's threads wait for one another by spinning. On a busy machine, or in a container that
may use fewer processors than it sees, the factor of a matrix of width 192 then took 100 ms
instead of one. Results are the same integers with any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
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


def over_blocks(rows: int, width: int, step: int, work: Callable[[slice], None]) -> None:
    """Call `work` with slices of at most `step` rows of a matrix that together cover it.

    A wide matrix is shared out among as many threads as BLAS may use, and BLAS gets one in
    each: blocks are small, and threads that meet after each of them would mostly wait.

    Args:
        rows, width: Shape of the matrix.
        step: Rows of a block.
        work: Handles one block; blocks may be handled at the same time, in any order.
    """
    blocks = [slice(start, min(start + step, rows)) for start in range(0, rows, step)]
    allowed = _allowed() if width >= WORTH_THREADS else 1
    with _controller().limit(limits=1, user_api="blas"):
        if allowed == 1:
            for block in blocks:
                work(block)
            return
        with ThreadPoolExecutor(allowed) as pool:
            tasks = [pool.submit(copy_context().run, work, block) for block in blocks]
            for task in tasks:
                task.result()


def _allowed() -> int:
    """Threads that BLAS may use now."""
    found = [pool["num_threads"] for pool in _controller().info() if pool["user_api"] == "blas"]
    return max(found, default=1)


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    """The libraries that are loaded when a head is first solved; numpy's and scipy's are."""
    return ThreadpoolController()
