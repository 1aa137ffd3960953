"""Whether a GPU does the large products and factors; the integers are the same either way.

Here is the choice, `mbd.head.gpu` has the arithmetic. Importing torch takes a second or more,
so a process that has not needed it, like a revocation, imports it only for work that takes the
CPU much longer, and only where a GPU's driver is. What a GPU returns is checked before it is
used (`gpu.Processor`). Once it fails, or is wanted and not there, the process says so and
goes on with the CPU: nobody's request waits for a GPU.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import numpy as np
import numpy.typing as npt

from mbd.errors import UsageError

if TYPE_CHECKING:
    from mbd.head.gpu import Processor

Device = Literal["auto", "cpu", "cuda"]
Floats = npt.NDArray[np.float64]
Solver = Callable[[Floats], Floats]
"""(d, K) right sides -> (d, K) solutions."""

WORTH_COPYING = 2**31
"""Multiplications from which on a GPU gains more than copying to it and back costs."""

WORTH_IMPORTING = 2**37
"""Multiplications from which on importing torch pays too: some seconds of a small CPU."""

_DRIVERS = ("/dev/nvidiactl", "/dev/dxg")
_wanted: ContextVar[Device] = ContextVar("device", default="auto")
_broken = False  # a GPU failed in this process, so it gets no more work

T = TypeVar("T")


@contextmanager
def working_on(device: Device) -> Iterator[None]:
    """Inside, large work is done there; 'auto': on a GPU if there is one."""
    token = _wanted.set(device)
    try:
        yield
    finally:
        _wanted.reset(token)


def resolve(device: Device) -> Literal["cpu", "cuda"]:
    """Where 'auto' is, for work that uses torch anyway.

    Raises:
        UsageError: 'cuda' is wanted, and there is none.
    """
    if device == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise UsageError("no CUDA device here", field="device", hint="use `--device cpu`")
    return "cpu"


def inner_product(
    left: npt.NDArray[Any], right: npt.NDArray[Any], chunk: int
) -> npt.NDArray[np.int64] | None:
    """`left^T @ right` if a GPU is to make it and did; None: it is the CPU's.

    Args:
        left, right: (n, a) and (n, b) of a signed integer dtype or of dtype object.
        chunk: Rows of which every sum of products is below 2^53; no total leaves int64.
    """
    if left.dtype.kind != "i" or right.dtype.kind != "i":
        return None
    work = left.shape[0] * left.shape[1] * right.shape[1]
    return _attempt(work, lambda gpu: gpu.inner_product(left, right, chunk))


def factor(
    gram: npt.NDArray[np.int64], a: float, ridge: float, on_cpu: Callable[[], Solver]
) -> Solver:
    """Solves with a float64 Cholesky factor of `a G + ridge I`, a GPU's if it is large.

    Args:
        gram: G, (d, d).
        a, ridge: Finite, positive.
        on_cpu: Makes the CPU's; asked for where there is no other, and for every refusal.
    """
    made = _attempt(len(gram) ** 3 // 6, lambda gpu: gpu.factor(gram, a, ridge))
    return on_cpu() if made is None else _Replaceable(made, on_cpu)


class _Replaceable:
    """A GPU's solver, until it fails: the CPU's from then on."""

    def __init__(self, solver: Solver, on_cpu: Callable[[], Solver]) -> None:
        self._solver, self._on_cpu = solver, on_cpu

    def __call__(self, right: Floats) -> Floats:
        found = _guarded(lambda: self._solver(right))
        if found is None:
            self._solver = self._on_cpu()
            found = self._solver(right)
        return found


def _attempt(work: int, run: Callable[[Processor], T]) -> T | None:
    gpu = _processor_for(work)
    return None if gpu is None else _guarded(lambda: run(gpu))


def _guarded(run: Callable[[], T]) -> T | None:
    try:
        return run()
    except RuntimeError as error:  # torch has no other: out of memory, a driver that failed
        _give_up(str(error))
        return None


def _give_up(reason: str) -> None:
    global _broken
    _broken = True
    warnings.warn(f"GPU not used any more: {reason}", RuntimeWarning, stacklevel=2)


def _processor_for(work: int) -> Processor | None:
    wanted = _wanted.get()
    if wanted == "cpu" or work < WORTH_COPYING or _broken:
        return None
    idle = wanted == "auto" and "torch" not in sys.modules
    if idle and (work < WORTH_IMPORTING or not any(Path(path).exists() for path in _DRIVERS)):
        return None
    if resolve("auto") == "cuda":
        return _processor()
    if wanted == "cuda":  # no reason to fail half way: the CPU's integers are the same
        _give_up("no CUDA device here")
    return None


@lru_cache(maxsize=1)
def _processor() -> Processor:
    from mbd.head.gpu import Processor

    return Processor("cuda")


def as_device(text: str) -> Device:
    """A device's name, checked.

    Raises:
        UsageError: There is no such device.
    """
    if text not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device {text!r}: want auto, cpu or cuda", field="device")
    return cast("Device", text)
