"""The same numbers in every run on one machine: of torch's algorithms only those that repeat."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


@contextlib.contextmanager
def repeatable() -> Iterator[None]:
    """Inside, torch refuses algorithms whose sums come in another order each time.

    On a GPU cuBLAS needs a workspace of fixed size for that, which it reads from the
    environment when it is first used.

    Source: PyTorch, "Reproducibility"; NVIDIA, cuBLAS, "Results Reproducibility".
    """
    os.environ.setdefault(_CUBLAS, ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
