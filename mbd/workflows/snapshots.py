"""Models and states on disk: folders that are written once, checked when read, and replaced.

A model folder holds exactly the files that a certificate's manifest names:
`policy.json`, `heads/<head>.safetensors`, and with a trained core `core.json` and
`core.safetensors`.
A state folder holds `<head>.safetensors`. Which folder is current is a pointer in the
database; a folder that no pointer names is garbage.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from mbd.canonical.digest import files_root, sha256_file, sha256_hex
from mbd.canonical.json import dumps, loads_strict
from mbd.errors import DataError, IntegrityError
from mbd.head.state import HeadState, digest_of_heads
from mbd.values import FileDigest
from mbd.workspace.files import fsync_directory, storage_errors, write_atomically

POLICY_FILE = "policy.json"
HEADS_FOLDER = "heads"

Weights = npt.NDArray[np.int64]
"""(d, K) integer multiples of a head's grid."""


@dataclass(frozen=True, eq=False)
class ReleasedHead:
    """A head as it is served and stored: never without its noise, unless it is exact."""

    weights: Weights
    noise_steps: int
    """Standard deviation of its noise in grid steps; 0 for an exact release."""


@dataclass(frozen=True)
class ModelSnapshot:
    """A released model: its folder and what its files must be."""

    model_id: str
    folder: Path
    files: tuple[FileDigest, ...]

    @property
    def digest(self) -> str:
        """Root over the files."""
        return files_root(self.files)

    def to_pointer(self) -> str:
        """What the database keeps of the current model."""
        rows = [[file.path, file.sha256] for file in self.files]
        return dumps({"files": rows, "id": self.model_id}).decode()

    @classmethod
    def from_pointer(cls, models: Path, pointer: str) -> ModelSnapshot:
        """Inverse of `to_pointer`; nothing is read from the folder yet."""
        found = _parse(pointer, "model pointer")
        files = tuple(FileDigest(path=path, sha256=digest) for path, digest in found["files"])
        return cls(found["id"], models / found["id"], files)

    def read(self, path: str) -> bytes:
        """The content of one file.

        Raises:
            IntegrityError: The file is missing, torn or altered.
        """
        expected = next((file for file in self.files if file.path == path), None)
        if expected is None:
            raise IntegrityError(f"model {self.model_id} has no {path}", code="model.file")
        location = self.folder / path
        try:
            content = location.read_bytes()
        except OSError as error:
            raise _altered(location, error.strerror or str(error)) from error
        if sha256_hex(content) != expected.sha256:
            raise _altered(location, "its digest is not the one recorded")
        return content

    def check(self) -> None:
        """Read every file.

        Raises:
            IntegrityError: One is missing, torn or altered.
        """
        for file in self.files:
            self.read(file.path)

    def head(self, name: str) -> ReleasedHead:
        """One released head."""
        path = head_file(name)
        try:
            tensors = safetensors.numpy.load(self.read(path))
            weights, steps = tensors["weights"], tensors["noise_steps"]
        except (safetensors.SafetensorError, KeyError) as error:
            raise _altered(self.folder / path, str(error)) from error
        if weights.dtype != np.int64 or weights.ndim != 2 or steps.shape != (1,):
            raise _altered(self.folder / path, "not a head")
        return ReleasedHead(weights, int(steps[0]))

    def file_digest(self, path: str) -> str | None:
        """What the manifest says a file must be; None if it names no such file."""
        return next((file.sha256 for file in self.files if file.path == path), None)

    def has(self, path: str) -> bool:
        """Whether the manifest names this file."""
        return any(file.path == path for file in self.files)


@dataclass(frozen=True)
class StateSnapshot:
    """The integer state: its folder, and the digest and rows of each head."""

    state_id: str
    folder: Path
    heads: Mapping[str, tuple[str, int]]
    """Digest and number of rows of each head."""
    digest: str
    """The state's digest over all heads."""

    def to_pointer(self) -> str:
        """What the database keeps of the current state."""
        heads = {name: list(found) for name, found in sorted(self.heads.items())}
        return dumps({"digest": self.digest, "heads": heads, "id": self.state_id}).decode()

    @classmethod
    def from_pointer(cls, states: Path, pointer: str) -> StateSnapshot:
        """Inverse of `to_pointer`; nothing is read from the folder yet."""
        found = _parse(pointer, "state pointer")
        heads = {name: (digest, rows) for name, (digest, rows) in found["heads"].items()}
        return cls(found["id"], states / found["id"], heads, found["digest"])

    def load(self, head: str) -> HeadState:
        """The state of one head.

        Raises:
            IntegrityError: The file is missing, torn or altered.
        """
        location = self.folder / state_file(head)
        if not location.is_file():
            raise _altered(location, "it is missing")
        state = HeadState.load(location)
        if state.digest() != self.heads[head][0]:
            raise _altered(location, "its digest is not the one recorded")
        return state


def head_file(head: str) -> str:
    """Path of a released head inside a model folder."""
    return f"{HEADS_FOLDER}/{head}.safetensors"


def state_file(head: str) -> str:
    """Path of a head's state inside a state folder."""
    return f"{head}.safetensors"


def write_model(
    models: Path,
    model_id: str,
    policy: bytes,
    write_core: Callable[[Path], object] | None,
    heads: Mapping[str, ReleasedHead],
) -> ModelSnapshot:
    """Write a whole model folder, durably; a half-written one of that id is replaced.

    Args:
        models: Where models live.
        model_id: Name of the folder.
        policy: The policy's canonical bytes.
        write_core: Writes the files of the core into a folder; None without a core.
        heads: Every released head.
    """
    folder = _fresh_folder(models, model_id)
    with storage_errors(folder):
        (folder / HEADS_FOLDER).mkdir()
    write_atomically(folder / POLICY_FILE, policy)
    if write_core is not None:
        write_core(folder)
    _write_heads(folder, heads)
    return ModelSnapshot(model_id, folder, _manifest(folder))


def derive_model(
    old: ModelSnapshot, model_id: str, heads: Mapping[str, ReleasedHead]
) -> ModelSnapshot:
    """A model folder equal to `old` but for `heads`; what is equal is the same file.

    So a head that a revocation does not select stays bit for bit what it was.
    """
    folder = _fresh_folder(old.folder.parent, model_id)
    replaced = {head_file(name) for name in heads}
    with storage_errors(folder):
        (folder / HEADS_FOLDER).mkdir()
        for file in old.files:
            if file.path not in replaced:
                os.link(old.folder / file.path, folder / file.path)
    _write_heads(folder, heads)
    kept = [file for file in old.files if file.path not in replaced]
    made = [_file_digest(folder, path) for path in sorted(replaced)]
    files = tuple(sorted([*kept, *made], key=lambda file: file.path))
    return ModelSnapshot(model_id, folder, files)


def write_state(states: Path, state_id: str, heads: Mapping[str, HeadState]) -> StateSnapshot:
    """Write a whole state folder, durably."""
    folder = _fresh_folder(states, state_id)
    for name, head in heads.items():
        head.save(folder / state_file(name))
    found = {name: (head.digest(), head.rows) for name, head in heads.items()}
    digest = digest_of_heads({name: entry[0] for name, entry in found.items()})
    return StateSnapshot(state_id, folder, found, digest)


def derive_state(
    old: StateSnapshot, state_id: str, heads: Mapping[str, HeadState]
) -> StateSnapshot:
    """A state folder equal to `old` but for `heads`."""
    folder = _fresh_folder(old.folder.parent, state_id)
    with storage_errors(folder):
        for name in old.heads:
            if name not in heads:
                os.link(old.folder / state_file(name), folder / state_file(name))
    for name, head in heads.items():
        head.save(folder / state_file(name))
    found = dict(old.heads) | {name: (head.digest(), head.rows) for name, head in heads.items()}
    digest = digest_of_heads({name: entry[0] for name, entry in found.items()})
    return StateSnapshot(state_id, folder, found, digest)


def remove_folder(folder: Path) -> None:
    """Remove a model, state or staging folder, durably; one that is gone is fine."""
    if not folder.exists():
        return
    with storage_errors(folder):
        shutil.rmtree(folder)
        fsync_directory(folder.parent)


def unlisted(snapshot: ModelSnapshot) -> Iterator[Path]:
    """Files in the folder that the manifest does not name."""
    named = {file.path for file in snapshot.files}
    for path in sorted(snapshot.folder.rglob("*")):
        if path.is_file() and path.relative_to(snapshot.folder).as_posix() not in named:
            yield path


def _fresh_folder(parent: Path, name: str) -> Path:
    folder = parent / name
    remove_folder(folder)
    with storage_errors(folder):
        folder.mkdir()
        fsync_directory(parent)
    return folder


def _write_heads(folder: Path, heads: Mapping[str, ReleasedHead]) -> None:
    for name, head in sorted(heads.items()):
        tensors = {
            "noise_steps": np.array([head.noise_steps], np.int64),
            "weights": np.ascontiguousarray(head.weights),
        }
        write_atomically(folder / head_file(name), safetensors.numpy.save(tensors))


def _manifest(folder: Path) -> tuple[FileDigest, ...]:
    paths = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return tuple(_file_digest(folder, path) for path in paths)


def _file_digest(folder: Path, path: str) -> FileDigest:
    return FileDigest(path=path, sha256=sha256_file(folder / path))


def _parse(text: str, what: str) -> dict[str, Any]:
    try:
        found = loads_strict(text.encode(), max_bytes=1 << 22, max_depth=6)
    except DataError as error:
        raise IntegrityError(f"{what}: {error.message}", code="pointer") from error
    if not isinstance(found, dict):
        raise IntegrityError(f"{what}: not an object", code="pointer")
    return found


def _altered(path: Path, why: str) -> IntegrityError:
    return IntegrityError(
        f"{path}: {why}",
        code="file.altered",
        hint="restore it from a backup, or train again",
    )
