"""Whom a core learns from and whom it is judged on, all of them of the foundation cohort.

What is judged here decides what the core is made of, so it may look at foundation rows
alone: test rows, and people who may revoke, have no part in it.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import quality
from quality import Setting

from mbd.data.records import Records, Sequence2D
from mbd.data.schema import DatasetSchema
from mbd.data.synthetic import synthesise

JUDGES = 1 / 3


def foundation_alone(setting: Setting) -> Setting:
    """A third of the foundation people judge what the others teach; nobody else is left.

    The judges' training and validation rows become, in turn, rows that heads are fitted on
    and rows that are judged. They are called revocable, and the judged rows test.
    """
    known = setting.records.where(cohort="foundation")
    kept = known.select(i for i, split in enumerate(known.splits) if split != "test")
    people = sorted(set(kept.subjects))
    drawn = np.random.default_rng(setting.seed).permutation(people)
    judges = set(drawn[: round(len(people) * JUDGES)].tolist())
    theirs = [subject in judges for subject in kept.subjects]
    turn = np.cumsum(theirs) % 2
    records = dataclasses.replace(
        kept,
        cohorts=tuple("revocable" if judge else "foundation" for judge in theirs),
        splits=tuple(
            ("train", "test")[turn[i]] if judge else kept.splits[i]
            for i, judge in enumerate(theirs)
        ),
    )
    return dataclasses.replace(setting, records=records)


def cut_in_two(setting: Setting) -> Setting:
    """Two channels become four, of half of the features each: so several can be absent."""
    if len(setting.schema.names) > 2:
        return setting
    x: dict[str, tuple[Sequence2D | None, ...]] = {}
    infos = []
    for info in setting.schema.modalities:
        half, column = info.width // 2, setting.records.x[info.name]
        for name, part in ((f"{info.name}_1", slice(half)), (f"{info.name}_2", slice(half, None))):
            x[name] = tuple(None if one is None else one[:, part] for one in column)
            width = half if part.start is None else info.width - half
            infos.append(dataclasses.replace(info, name=name, width=width))
    schema: DatasetSchema = dataclasses.replace(setting.schema, modalities=tuple(infos))
    records: Records = dataclasses.replace(setting.records, x=x)
    return dataclasses.replace(setting, records=records, schema=schema)


def draw(data: Path, name: str, seed: int, width: int) -> Setting:
    """One data set under one seed, its foundation people alone."""
    if name in quality.SETS:
        return foundation_alone(quality.load(data, name, seed, width))
    records, schema = synthesise(60, 1200, seed)
    return foundation_alone(Setting(records, schema, seed, width))
