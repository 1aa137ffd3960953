"""A trained workspace whose people lie in several buckets, made once and copied for each test."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import SERVICE, STATE
from tests.workflows.disk import SPEC
from tests.workspaces import TrainedWorkspace, build_workspace, describe, must_run

BUCKETS = 3


@dataclass(frozen=True)
class Spread:
    """A workspace with three buckets."""

    workspace: TrainedWorkspace
    users: tuple[str, ...]
    """Revocable people of the synthetic data: the first two in one bucket, the third in another,
    the others anywhere."""
    silent: str
    """Somebody whose only record is a test record: in the store, and in no training row."""


@pytest.fixture(scope="session")
def original_spread(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the workspace, and the memory of its log."""
    folder = tmp_path_factory.mktemp("spread")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / STATE))
        patch.setattr("mbd.data.store.bucket_count", lambda subjects, records: BUCKETS)
        build_workspace(folder / SERVICE)
        _add_silent(describe(folder / SERVICE), folder)
    return folder


@pytest.fixture
def spread(original_spread: Path, tmp_path: Path) -> Spread:
    """A fresh copy."""
    shutil.copytree(original_spread / STATE, tmp_path / STATE)
    shutil.copytree(original_spread / SERVICE, tmp_path / SERVICE)
    return spread_at(tmp_path / SERVICE)


def spread_at(root: Path) -> Spread:
    """Who is where in a copy of the workspace."""
    workspace = describe(root)
    session = workspace.session()
    (silent,) = (user for user in workspace.revocable if user.startswith("silent"))
    bucket_of = session.store().bucket_of
    buckets: dict[int, list[str]] = {}
    for user in workspace.revocable:
        if user != silent:
            buckets.setdefault(bucket_of(user), []).append(user)
    full, *others = sorted(buckets.values(), key=len, reverse=True)
    users = [*full[:2], others[0][0]]
    users += [user for some in buckets.values() for user in some if user not in users]
    return Spread(workspace, tuple(users), silent)


def _add_silent(workspace: TrainedWorkspace, folder: Path) -> None:
    """One test record with every channel, of a new revocable person."""
    cohorts = workspace.session().store().schema.cohorts
    names = (f"silent{number}" for number in range(100))
    user = next(name for name in names if cohorts.cohort_of(name) == "revocable")
    generator = np.random.default_rng(0)
    shapes = {"text": (4, 24), "audio": (5, 12), "vision": (6, 16)}
    arrays: dict[str, Any] = {
        name: generator.normal(size=(1, *shape)).astype("f4") for name, shape in shapes.items()
    }
    np.savez(
        folder / "silent.npz",
        label=np.array([0.5]),
        record=np.array(["silent-1"]),
        who=np.array([user]),
        split=np.array([2]),
        **arrays,
    )
    (folder / "silent.toml").write_text(SPEC)
    source = str(folder / "silent.npz")
    must_run(workspace.root, "data", "add", source, "--spec", str(folder / "silent.toml"))
