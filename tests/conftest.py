"""Shared fixtures: a small trained workspace, made once and copied for each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from mbd.database.engine import Database
from mbd.workspace.ledger_place import Place
from tests.postgres import RunningServer, running_server
from tests.workspaces import TrainedWorkspace, build_workspace, describe

# How busy a machine is says nothing of a property.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

STATE = "state"
SERVICE = "service"


@pytest.fixture(autouse=True)
def private_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memories of logs stay inside the test, and no variable of the machine leaks in."""
    for name in [name for name in os.environ if name.startswith("MBD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / STATE))


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained workspace and the memory of its log."""
    folder = tmp_path_factory.mktemp("original")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / STATE))
        build_workspace(folder / SERVICE)
    return folder


@pytest.fixture
def trained_workspace(original: Path, tmp_path: Path) -> TrainedWorkspace:
    """A fresh copy of a small trained workspace, with its own memory of its log."""
    shutil.copytree(original / STATE, tmp_path / STATE)
    shutil.copytree(original / SERVICE, tmp_path / SERVICE)
    return describe(tmp_path / SERVICE)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[RunningServer]:
    """A PostgreSQL server for the whole run; a test that stops it starts it again."""
    with running_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: RunningServer) -> str:
    """The URL of an empty database of its own."""
    return postgres_server.new_database()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where a database may be made: on SQLite, and on PostgreSQL."""
    if request.param == "postgresql":
        server: RunningServer = request.getfixturevalue("postgres_server")
        return server.new_schema()
    (tmp_path / "db").mkdir()
    return tmp_path / "db" / "ledger.db"


@pytest.fixture
def database(place: Place) -> Database:
    """A fresh database: every promise holds on both."""
    return Database.create(place)
