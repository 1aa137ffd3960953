"""Settings of core training."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

from mbd.errors import UsageError

PRECISIONS = ("float32", "bf16")
TERMS = ("reconstruction", "prototype", "consistency")
"""The terms of the objective beside the task itself: each setting is a weight."""
MOST_UNITS = 4096
"""Wider layers than a foundation cohort can teach, or a CPU hold."""
MOST_STEPS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class CoreSettings:
    """How a core is shaped and trained; a setting that exists is in range."""

    hidden: int = 32
    """h: width of a sample embedding."""
    property_width: int = 8
    """h_p: width of a property embedding."""
    activations: int = 64
    """A: width of the fusion layer."""
    dropout: float = 0.3
    """Share of hidden units dropped."""
    epochs: int = 100
    """Passes over the training rows, at most."""
    patience: int = 15
    """Epochs without a better validation loss before stopping."""
    batch_size: int = 64
    """Records per step."""
    precision: str = "float32"
    """Of products and convolutions while it learns: 'float32', or 'bf16' on a GPU, where weights
    and sums stay float32. A CPU computes in float32 whatever this says."""
    learning_rate: float = 2e-3
    """Of AdamW, at its peak; falls to zero over `epochs` along a cosine."""
    weight_decay: float = 1e-2
    """Of AdamW."""
    keep: float = 0.5
    """Probability that modality dropout keeps a modality that a record has."""
    reconstruction: float = 0.3
    """Weight of the reconstruction term."""
    prototype: float = 0.1
    """Weight of the term that pulls properties to their prototype."""
    consistency: float = 0.5
    """Weight of the consistency term."""

    def __post_init__(self) -> None:
        for name in ("hidden", "property_width", "activations"):
            self._want(name, 1 <= getattr(self, name) <= MOST_UNITS, f"1 to {MOST_UNITS}")
        for name in ("epochs", "patience", "batch_size"):
            self._want(name, 1 <= getattr(self, name) <= MOST_STEPS, f"1 to {MOST_STEPS}")
        for name in (*TERMS, "weight_decay"):
            self._want(name, 0 <= getattr(self, name) < math.inf, "finite, >= 0")
        self._want("learning_rate", 0 < self.learning_rate < 1, "between 0 and 1")
        self._want("dropout", 0 <= self.dropout < 1, ">= 0 and < 1")
        self._want("keep", 0 < self.keep < 1, "between 0 and 1")
        self._want("precision", self.precision in PRECISIONS, " or ".join(PRECISIONS))

    def _want(self, name: str, holds: bool, wanted: str) -> None:
        if not holds:
            raise UsageError(
                f"core.{name}: want {wanted}, got {getattr(self, name)}", field=f"core.{name}"
            )

    def with_overrides(self, overrides: Mapping[str, object]) -> CoreSettings:
        """These settings with some replaced by name.

        Raises:
            UsageError: An unknown name, a value of another type, or out of range.
        """
        known = {field.name: type(getattr(self, field.name)) for field in dataclasses.fields(self)}
        numbers = {
            n: _number(v) if known.get(n) in (int, float) else v for n, v in overrides.items()
        }
        for name, value in numbers.items():
            if name not in known:
                raise UsageError(
                    f"core.{name}: no such setting; there are {', '.join(sorted(known))}",
                    field=f"core.{name}",
                )
            allowed = (known[name],) if known[name] in (int, str) else (int, float)
            if isinstance(value, bool) or not isinstance(value, allowed):
                raise UsageError(
                    f"core.{name}: want a {known[name].__name__}, got {value!r}",
                    field=f"core.{name}",
                )
        return dataclasses.replace(self, **numbers)  # type: ignore[arg-type]

    @property
    def shape(self) -> dict[str, int | float]:
        """The part that a `CoreConfig` needs."""
        return {
            "hidden": self.hidden,
            "property_width": self.property_width,
            "activations": self.activations,
            "dropout": self.dropout,
        }


def _number(value: object) -> object:
    """A number that was written as text, as in the environment; anything else as it is."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            if isinstance(value, str):
                return kind(value)
    return value
