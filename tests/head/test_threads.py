"""Narrow heads are worked on by one BLAS thread, wide ones by all; afterwards nothing changed."""

from __future__ import annotations

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from mbd.head.threads import WORTH_THREADS, threads_for


def _threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.mark.parametrize(("width", "threads"), [(WORTH_THREADS - 1, {1}), (WORTH_THREADS, {2})])
def test_only_wide_heads_get_threads(width: int, threads: set[int]) -> None:
    with threadpool_limits(2, user_api="blas"):
        with threads_for(width):
            inside = _threads()
        after = _threads()

    assert inside == threads
    assert after == {2}


def test_the_threads_come_back_after_an_error() -> None:
    with threadpool_limits(2, user_api="blas"):
        with pytest.raises(ZeroDivisionError), threads_for(64):
            _ = 1 / 0
        after = _threads()

    assert after == {2}
