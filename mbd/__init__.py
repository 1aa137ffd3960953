"""Missing-by-Design: models of sentiment that can honour "stop using my voice".

`Workspace` is the Python counterpart of the commands, `Model` a released model without its
workspace. Importing this package imports neither: they are looked up when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from mbd.errors import (
    ArithmeticRefused,
    ConflictError,
    DataError,
    IntegrityError,
    MbdError,
    NotFoundError,
    RefusedError,
    StorageError,
    TemporaryError,
    UsageError,
    VersionError,
)

if TYPE_CHECKING:
    from mbd.api import Workspace
    from mbd.workflows.pretrained import Model

__version__ = "0.1.0"

__all__ = [
    "ArithmeticRefused",
    "ConflictError",
    "DataError",
    "IntegrityError",
    "MbdError",
    "Model",
    "NotFoundError",
    "RefusedError",
    "StorageError",
    "TemporaryError",
    "UsageError",
    "VersionError",
    "Workspace",
    "__version__",
]

_LAZY = {"Model": "mbd.workflows.pretrained", "Workspace": "mbd.api"}


def __getattr__(name: str) -> object:
    """`mbd.Workspace` and the like, imported when somebody asks for them."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
