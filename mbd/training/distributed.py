"""Several processes on one training: bytes from the first to all, and integer sums over all.

`torchrun -m mbd train` starts them and tells each its rank through the environment. They talk
through gloo, in memory on CPUs, wherever cores are trained: what they exchange are integers, and
an integer sum is the same in any order, for any number of ranks. Nothing is pickled.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mbd.errors import ArithmeticRefused, TemporaryError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

Ints = npt.NDArray[np.int64]

PATIENCE = timedelta(days=7)
"""How long a rank waits for one that is alive: the first trains a core meanwhile."""


def launched() -> bool:
    """Whether this process is one of several; asks the environment, and imports nothing."""
    size = os.environ.get("WORLD_SIZE", "1")
    return "RANK" in os.environ and size.isdecimal() and int(size) > 1


@dataclass(frozen=True)
class Ranks:
    """This process among the others; rank 0 is the one that writes."""

    rank: int
    size: int

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def owns(self, number: int) -> bool:
        """Whether a piece of work is this process's; each is exactly one's."""
        return self.owner(number) == self.rank

    def owner(self, number: int) -> int:
        """Whose it is."""
        return number % self.size

    def share(self, content: bytes = b"") -> bytes:
        """What the first has, in every process."""
        import torch
        import torch.distributed as dist

        with _talking():
            length = torch.tensor([len(content)])
            dist.broadcast(length, src=0)
            data = _tensor(content) if self.first else torch.empty(int(length), dtype=torch.uint8)
            if len(data):
                dist.broadcast(data, src=0)
        return data.numpy().tobytes()

    def send(self, content: bytes) -> None:
        """Give something to the first."""
        import torch
        import torch.distributed as dist

        with _talking():
            dist.send(torch.tensor([len(content)]), dst=0)
            if content:
                dist.send(_tensor(content), dst=0)

    def receive(self, rank: int) -> bytes:
        """What another gives, in the order in which it does."""
        import torch
        import torch.distributed as dist

        with _talking():
            length = torch.zeros(1, dtype=torch.int64)
            dist.recv(length, src=rank)
            data = torch.empty(int(length), dtype=torch.uint8)
            if len(data):
                dist.recv(data, src=rank)
        return data.numpy().tobytes()

    def sum(self, arrays: Sequence[Ints]) -> list[Ints]:
        """The sums over all processes, in each of them: an all-reduce of int64.

        Raises:
            ArithmeticRefused: A sum could leave int64; in every process.
        """
        import torch
        import torch.distributed as dist

        tensors = [torch.from_numpy(np.array(array, np.int64)) for array in arrays]
        bounds = [max(abs(int(t.max())), abs(int(t.min()))) if t.numel() else 0 for t in tensors]
        largest = torch.tensor([min(max(bounds, default=0), 2**63 - 1)])
        with _talking():
            dist.all_reduce(largest, dist.ReduceOp.MAX)
            if int(largest) * self.size >= 2**63:
                raise ArithmeticRefused("an integer sum over ranks may leave the range of int64")
            for tensor in tensors:
                dist.all_reduce(tensor)
        return [tensor.numpy() for tensor in tensors]


@contextmanager
def joined() -> Iterator[Ranks | None]:
    """Meet the other processes, if there are any; None for one that is alone.

    Raises:
        UsageError: The environment does not say how to meet.
        TemporaryError: One of them is gone.
    """
    if not launched():
        yield None
        return
    import torch.distributed as dist

    with _talking():
        try:
            dist.init_process_group("gloo", timeout=PATIENCE)
        except ValueError as error:
            raise UsageError(f"WORLD_SIZE is set, but {error}", hint="use torchrun") from error
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


@contextmanager
def _talking() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # torch has no other for a peer that is gone
        raise TemporaryError(
            "another process of this training ended",
            code="ranks.lost",
            hint="its own message says why; the model in service is what it was",
        ) from error


def _tensor(content: bytes) -> Tensor:
    import torch

    return torch.from_numpy(np.frombuffer(bytearray(content), np.uint8))
