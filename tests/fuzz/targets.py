"""The targets of examples/fuzz, imported as its own script imports them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

_EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def load_targets():
    """Target by name."""
    folders = [str(_EXAMPLES / "fuzz"), str(_EXAMPLES / "benchmarks")]
    sys.path[:0] = folders
    try:
        return importlib.import_module("targets").TARGETS
    finally:
        sys.path[:] = [one for one in sys.path if one not in folders]
