"""A synthetic service: people who speak, write and look, each in a way of their own.

Every channel shows the label twice over: along a direction that all people share, so that
strangers can be read, and along one that belongs to the person (a habit), so that a model
which learned from somebody knows more about them, and loses that when they revoke.
The construction is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mbd.data.cohorts import CohortRule, CohortRules
from mbd.data.records import Records, Sequence2D
from mbd.data.schema import DatasetSchema
from mbd.errors import UsageError
from mbd.values import Cohort, ModalityInfo, Split, Task

LABEL_RANGE = (-3.0, 3.0)
FOUNDATION_FRACTION = 0.4
_SUBJECT_MEAN = 0.6  # how people differ in their usual mood, in label units
_SPREAD = 1.3  # how one person's mood varies, in label units


@dataclass(frozen=True, kw_only=True)
class _Channel:
    """How one modality shows a label; strengths are in standard deviations of step noise."""

    name: str
    width: int
    shortest: int
    longest: int
    blur: float
    """Noise on the label as this channel sees it, in label units."""
    shared: float
    """Strength of the direction that all people share."""
    habit: float
    """Strength of the direction that belongs to the person."""
    arousal: float
    """Strength of a shared direction that shows |label|."""
    style: float
    """How far the person's average lies from everybody's, per feature."""
    missing: float
    """Share of the records without this channel."""


_CHANNELS = (
    _Channel(
        name="audio", width=12, shortest=10, longest=40, blur=0.9,
        shared=0.5, habit=1.1, arousal=0.3, style=0.9, missing=0.15,
    ),
    _Channel(
        name="text", width=24, shortest=4, longest=20, blur=0.7,
        shared=0.9, habit=0.6, arousal=0.0, style=0.5, missing=0.10,
    ),
    _Channel(
        name="vision", width=16, shortest=6, longest=24, blur=1.0,
        shared=0.6, habit=0.9, arousal=0.4, style=0.8, missing=0.12,
    ),
)  # fmt: skip


def synthesise(users: int, records: int, seed: int) -> tuple[Records, DatasetSchema]:
    """Make `records` records in total, spread evenly over `users` people.

    Args:
        users: Subjects, named "0" to "N-1"; > 0.
        records: Records, named "r000000" onwards; at least one for each subject.
        seed: Everything follows from it; >= 0.

    Returns:
        Records with sequences of different lengths in three channels, some absent but never
        all; within each subject 70 % train, 10 % valid, 20 % test. And their schema, with
        40 % of the subjects foundation.

    Raises:
        UsageError: A number is out of range.
    """
    if users < 1 or records < users or seed < 0:
        raise UsageError(
            f"users {users}, records {records}, seed {seed}: "
            "want users >= 1, records >= users, seed >= 0",
            field="users",
        )
    rng = np.random.default_rng(seed)
    schema = _schema(seed)
    owner = np.arange(records, dtype=np.int64) * users // records
    labels = _labels(rng, users, owner)
    present = _present(rng, records)
    x = {
        channel.name: _sequences(rng, channel, labels, owner, users, present[:, index])
        for index, channel in enumerate(_CHANNELS)
    }
    subjects = tuple(str(user) for user in range(users))
    cohorts: list[Cohort] = [schema.cohorts.cohort_of(subject) for subject in subjects]
    made = Records(
        record_ids=tuple(f"r{index:06d}" for index in range(records)),
        subjects=tuple(subjects[user] for user in owner),
        cohorts=tuple(cohorts[user] for user in owner),
        splits=_splits(rng, owner),
        labels=labels,
        x=x,
    )
    return made, schema


def _schema(seed: int) -> DatasetSchema:
    return DatasetSchema(
        name="synthetic",
        task=Task(kind="regression", label_range=LABEL_RANGE),
        modalities=tuple(
            ModalityInfo(name=channel.name, width=channel.width, max_length=channel.longest)
            for channel in _CHANNELS
        ),
        cohorts=CohortRules(foundation=CohortRule(fraction=FOUNDATION_FRACTION, seed=seed)),
    )


def _labels(
    rng: np.random.Generator, users: int, owner: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """(N,) labels in steps of 0.2, as when several people rate and are averaged."""
    usual = _SUBJECT_MEAN * rng.standard_normal(users)
    moods = usual[owner] + _SPREAD * rng.standard_normal(len(owner))
    clipped: npt.NDArray[np.float64] = np.clip(np.round(moods * 5) / 5, *LABEL_RANGE)
    return clipped


def _present(rng: np.random.Generator, records: int) -> npt.NDArray[np.bool_]:
    """(N, M): which channels each record has; one is kept where all would be missing."""
    rates = np.array([channel.missing for channel in _CHANNELS])
    present: npt.NDArray[np.bool_] = rng.random((records, len(_CHANNELS))) >= rates
    kept = rng.integers(len(_CHANNELS), size=records)
    empty = ~present.any(axis=1)
    present[empty, kept[empty]] = True
    return present


def _sequences(
    rng: np.random.Generator,
    channel: _Channel,
    labels: npt.NDArray[np.float64],
    owner: npt.NDArray[np.int64],
    users: int,
    present: npt.NDArray[np.bool_],
) -> tuple[Sequence2D | None, ...]:
    """One (T, D) array per record: a constant part, modulated in time, plus step noise."""
    shared, aroused = _directions(rng, 2, channel.width)
    habit = _directions(rng, users, channel.width)
    style = channel.style * rng.standard_normal((users, channel.width))
    seen = (labels + channel.blur * rng.standard_normal(len(labels)))[:, None]  # (N, 1)
    signal = channel.shared * seen * shared + channel.habit * seen * habit[owner]
    signal += channel.arousal * np.abs(seen) * aroused  # (N, D)
    lengths = rng.integers(channel.shortest, channel.longest + 1, size=len(labels))
    ends = np.cumsum(lengths)
    steps = np.repeat(np.arange(len(labels)), lengths)  # (sum T,): record of each step
    within = (np.arange(len(steps)) - (ends - lengths)[steps]) / lengths[steps]  # 0 to 1
    swell = 1 + 0.5 * np.sin(2 * np.pi * (within + rng.random(len(labels))[steps]))
    values = rng.standard_normal((len(steps), channel.width), dtype=np.float32)
    values += (swell[:, None] * signal[steps]).astype(np.float32)
    values += style[owner][steps].astype(np.float32)
    parts = np.split(values, ends[:-1])
    return tuple(part if has else None for part, has in zip(parts, present, strict=True))


def _directions(rng: np.random.Generator, count: int, width: int) -> npt.NDArray[np.float64]:
    """(count, width) random directions of length one."""
    drawn = rng.standard_normal((count, width))
    unit: npt.NDArray[np.float64] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return unit


def _splits(rng: np.random.Generator, owner: npt.NDArray[np.int64]) -> tuple[Split, ...]:
    """70 / 10 / 20 within each subject, in random order; one record alone is train."""
    splits: list[Split] = []
    for count in np.bincount(owner):
        valid, test = round(0.1 * count), round(0.2 * count)
        shares: tuple[tuple[Split, int], ...] = (
            ("train", count - valid - test),
            ("valid", valid),
            ("test", test),
        )
        mine = [split for split, share in shares for _ in range(share)]
        splits += [mine[i] for i in rng.permutation(count)]
    return tuple(splits)
