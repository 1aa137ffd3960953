"""Ranks in processes of their own: the same integers everywhere, and nobody waits for the dead."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mbd.errors import ArithmeticRefused, TemporaryError, UsageError
from mbd.training.distributed import Ranks, joined, launched
from tests.workflows.children import die

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["torch.distributed", "mbd.training.distributed"])

Work = Callable[[Ranks], str]


def together(size: int, work: Work, folder: Path) -> list[str]:
    """What each of so many ranks returned; empty for one that was killed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = [
        _CONTEXT.Process(target=_rank, args=(rank, size, port, work, folder))
        for rank in range(size)
    ]
    for one in ranks:
        one.start()
    for one in ranks:
        one.join(120)
        assert one.exitcode is not None, "a rank waits for ever"
    files = [folder / str(rank) for rank in range(size)]
    return [file.read_text() if file.exists() else "" for file in files]


def _rank(rank: int, size: int, port: int, work: Work, folder: Path) -> None:
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    try:
        with joined() as ranks:
            assert ranks is not None
            found = work(ranks)
    except (ArithmeticRefused, TemporaryError) as error:
        found = error.code
    (folder / str(rank)).write_text(found)


def everything(ranks: Ranks) -> str:
    """Broadcast, gather and sum."""
    word = ranks.share(b"" if ranks.rank else b"policy").decode()
    empty = ranks.share()
    if ranks.first:
        told = b"|".join(ranks.receive(rank) for rank in range(1, ranks.size))
    else:
        ranks.send(b"x" * (ranks.rank - 1))  # of the second, nothing
        told = b""
    # Integers that a float64 would not hold.
    mine = np.array([[2**60 + ranks.rank, -(2**53) - 1]])
    (total,) = ranks.sum([mine])
    return f"{word} {empty!r} {ranks.share(told)!r} {total.tolist()}"


@pytest.mark.parametrize("size", [2, 3])
def test_every_rank_has_the_same_integers(tmp_path: Path, size: int) -> None:
    found = together(size, everything, tmp_path)
    total = [[sum(2**60 + rank for rank in range(size)), size * (-(2**53) - 1)]]
    told = b"|".join(b"x" * (rank - 1) for rank in range(1, size))
    assert found == [f"policy b'' {told!r} {total}"] * size


def too_large(ranks: Ranks) -> str:
    values = [[0, -(2**62)], [0, 1]][ranks.rank]
    return str(ranks.sum([np.array(values), np.zeros((0, 3), np.int64)]))


def test_a_sum_that_may_overflow_is_refused_by_all(tmp_path: Path) -> None:
    assert together(2, too_large, tmp_path) == ["arithmetic.refused"] * 2


def losing(lost: int, ranks: Ranks) -> str:
    ranks.share(b"begin")
    if ranks.rank == lost:
        die()
    return ranks.sum([np.ones(3, np.int64)])[0].tobytes().hex()


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_nobody_waits_for_a_rank_that_was_killed(tmp_path: Path, lost: int) -> None:
    found = together(3, partial(losing, lost), tmp_path)
    assert found == ["" if rank == lost else "ranks.lost" for rank in range(3)]


def test_alone_there_are_no_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with joined() as ranks:
        assert ranks is None
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert not launched()
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(UsageError), joined():
        pass


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_each_piece_of_work_is_one_ranks(size: int) -> None:
    ranks = [Ranks(rank, size) for rank in range(size)]
    for number in range(20):
        assert sum(one.owns(number) for one in ranks) == 1
        assert ranks[ranks[0].owner(number)].owns(number)
