"""The design of every head: width, bandwidth, lambda, noise and grid.

All that is chosen is chosen on rows of one cohort, foundation or calibration, before a
revocable subject's row is read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

from mbd.data.records import Records
from mbd.data.schema import DatasetSchema
from mbd.deletion.parameters import HeadPolicy, plan_head
from mbd.errors import ArithmeticRefused, UsageError
from mbd.head.feature_map import (
    FeatureMap,
    design_feature_map,
    forget_frequencies,
    quantise,
    quantise_targets,
    width_for,
)
from mbd.head.selection import (
    BANDWIDTHS,
    CANDIDATES,
    DEFAULT_BANDWIDTH,
    MOST_ROWS,
    WIDTHS,
    Choice,
    HeadChoice,
    Rows,
    choose_head,
    choose_strong_convexity,
    evenly,
)
from mbd.head.solve import HeadScale
from mbd.model.inference import Extractor
from mbd.values import Availability, availability_name, nonempty_subsets
from mbd.workflows.model import targets_of
from mbd.workflows.policy import HeadDesign
from mbd.workflows.recipe import Recipe
from mbd.workflows.rows import FloatRows, float_rows

Floats = npt.NDArray[np.float64]

TARGET_BITS = 15
"""Resolution of the residual targets: 2^-15 label units."""

DEFAULT_STRONG_CONVEXITY = 1.0
"""lambda where there are no foundation or calibration rows to choose it on."""

SMALL_WIDTH = 1024
"""d where a wider one does not fit into `MOST_STATE_BYTES`."""

MOST_STATE_BYTES = 2**30
"""What the Gram matrices of all heads may take, if the width is chosen."""


@dataclass(frozen=True, eq=False)
class Judged:
    """A choice, and whose rows it was judged on."""

    choice: HeadChoice
    subjects: tuple[str, ...]
    """Of each judged row."""

    def loss(self, of: Collection[str]) -> float:
        """Mean loss on the rows of these people; none if there is no row to judge on."""
        theirs = self.choice.judged.losses[[one in of for one in self.subjects]]
        return float(theirs.mean()) if len(theirs) else 0.0


@dataclass(frozen=True, eq=False)
class HeadDesigner:
    """Designs heads on top of what the extractor says of each record."""

    schema: DatasetSchema
    recipe: Recipe
    extractor: Extractor

    @property
    def subsets(self) -> list[Availability]:
        """The availabilities that have a head."""
        return list(nonempty_subsets(self.schema.names))

    def judge(self, records: Records, *, quickly: bool = False) -> dict[str, Judged]:
        """Choose for every head by what rows say of rows that were left out; no test rows.

        Args:
            records: Of people that the extractor's core, if any, has not seen.
            quickly: Choose lambda only: width and bandwidth are where a search begins.
        """
        used = records.select(i for i in range(len(records)) if records.splits[i] != "test")
        rows = float_rows(self.extractor, used)
        names = map(availability_name, self.subsets)
        judged = {
            name: self._judge_head(name, rows.get(name, FloatRows()), used, quickly)
            for name in names
        }
        forget_frequencies()
        return judged

    def heads(self, choices: Mapping[str, Judged]) -> dict[str, HeadDesign]:
        """The constants of every head; the tolerance must be reachable with room."""
        heads = {}
        for p in self.subsets:
            name = availability_name(p)
            chosen = choices[name].choice
            width = max(chosen.width, self.widths(p)[0])  # a core has inputs of its own
            design, bits = self._feature_map(p, width, chosen.frequency_std)
            wanted = chosen.judged.strong_convexity
            served = self._lambdas(name, design, bits)  # it may have been judged on shorter rows
            least = next((one for one in served if one >= wanted), served[-1])
            constants = self._plan(name, design, bits, least)
            heads[name] = HeadDesign(feature_map=design, constants=constants)
        return heads

    def widths(self, p: Availability) -> tuple[int, ...]:
        """The width that is set, or those that may be tried, in ascending order.

        Raises:
            UsageError: The width that is set has no room for the inputs.
        """
        wanted, inputs = self.recipe.heads.width, self.extractor.width(p)
        if isinstance(wanted, int):
            self._refuse_narrow(p, inputs, wanted)
            return (wanted,)
        each = 8 * len(self.subsets)
        fitting = [one for one in WIDTHS if each * one**2 <= MOST_STATE_BYTES] or [SMALL_WIDTH]
        return tuple(sorted({width_for(inputs, one) for one in fitting}))

    def _refuse_narrow(self, p: Availability, inputs: int, width: int) -> None:
        if inputs >= width:
            name = availability_name(p)
            raise UsageError(
                f"head {name!r} has {inputs} inputs, more than heads.width = {width}",
                field="heads.width",
                hint=f'set heads.width to "auto", or to at least {width_for(inputs, width)}',
            )

    def _judge_head(self, name: str, rows: FloatRows, records: Records, quickly: bool) -> Judged:
        p = frozenset(name.split("+"))
        widths, bandwidths = self.widths(p), self._bandwidths()
        if quickly:
            widths = widths[:1]
            bandwidths = (DEFAULT_BANDWIDTH,) if len(bandwidths) > 1 else bandwidths
        if len(rows.records) < 2:
            return Judged(self._unjudged(widths[0]), ())
        chosen = evenly(len(rows.records), MOST_ROWS)
        subjects = tuple(records.subjects[rows.records[i]] for i in chosen)
        people = np.unique(subjects, return_inverse=True)[1]
        features, t = np.stack(rows.features)[chosen], self._targets(rows, records)[chosen]

        def judge(width: int, frequency_std: float) -> Choice:
            design, bits = self._feature_map(p, width, frequency_std)
            return choose_strong_convexity(
                Rows(design.expand(quantise(features, design.clip)), t, people),
                feature_bits=bits,
                target_bits=TARGET_BITS,
                candidates=self._lambdas(name, design, bits),
            )

        return Judged(choose_head(judge, widths, bandwidths), subjects)

    def _targets(self, rows: FloatRows, records: Records) -> npt.NDArray[np.int32]:
        targets = targets_of(self.schema.task, records.labels)[rows.records]
        return quantise_targets(targets - np.stack(rows.core), TARGET_BITS)

    def _bandwidths(self) -> tuple[float, ...]:
        fixed = self.recipe.heads.frequency_std
        return BANDWIDTHS if isinstance(fixed, str) else (fixed,)

    def _unjudged(self, width: int) -> HeadChoice:
        """Without rows to judge on."""
        std, fixed = self.recipe.heads.frequency_std, self.recipe.heads.strong_convexity
        convexity = DEFAULT_STRONG_CONVEXITY if isinstance(fixed, str) else fixed
        return HeadChoice(
            width=width,
            frequency_std=DEFAULT_BANDWIDTH if isinstance(std, str) else std,
            judged=Choice(convexity, np.zeros(0), None),
        )

    def _lambdas(self, name: str, design: FeatureMap, bits: int) -> tuple[float, ...]:
        """The one that is set, or those that a release can serve: wide inputs have long rows.

        If none can be served, the largest stays: planning the head then says what to change.
        """
        fixed = self.recipe.heads.strong_convexity
        if not isinstance(fixed, str):
            return (fixed,)

        def serves(candidate: float) -> bool:
            try:
                self._plan(name, design, bits, candidate)
            except ArithmeticRefused:
                return False
            return True

        return tuple(filter(serves, CANDIDATES)) or CANDIDATES[-1:]

    def _plan(
        self, name: str, design: FeatureMap, bits: int, strong_convexity: float
    ) -> HeadPolicy:
        """The constants of one head.

        Raises:
            ArithmeticRefused: Its tolerance is out of reach.
        """
        recipe, task = self.recipe, self.schema.task
        return plan_head(
            head=name,
            dimension=design.width,
            outputs=task.outputs,
            norm_squared=design.norm_squared,
            scale=HeadScale(
                feature_bits=bits, target_bits=TARGET_BITS, strong_convexity=strong_convexity
            ),
            noise=recipe.heads.noise,
            range_width=task.range_width,
            planned_rows=recipe.heads.planned_rows,
            selected=len(self.subsets),
            epsilon=recipe.epsilon,
            delta=recipe.delta,
        )

    def _feature_map(
        self, p: Availability, width: int, frequency_std: float
    ) -> tuple[FeatureMap, int]:
        """The integer features of a head, and the bits of their unit."""
        return design_feature_map(
            inputs=self.extractor.width(p),
            width=width,
            frequency_std=frequency_std / sqrt(self.extractor.blocks(p)),
            clip=self.extractor.clip(p),
            seed=f"{self.recipe.seed} {availability_name(p)}",
        )
