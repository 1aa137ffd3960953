"""Damage to files that an interrupted revocation needs: what it must say, and how it goes on."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from commands import Ran
from faults import Fault
from places import MODALITY, Broken, Place
from trials import Trial

BUSY_SECONDS = 0.2
"""How long a command waits for a database that somebody has locked for the whole trial."""


def flip(path: Path) -> None:
    """Some bytes in the middle are others."""
    content = bytearray(path.read_bytes())
    for position in range(len(content) // 2, min(len(content) // 2 + 8, len(content))):
        content[position] ^= 0xFF
    path.write_bytes(content)


def halve(path: Path) -> None:
    """The second half is missing; it ends inside a page, where it has pages."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 - 1])


def empty(path: Path) -> None:
    """Nothing is left but its name."""
    path.write_bytes(b"")


def remove(path: Path) -> None:
    """Not even that."""
    path.unlink()


def scribble(path: Path) -> None:
    """The beginning is something else."""
    path.write_bytes(b"these are not the bytes you want" + path.read_bytes()[32:])


def put_folder(path: Path) -> None:
    """A folder has its name."""
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], None]] = {
    "flipped": flip,
    "halved": halve,
    "emptied": empty,
    "removed": remove,
}
"""Of a staged file."""

DEATHS: dict[str, Callable[[Path], None]] = {
    "halved": halve,
    "emptied": empty,
    "removed": remove,
    "scribbled": scribble,
    "a folder": put_folder,
}
"""Of a database."""


@dataclass(frozen=True)
class Kept:
    """Some files, to put back."""

    content: dict[Path, tuple[bytes, int]]
    """Bytes and mode."""

    @classmethod
    def of(cls, *paths: Path) -> Kept:
        """Those that exist."""
        return cls(
            {path: (path.read_bytes(), path.stat().st_mode) for path in paths if path.is_file()}
        )

    def put_back(self) -> None:
        """As they were."""
        for path, (content, mode) in self.content.items():
            if path.is_dir():
                path.rmdir()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(mode)


def database_files(path: Path) -> tuple[Path, ...]:
    """A database and its write-ahead log; the index of the log is made anew by any reader."""
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    return path, path.with_name(f"{path.name}-wal")


def kill_database(trial: Trial, name: str, death: Callable[[Path], None]) -> None:
    """Destroy a database of an interrupted request: every command refuses and names it.

    Raises:
        Broken: One of them did something else.
    """
    path = trial.place.service / name
    files = database_files(path)
    kept = Kept.of(*files)
    files[1].unlink(missing_ok=True)
    death(path)
    needed = path == trial.place.database
    for arguments in (["resume"], [*trial.asked.arguments], ["doctor"]):
        ran = trial.place.run(*arguments, "--json")
        if needed or ran.code != 0:
            check_named(ran, path, arguments)
    serve_or_refuse(trial, path)
    database_files(path)
    kept.put_back()


def take_database(trial: Trial, fault: Fault) -> None:
    """Remove the database of a revocation that runs, let it end, and put the database back.

    Args:
        trial: Nothing has happened to it yet.
        fault: Stops the revocation where the database is taken.

    Raises:
        Broken: It did not notice, or says nothing sensible.
    """
    place, path = trial.place, trial.place.database
    trial.asked.write_file(place)
    child = place.start(*trial.asked.arguments, "--json", fault=fault)
    if child.wait() is not None:
        raise Broken(f"it was not stopped by {fault}")
    trial.struck = place.known()
    kept = Kept.of(*database_files(path))
    for file in kept.content:
        file.unlink()
    child.go_on()
    check_named(child.end(), path, ["revoke"])
    check_named(place.run("resume", "--json"), path, ["resume"])
    kept.put_back()


def check_named(ran: Ran, path: Path, arguments: list[str]) -> None:
    """A clear refusal: an error that names the file and says what to do.

    Raises:
        Broken: It is something else.
    """
    said = f"`mbd {arguments[0]}` ended with {ran.code}: {ran.said}"
    if ran.code not in (1, 4, 7) or "Traceback" in ran.err:
        raise Broken(f"{path.name} is damaged, and {said}")
    document = ran.json
    if "error" in document:
        text, todo = document["error"]["message"], document["error"]["hint"]
    else:
        errors = [one for one in document["findings"] if one["severity"] == "error"]
        text = " ".join(f"{one['what']} {one['where']}" for one in errors)
        todo = " ".join(one["todo"] for one in errors)
    if path.name not in text or not todo:
        raise Broken(f"{path.name} is damaged, and that is not clear: {said}")


def serve_or_refuse(trial: Trial, path: Path) -> None:
    """Prediction with a damaged file: an error that names it, or an answer without the channel.

    Raises:
        Broken: It is something else.
    """
    for person, request in zip(trial.asked.people, trial.asked.requests, strict=True):
        arguments = ["predict", "--record", person.record]
        ran = trial.place.run(*arguments, "--json", busy_seconds=BUSY_SECONDS)
        if ran.code != 0:
            check_named(ran, path, arguments)
        elif trial.struck.is_suppressed(request) and MODALITY in ran.json["used"]:
            raise Broken(f"{path.name} is damaged, and a suppressed channel was used")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Somebody else holds the write lock of a database."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def lock_database(trial: Trial, name: str) -> None:
    """Hold a database's lock: writers say that it is busy, readers go on.

    Raises:
        Broken: One of them did something else.
    """
    path = trial.place.service / name
    with locked(path):
        ran = trial.place.run("resume", "--json", busy_seconds=BUSY_SECONDS)
        if ran.code == 7:
            check_named(ran, path, ["resume"])
        elif ran.code != 0:
            raise Broken(f"{name} is locked, and `mbd resume` ended with {ran.code}: {ran.out}")
        trial.serve()


def new_files(trial: Trial, original: Place) -> list[Path]:
    """Files below staging, models, state and data that the interrupted request has written."""
    service = trial.place.service
    return [
        path
        for name in ("staging", "models", "state", "data")
        for path in sorted((service / name).rglob("*"))
        if path.is_file() and not (original.service / path.relative_to(service)).exists()
    ]


def damage_file(trial: Trial, path: Path, damage: Callable[[Path], None]) -> bool:
    """Damage one file of an interrupted request and resume.

    Returns:
        Whether the request was refused for it, and the file put back; otherwise it was finished.

    Raises:
        Broken: It is neither.
    """
    kept = Kept.of(path)
    links = shutil.copy(path, path.with_name("copy"))  # what is linked stays as it is elsewhere
    Path(links).replace(path)
    damage(path)
    ran = trial.place.run("resume", "--json")
    if ran.code == 0:
        return False
    check_named(ran, path, ["resume"])
    known = trial.place.known()
    if set(known.stages.values()) & {"completed", "cancelled"}:
        raise Broken(f"{path.name} is damaged, and the request is not open: {known.stages}")
    serve_or_refuse(trial, path)
    kept.put_back()
    return True
