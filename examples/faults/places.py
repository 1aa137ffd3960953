"""Workspaces to break: one is made and trained, every trial gets a copy of its own."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands import Child, Commands, Ran
from faults import Fault

USERS, RECORDS, SEED = 48, 480, 1
SMALL = {
    "heads.width": 160,
    "core.epochs": 2,
    "core.hidden": 8,
    "core.property_width": 4,
    "core.activations": 16,
}
"""Settings of a model that is trained within a second; it predicts nothing well."""
MODALITY = "audio"
SERVICE, STATE = "service", "state"


class Broken(Exception):
    """A promise was not kept; the text says which."""


@dataclass(frozen=True)
class Known:
    """What a database says, read from a copy of its files as they lie there."""

    stages: Mapping[str, str]
    """How far each request is."""
    attempts: Mapping[str, int]
    """How many times noise was drawn for each request."""
    drawn: int
    """Entries in the ledger that say that noise was drawn."""

    def is_suppressed(self, request_id: str) -> bool:
        """Whether nobody may use the channel any more."""
        return self.stages.get(request_id, "received") not in ("received", "cancelled")


@dataclass(frozen=True)
class Place:
    """A folder with a workspace and the memory of its log."""

    folder: Path
    commands: Commands

    @property
    def service(self) -> Path:
        """The workspace."""
        return self.folder / SERVICE

    @property
    def database(self) -> Path:
        """The ledger of the workspace."""
        return self.service / "ledger.db"

    def start(self, *arguments: str, **options: Any) -> Child:
        """Begin a command here (see `Commands.start`); faults strike the memory of the log too."""
        state = self.folder / STATE
        return self.commands.start(
            self.service, list(arguments), state=state, below=self.folder, **options
        )

    def run(self, *arguments: str, fault: Fault | None = None, **options: Any) -> Ran:
        """Run a command here to its end."""
        return self.start(*arguments, fault=fault, **options).end()

    def must(self, *arguments: str) -> Any:
        """Run a command that has to succeed; what it printed as JSON.

        Raises:
            Broken: It did not.
        """
        ran = self.run(*arguments, "--json")
        if ran.code != 0:
            words = " ".join(arguments)
            raise Broken(f"`mbd {words}` ended with {ran.code}: {ran.said}")
        return ran.json

    def copy(self, folder: Path) -> Place:
        """Another such folder, with the same content."""
        shutil.copytree(self.folder, folder)
        return Place(folder, self.commands)

    def known(self) -> Known:
        """What the database says; its own files are not touched, as opening them would."""
        with tempfile.TemporaryDirectory() as elsewhere:
            for suffix in ("", "-wal"):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copy(f"{self.database}{suffix}", f"{elsewhere}/copy{suffix}")
            with contextlib.closing(sqlite3.connect(f"{elsewhere}/copy")) as connection:
                rows = connection.execute("SELECT request_id, stage, attempts FROM request")
                found = rows.fetchall()
                count = "SELECT count(*) FROM entry WHERE type = 'attempt'"
                (drawn,) = connection.execute(count).fetchone()
        return Known(
            {request: stage for request, stage, _ in found},
            {request: attempts for request, _, attempts in found},
            drawn,
        )


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody in the workspace."""

    user: str
    cohort: str
    record: str
    """One of theirs, with the channel and at least one other."""


def make_place(commands: Commands, folder: Path) -> Place:
    """Make and train the workspace that is copied."""
    folder.mkdir(parents=True)
    place = Place(folder, commands)
    sizes = ["--users", str(USERS), "--records", str(RECORDS), "--seed", str(SEED)]
    settings = [f"--set={name}={value}" for name, value in SMALL.items()]
    for at, arguments in (
        (folder, ["init", SERVICE]),
        (place.service, ["data", "synth", *sizes]),
        (place.service, ["train", "--core", "trained", *settings]),
    ):
        ran = commands.start(at, arguments, state=folder / STATE).end()
        if ran.code != 0:
            raise Broken(f"`mbd {' '.join(arguments)}` ended with {ran.code}: {ran.said}")
    return place


def people_of(place: Place) -> list[Person]:
    """Whose channel, which is going to be revoked, was learned from with another one beside it."""
    found = []
    for user in map(str, range(USERS)):
        shown = place.must("data", "show", "--user", user)
        records = [
            one
            for one in shown["records"]
            if one["split"] == "train" and set(one["available"]) > {MODALITY}
        ]
        if records:
            record = records[0]["record"]
            found.append(Person(user=user, cohort=shown["cohort"], record=record))
    return found
