"""Data that arrives at a trained workspace, and the state that it must lead to."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mbd.data.records import Records, Sequence2D
from mbd.head.state import digest_of_heads
from mbd.values import Cohort
from mbd.workflows.model import ServedModel
from mbd.workflows.rows import learning_rows, prepare
from mbd.workflows.session import Session
from mbd.workflows.sums import sum_rows
from tests.workflows.disk import SPEC
from tests.workspaces import TrainedWorkspace

SHAPES = {"audio": (5, 12), "text": (4, 24), "vision": (6, 16)}
ALL = tuple(SHAPES)


def new_records(
    session: Session,
    names: list[str],
    subject: str,
    channels: tuple[str, ...] = ALL,
    *,
    seed: int = 0,
) -> Records:
    """Training records of one person with these channels."""
    generator, count = np.random.default_rng(seed), len(names)
    cohort: Cohort = session.store().schema.cohorts.cohort_of(subject)
    return Records(
        record_ids=tuple(names),
        subjects=(subject,) * count,
        cohorts=(cohort,) * count,
        splits=("train",) * count,
        labels=generator.uniform(-2, 2, count),
        x={
            name: tuple(
                generator.normal(size=shape).astype(np.float32) if name in channels else None
                for _ in names
            )
            for name, shape in SHAPES.items()
        },
    )


def archive(
    workspace: TrainedWorkspace,
    names: list[str],
    subject: str,
    channels: tuple[str, ...] = ALL,
    *,
    seed: int = 0,
) -> list[str]:
    """The same as files: SRC and options for `mbd data add` and `mbd data import`."""
    folder: Path = workspace.root.parent
    made = new_records(workspace.session(), names, subject, channels, seed=seed)
    arrays = {
        name: np.stack([_missing(name) if value is None else value for value in made.x[name]])
        for name in SHAPES
    }
    path = folder / f"{names[0]}.npz"
    np.savez(
        path,
        label=made.labels,
        record=np.array(names),
        who=np.array(made.subjects),
        split=np.zeros(len(names), int),
        **arrays,
    )
    path.with_suffix(".toml").write_text(SPEC)
    return [str(path), "--spec", str(path.with_suffix(".toml"))]


def _missing(name: str) -> Sequence2D:
    return np.full(SHAPES[name], np.nan, np.float32)


def from_scratch(session: Session) -> str:
    """Digest of the state that the policy makes of everything held, learned row by row."""
    current, store = session.model(), session.store()
    model = ServedModel(current.snapshot, current.policy)
    records = store.read(suppressions=session.suppressions)
    rows = prepare(model.extractor, model.policy, learning_rows(model.policy, records))
    states = sum_rows(model.policy, [rows])
    return digest_of_heads({name: state.digest() for name, state in states.items()})
