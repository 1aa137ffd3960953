"""What an importer hands over, whatever the source: columns, and one sequence per record.

The rules of `mbd.data.rules` read nothing else, so they hold for every kind of source alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mbd.data.problems import Problems

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Channel:
    """One modality of all N records as the source has it."""

    width: int
    """D, features per step."""
    longest: int
    """Most steps that a record may have; >= 1."""
    values: Sequence[Array | None]
    """(T, D) of any numeric type for each record; None or T = 0 where it is absent."""
    flaws: Mapping[int, str] = field(default_factory=dict)
    """By row: why values that are there cannot be read, e.g. words for a number."""


class Fields(Protocol):
    """A source as a spec names it; each part is read when it is asked for.

    Every method raises DataError for what concerns the whole column, and notes in `problems`
    what concerns single records.  All columns have as many rows as `record_ids`, which is
    asked for first.
    """

    def record_ids(self, problems: Problems) -> tuple[str, ...]:
        """(N,) names, as they are: empty or doubled ones are the rules' affair."""

    def subjects(self, problems: Problems) -> tuple[str, ...]:
        """(N,) who each record is of."""

    def classes(self) -> tuple[str, ...]:
        """The classes of a classification."""

    def labels(self, classes: tuple[str, ...], problems: Problems) -> npt.NDArray[np.float64]:
        """(N,) labels, class indices if there are classes; NaN where there is none."""

    def splits(self) -> tuple[str, ...]:
        """(N,) values of the split column as text."""

    def channel(self, name: str, problems: Problems) -> Channel:
        """One modality."""
