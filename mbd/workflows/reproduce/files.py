"""What lies in a copy of a workspace that somebody else made: looked at before it is opened.

Only plain files of a size that such a file can have are read: a pipe would be waited for, a link
may lead anywhere, and a file full of nothing takes no room on the disk that it came from. What no
manifest names is data that was kept beside the data.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import pyarrow as pa

from mbd.certificate.receipt import Receipt
from mbd.data.buckets import MANIFEST
from mbd.data.search import RECORD_IDS, Searcher
from mbd.data.traces import Traces
from mbd.errors import MbdError
from mbd.verify.case import CheckFailed, Undecided
from mbd.verify.model_files import most_bytes

FOLDERS = ("data", "models", "state")
"""Where data of people is; what lies elsewhere is named, and not looked at."""

LEDGER = "ledger.db"
_LOG = (LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm")

DURATION_FILE = "data/training.json"
"""How long a training took: a number, and no business of anybody here."""

_MAX_MANIFEST_BYTES = 1 << 25  # some hundred thousand buckets, of 24 people each
_MAX_BUCKET_BYTES = 1 << 31
_MAX_BYTES = 1 << 33  # a state
_MAX_DURATION_BYTES = 1 << 6
_OWN_FOLDERS = frozenset({*FOLDERS, "data/store", "data/prepared"})
"""Folders that may be empty: of others the name itself would be what is kept."""
_MAX_SCANNED_BYTES = 1 << 28
"""Of files that nothing names, the smallest first: those beyond are named as not searched."""
_PIECE = 1 << 18
_TORN = (
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    RuntimeError,
    pa.ArrowException,
)
"""What decoders say of a file whose digest fits and whose content makes no sense."""


@dataclass(frozen=True)
class Files:
    """Every file of the folders that hold data of people, and of the ledger."""

    root: Path
    sizes: Mapping[str, int]
    """Bytes, by path in the workspace."""
    empty: tuple[str, ...] = ()
    """Folders without anything in them."""

    def unlisted(self, listed: Iterable[str]) -> tuple[str, ...]:
        """Paths that nothing names; what lies in the folder of a model is compared elsewhere."""
        known = {DURATION_FILE, *_LOG, *listed}
        return tuple(
            sorted(path for path in self.sizes if not _is_of_model(path) and path not in known)
        )

    def of_models(self, names: Iterable[str]) -> tuple[str, ...]:
        """Paths in the folders of these models."""
        wanted = set(names)
        return tuple(
            path for path in self.sizes if _is_of_model(path) and path.split("/")[1] in wanted
        )

    def of_states(self, heads: Iterable[str]) -> tuple[str, ...]:
        """Paths that states of these heads have."""
        names = {f"{head}.safetensors" for head in heads}
        return tuple(
            path
            for path in self.sizes
            if path.startswith("state/") and path.count("/") == 2 and path.split("/")[2] in names
        )

    def of_log(self) -> tuple[str, ...]:
        """The database of the ledger and what SQLite writes beside it."""
        return tuple(path for path in _LOG if path in self.sizes)

    def elsewhere(self) -> tuple[str, ...]:
        """What else lies in the workspace, of which nothing is looked at."""
        looked_at = {*FOLDERS, *_LOG}
        return tuple(sorted({path.name for path in self.root.iterdir()} - looked_at))

    def search(self, receipt: Receipt, paths: Iterable[str]) -> Searched:
        """Look in these files for what the receipt lists as erased.

        Bytes are looked at as they lie; what a file packs is not unpacked, since it may never
        end. Record ids do not count: a file may name a record without holding what it said.
        """
        assert receipt.traces is not None  # a whole receipt has them
        traces = Traces.from_json(receipt.traces.model_dump(by_alias=True))
        salts = tuple(bytes.fromhex(one.salt) for one in receipt.items)
        searcher, left = Searcher(traces, receipt.traces.vanished, salts), _MAX_SCANNED_BYTES
        holding, too_large = list[str](), list[str]()
        for path in sorted(paths, key=lambda one: (self.sizes[one], one)):
            if self.sizes[path] > left:
                too_large.append(path)
                continue
            left -= self.sizes[path]
            with (self.root / path).open("rb") as stream:
                found = searcher.search_pieces(iter(partial(stream.read, _PIECE), b""))
            if any(hit.kind != RECORD_IDS for hit in found.hits):
                holding.append(path)
        return Searched(tuple(sorted(holding)), tuple(sorted(too_large)))


@dataclass(frozen=True)
class Searched:
    """Files in which erased values were looked for."""

    holding: tuple[str, ...]
    """Those that hold some."""
    too_large: tuple[str, ...]
    """Those that were not read: together they would take for ever."""


def list_files(root: Path) -> Files:
    """Look at everything in the folders that hold data, and at the log, without opening any of it.

    Raises:
        Undecided: Something is no plain file, or larger than such a file is
            (`reproduce.unreadable`).
    """
    sizes, empty = dict[str, int](), list[str]()
    for name in FOLDERS:
        top = root / name
        if top.is_symlink():
            raise _odd(name, "is a link: copy what it leads to")
        for parent, folders, names in os.walk(top, onerror=_refuse):
            here = Path(parent).relative_to(root).as_posix()
            if not folders and not names and here not in _OWN_FOLDERS:
                empty.append(f"{here}/")
            for one in (*folders, *names):
                path = Path(parent) / one
                status = path.lstat()
                where = path.relative_to(root).as_posix()
                if stat.S_ISLNK(status.st_mode):
                    raise _odd(where, "is a link: copy what it leads to")
                if stat.S_ISDIR(status.st_mode):
                    continue
                sizes[where] = _size(where, status)
    for name in _LOG:
        with contextlib.suppress(FileNotFoundError):
            sizes[name] = _size(name, (root / name).stat())
    return Files(root, sizes, tuple(empty))


@contextlib.contextmanager
def reading(what: Path) -> Iterator[None]:
    """A file that cannot be read is no reason to accuse anybody.

    Raises:
        Undecided: With code `reproduce.unreadable`.
    """
    try:
        yield
    except (CheckFailed, Undecided):
        raise
    except (MbdError, OSError, *_TORN) as error:
        raise unreadable(what, error) from error


def check_unlisted(paths: tuple[str, ...], searched: Searched | None) -> None:
    """Say that there is something of which nobody knows what it is.

    Args:
        paths: What nothing names.
        searched: What the receipt's values were looked for in; None without a receipt.

    Raises:
        Undecided: With code `reproduce.unlisted`.
    """
    if paths:
        more = f", and {len(paths) - 1} more" if len(paths) > 1 else ""
        raise kept_beside(f"no manifest names {paths[0]}{more}{_looked(searched)}")


def _looked(searched: Searched | None) -> str:
    if searched is None:
        return ""
    if searched.too_large:
        return f"; {searched.too_large[0]} is too large to be searched for the receipt's values"
    return "; no value of the receipt was found there as it was"


def _is_of_model(path: str) -> bool:
    """Whether it lies in the folder of a model, not beside these folders."""
    return path.startswith("models/") and path.count("/") > 1


def _most(where: str) -> int:
    """Bytes that a file with this path can have."""
    path = PurePosixPath(where)
    if path.name == MANIFEST:
        return _MAX_MANIFEST_BYTES
    if where == DURATION_FILE:
        return _MAX_DURATION_BYTES
    if path.parts[0] == "models":
        return most_bytes(where)
    return _MAX_BUCKET_BYTES if path.suffix == ".parquet" else _MAX_BYTES


def _size(where: str, status: os.stat_result) -> int:
    if not stat.S_ISREG(status.st_mode):
        raise _odd(where, "is no regular file")
    if status.st_size > _most(where):
        raise _odd(where, f"has {status.st_size} bytes, more than such a file has")
    return status.st_size


def _refuse(error: OSError) -> None:
    """A folder that cannot be listed; one that is not there is missed elsewhere."""
    if not isinstance(error, FileNotFoundError):
        raise error


def _odd(where: str, why: str) -> Undecided:
    return Undecided(f"{where} {why}", code="reproduce.unreadable")


def kept_beside(why: str) -> Undecided:
    """What to raise where something is kept that nothing names."""
    return Undecided(why, code="reproduce.unlisted")


def unreadable(what: Path, why: object) -> Undecided:
    """What to raise where something of the copy cannot be read."""
    text = why.message if isinstance(why, MbdError) else str(why)
    return Undecided(f"{what} cannot be read: {text}", code="reproduce.unreadable")
