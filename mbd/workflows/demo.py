"""The one part of the demonstration that no command can do: cheat.

An engine that did nothing erases the rows, signs and logs, but leaves state and model as they
were. Its certificate is formally perfect; only the retained data gives it away.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from mbd.database import pointers
from mbd.database.engine import Database
from mbd.workspace.layout import open_workspace


@dataclass(frozen=True)
class KeptModel:
    """A copy of state and model as they are before a revocation."""

    folder: Path
    pointers: dict[str, str]


def keep_model(root: Path, folder: Path) -> KeptModel:
    """Copy the current state and model of the workspace at `root` into `folder`."""
    workspace = open_workspace(root)
    for source in (workspace.models, workspace.state):
        shutil.copytree(source, folder / source.name)
    with Database.open(workspace.ledger_db).read() as connection:
        found = {name: pointers.get(connection, name) for name in ("model", "state")}
    return KeptModel(folder, {name: value for name, value in found.items() if value is not None})


def plant_lazy_engine(root: Path, before: KeptModel, cheat: Path) -> None:
    """Make `cheat` a copy of `root` whose engine did nothing but erase rows and sign."""
    shutil.copytree(root, cheat)
    workspace = open_workspace(cheat)
    for target in (workspace.models, workspace.state):
        shutil.rmtree(target)
        shutil.copytree(before.folder / target.name, target)
    with Database.open(workspace.ledger_db).transaction() as connection:
        for name, value in before.pointers.items():
            pointers.set(connection, name, value)
