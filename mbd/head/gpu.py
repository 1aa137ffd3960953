"""Integer products and Cholesky factors through torch, on a GPU.

A float64 product of integers is exact while every partial sum stays below 2^53, on a GPU as
on a CPU: TF32 does not touch float64, and tensor cores round float64 as IEEE 754 says. But
cuBLAS can be told to emulate float64 by narrower integers, and memory can err. So every
product is checked with integers before it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float64]

_ELEMENTS = 2**25  # of one operand that is worked on at a time


class WrongProductError(RuntimeError):
    """The device returned a product that is not the integer product."""


class Processor:
    """Does the arithmetic on one torch device."""

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)

    def inner_product(
        self, left: npt.NDArray[Any], right: npt.NDArray[Any], chunk: int
    ) -> npt.NDArray[np.int64]:
        """`left^T @ right`, exactly: (n, a), (n, b) -> (a, b).

        With a random vector x the product C must satisfy `C x = left^T (right x)` modulo 2^64.
        An error below 2^t passes with a probability of at most 2^(t - 64). Source: Freivalds
        1977; the modulus is ours, it is what int64 computes with.

        Args:
            left, right: Of signed integer dtypes.
            chunk: Rows of which every sum of products is below 2^53.

        Raises:
            WrongProductError: The check failed.
            RuntimeError: The device cannot do it: no memory left, say.
        """
        (rows, a), b = left.shape, right.shape[1]
        step = max(1, min(chunk, _ELEMENTS // max(a, b, 1)))
        x = self._load(np.frombuffer(np.random.default_rng().bytes(8 * b), np.int64))
        total = torch.zeros((a, b), dtype=torch.int64, device=self._device)
        expected = torch.zeros(a, dtype=torch.int64, device=self._device)
        for start in range(0, rows, step):
            part = self._load(left[start : start + step])
            other = part if right is left else self._load(right[start : start + step])
            total += torch.mm(part.double().T, other.double()).long()
            expected += _times(part.T, _times(other, x))
        if not torch.equal(_times(total, x), expected):
            raise WrongProductError(
                f"{torch.cuda.get_device_name() if total.is_cuda else 'the device'} returned a "
                "wrong product (is float64 emulated?)"
            )
        return _as_array(total)

    def factor(
        self, gram: npt.NDArray[np.int64], a: float, ridge: float
    ) -> Callable[[Floats], Floats] | None:
        """Solves with `a G + ridge I`, (d, K) -> (d, K), or None: it has no Cholesky factor.

        Raises:
            RuntimeError: The device cannot do it.
        """
        matrix = self._load(gram).double().mul_(a)
        matrix.diagonal().add_(ridge)
        lower, info = torch.linalg.cholesky_ex(matrix)
        if int(info):
            return None

        def solve(right: Floats) -> Floats:
            return _as_array(torch.cholesky_solve(self._load(right), lower))

        return solve

    def _load(self, array: npt.NDArray[Any]) -> Tensor:
        """A copy on the device; torch shares no memory that may not be written."""
        return torch.from_numpy(np.array(array)).to(self._device)


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    """`matrix @ vector` modulo 2^64, of integers."""
    return (matrix * vector).sum(dim=1)


def _as_array(values: Tensor) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = values.cpu().numpy()
    return found
