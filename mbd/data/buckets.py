"""A folder of files by keyed hash of the subject, changed all at once or not at all.

`manifest.json` names every file in force with its digest. A change writes new files under
names of the next generation, then replaces the manifest, then unlinks what it no longer
names: killed at any instant, a reader finds the old content or the new one. What a killed
writer left behind is removed by the next.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbd.canonical.digest import sha256_hex
from mbd.canonical.json import dumps, loads_strict
from mbd.errors import (
    ConflictError,
    DataError,
    IntegrityError,
    NotFoundError,
    TemporaryError,
    VersionError,
)
from mbd.workspace.files import fsync_directory, storage_errors, write_atomically

MANIFEST = "manifest.json"
FORMAT = 2
"""2: every item has a salt (1 was never released)."""
_MANIFEST_BYTES = 1 << 28


@dataclass(frozen=True, kw_only=True)
class BucketFile:
    """One file in force."""

    name: str
    sha256: str
    size_bytes: int
    facts: dict[str, Any]
    """What the owner of the folder wants to know without opening the file."""


@dataclass(frozen=True, kw_only=True)
class NewBucket:
    """Content to be written, with its facts."""

    content: bytes
    facts: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything in force; an empty bucket has no file."""

    generation: int
    header: dict[str, Any]
    files: tuple[BucketFile | None, ...]


def keyed_bucket(key: bytes, subject: str, count: int) -> int:
    """The bucket of a subject: nobody without the key can tell who shares a file with whom."""
    drawn = hmac.new(key, b"mbd bucket\0" + subject.encode("utf-8"), "sha256").digest()
    return int.from_bytes(drawn[:8], "big") % count


class BucketFolder:
    """Reads by bucket, checks digests, commits changes atomically. One writer at a time."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @classmethod
    def create(
        cls,
        folder: Path,
        count: int,
        buckets: Iterable[tuple[int, NewBucket | None]],
        header: dict[str, Any],
    ) -> BucketFolder:
        """A new folder with `count` buckets; those not in `buckets` are empty.

        Raises:
            ConflictError: There is one already.
            StorageError: The disk refused; nothing is left behind.
        """
        if (folder / MANIFEST).exists():
            raise ConflictError(f"{folder} holds data already")
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            fsync_directory(folder.parent)
        made = cls(folder, Manifest(generation=0, header=header, files=(None,) * count))
        made.commit(buckets)
        return made

    @classmethod
    def open(cls, folder: Path) -> BucketFolder:
        """The folder as its manifest describes it.

        Raises:
            NotFoundError: There is no manifest.
            IntegrityError: The manifest is torn or altered.
            VersionError: A newer or an older version wrote it.
        """
        return cls(folder, _read_manifest(folder / MANIFEST))

    @property
    def count(self) -> int:
        """Number of buckets."""
        return len(self.manifest.files)

    @property
    def manifest_path(self) -> Path:
        return self.folder / MANIFEST

    def path(self, bucket: int) -> Path | None:
        """The file in force for a bucket; None if it is empty."""
        entry = self.manifest.files[bucket]
        return None if entry is None else self.folder / entry.name

    def paths(self) -> list[Path]:
        """Every file in force, the manifest last."""
        named = [self.folder / entry.name for entry in self.manifest.files if entry is not None]
        return [*named, self.manifest_path]

    def read(self, bucket: int) -> bytes | None:
        """Content of a bucket after checking its digest; None if it is empty.

        Raises:
            IntegrityError: The file is missing, truncated or altered; names it.
            TemporaryError: A writer changed the number of buckets meanwhile.
        """
        entry = self.manifest.files[bucket]
        if entry is None:
            return None
        path = self.folder / entry.name
        try:
            with storage_errors(path):
                content = _content(path)
        except NotFoundError as error:
            if self._moved_on():
                return self.read(bucket)
            raise IntegrityError(
                f"{path} is missing; the manifest names it",
                field=str(path),
                hint="restore the file, or import the data again into a new workspace",
            ) from error
        if len(content) != entry.size_bytes or sha256_hex(content) != entry.sha256:
            raise IntegrityError(
                f"{path} is truncated or altered: its digest is not the manifest's",
                field=str(path),
                hint="restore the file, or import the data again into a new workspace",
            )
        return content

    def _moved_on(self) -> bool:
        """Whether a writer replaced the manifest since it was read; then take the new one."""
        latest = _read_manifest(self.manifest_path)
        newer = latest.generation > self.manifest.generation
        if newer and len(latest.files) != self.count:
            raise TemporaryError(
                f"{self.folder} was laid out anew while it was read", hint="try again"
            )
        if newer:
            self.manifest = latest
        return newer

    def commit(
        self,
        buckets: Iterable[tuple[int, NewBucket | None]],
        *,
        header: dict[str, Any] | None = None,
        count: int | None = None,
    ) -> None:
        """Replace some buckets (None empties one), or with `count` all of them.

        Raises:
            StorageError: The disk refused; the old manifest stays in force. If it refused
                only to make the new one durable, either may be, and no file is removed.
        """
        generation = self.manifest.generation + 1
        kept = self.manifest.files if count is None else (None,) * count
        files: list[BucketFile | None] = list(kept)
        try:
            for bucket, new in buckets:
                files[bucket] = None if new is None else self._write(bucket, generation, new)
            manifest = Manifest(
                generation=generation,
                header=self.manifest.header if header is None else header,
                files=tuple(files),
            )
            write_atomically(self.manifest_path, _manifest_bytes(manifest))
        except BaseException:
            if not self._replaced(generation):
                self.sweep()
            raise
        self.manifest = manifest
        self.sweep()

    def _replaced(self, generation: int) -> bool:
        """Whether the manifest of this generation is already what a reader finds."""
        found = self.manifest_path.exists()
        return found and _read_manifest(self.manifest_path).generation == generation

    def _write(self, bucket: int, generation: int, new: NewBucket) -> BucketFile:
        name = f"bucket-{bucket:06d}.{generation:08d}.parquet"
        write_atomically(self.folder / name, new.content)
        return BucketFile(
            name=name,
            sha256=sha256_hex(new.content),
            size_bytes=len(new.content),
            facts=new.facts,
        )

    def sweep(self) -> list[Path]:
        """Unlink, durably, every file here that is not in force; returns what it removed."""
        kept = {MANIFEST, *(entry.name for entry in self.manifest.files if entry is not None)}
        with storage_errors(self.folder):
            stray = [path for path in self.folder.iterdir() if path.name not in kept]
            for path in stray:
                path.unlink(missing_ok=True)
            if stray:
                fsync_directory(self.folder)
        return stray


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: no such file") from error


def _manifest_bytes(manifest: Manifest) -> bytes:
    body = {
        "generation": manifest.generation,
        "header": manifest.header,
        "files": [None if entry is None else _entry_json(entry) for entry in manifest.files],
    }
    return dumps({"format": FORMAT, "sha256": sha256_hex(dumps(body)), "body": body}) + b"\n"


def _read_manifest(path: Path) -> Manifest:
    with storage_errors(path):
        content = _content(path)
    try:
        found = loads_strict(content, max_bytes=_MANIFEST_BYTES, allow_floats=True)
        _check_format(path, found["format"])
        body = found["body"]
        if sha256_hex(dumps(body)) != found["sha256"]:
            raise IntegrityError(f"{path} was altered: its digest differs", field=str(path))
        return Manifest(
            generation=body["generation"],
            header=body["header"],
            files=tuple(None if entry is None else _entry(entry) for entry in body["files"]),
        )
    except (DataError, KeyError, TypeError) as error:
        raise IntegrityError(f"{path} is not a manifest: {error}", field=str(path)) from error


def _check_format(path: Path, version: object) -> None:
    if isinstance(version, int) and version > FORMAT:
        raise VersionError(
            f"{path} has format {version}; this program reads format {FORMAT}",
            hint="use the version of mbd that made it, or a newer one",
        )
    if version != FORMAT:
        raise VersionError(
            f"{path} has format {version}, which is older than {FORMAT}: its items have no salts",
            hint="make a new workspace (`mbd init DIR`), and import the data there",
        )


def _entry_json(entry: BucketFile) -> dict[str, Any]:
    return {
        "name": entry.name,
        "sha256": entry.sha256,
        "sizeBytes": entry.size_bytes,
        "facts": entry.facts,
    }


def _entry(value: dict[str, Any]) -> BucketFile:
    return BucketFile(
        name=value["name"],
        sha256=value["sha256"],
        size_bytes=value["sizeBytes"],
        facts=value["facts"],
    )
