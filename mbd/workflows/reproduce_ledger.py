"""What a copy of the ledger says happened after a certificate, read without writing a byte.

The file is opened as one that nobody changes; where a write-ahead log lies beside it, both are
copied elsewhere first. Nothing in it is believed unless it follows from a checkpoint that the
trusted log signed: leaves are hashed anew, and bodies held against their leaves.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from mbd.canonical.json import loads_strict
from mbd.canonical.tree import leaf_hash
from mbd.certificate.bundle import MAX_BUNDLE_BYTES, parse_bundle
from mbd.errors import DataError, IntegrityError, MbdError
from mbd.ledger.binding import check_body
from mbd.ledger.entry import Entry, parse_entry
from mbd.ledger.merkle import HASH_BYTES, RightEdge
from mbd.ledger.note import Checkpoint, open_checkpoint
from mbd.verify.case import Case, Undecided
from mbd.verify.reading import read_regular
from mbd.verify.trust import TrustedLog

_CHANGING = frozenset({"certificate", "growth", "policy", "erasure"})
"""Entries that change data or model, unless a closer look says that this one does not."""
_HARMLESS = frozenset({"body", "subject secret"})
"""Reasons of erasures that say nothing of data or model (`mbd.workflows.destruction`)."""
_MAX_BODY_BYTES = 1 << 24
_OPEN = (
    "SELECT count(*) FROM request JOIN batch ON batch.batch_id = request.batch_id "
    "WHERE NOT batch.queued AND request.stage NOT IN ('completed', 'cancelled')"
)


@dataclass(frozen=True)
class Later:
    """An entry after the certificate."""

    index: int
    type: str
    changes: bool
    """Whether data or model may be others since."""

    def __str__(self) -> str:
        return f"{self.index} ({self.type})"


@dataclass(frozen=True)
class History:
    """What came after the certificate, and whether the folder is at rest."""

    later: tuple[Later, ...]
    unfinished: str | None
    """What was begun and not ended when the folder was copied."""

    def changing(self) -> tuple[Later, ...]:
        """Entries since which data or model may be others."""
        return tuple(one for one in self.later if one.changes)

    def of_type(self, kind: str) -> tuple[Later, ...]:
        """Later entries of one type."""
        return tuple(one for one in self.later if one.type == kind)


def read_history(folder: Path, case: Case) -> History:
    """What the ledger in a workspace says of the time since a certificate was logged.

    Raises:
        Undecided: There is no ledger that can be read and believed (`reproduce.no_ledger`), or
            it does not hold the certificate: a copy from before, or another service's
            (`reproduce.other_ledger`).
    """
    path = folder / "ledger.db"
    if not path.is_file():
        raise _unreadable("the workspace holds no ledger.db, and a server is not asked")
    log = None if case.trust is None else case.trust.log
    if log is None:
        raise _unreadable("no trusted log key")
    try:
        with _opened(path) as connection:
            later, rest = _read(connection, case, log, folder)
            unfinished = rest or _unfinished(connection, folder)
    except (sqlite3.Error, OSError, ValueError, TypeError, IntegrityError, DataError) as error:
        raise _unreadable(str(error)) from error
    return History(later, unfinished)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The database, read only; SQLite would write beside one that has a write-ahead log."""
    with contextlib.ExitStack() as stack:
        log = path.with_name(f"{path.name}-wal")
        options = "mode=ro&immutable=1"
        if log.is_file() and log.stat().st_size:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            for file in (path, log):
                shutil.copyfile(file, place / file.name)
            path, options = place / path.name, "mode=rw"
        location = f"file:{quote(str(path.resolve()))}?{options}"
        yield stack.enter_context(contextlib.closing(sqlite3.connect(location, uri=True)))


def _read(
    connection: sqlite3.Connection, case: Case, log: TrustedLog, folder: Path
) -> tuple[tuple[Later, ...], str | None]:
    """Later entries under the newest checkpoint, and what no checkpoint covers yet, if anything.

    The certificate's own entry is where it was proved to be, since the roots are the same.
    """
    signed = _newest(connection, log)
    known, index = case.checkpoint, case.proof.index
    if signed.size < known.size:
        raise _other(f"its checkpoint covers {signed.size} entries, the certificate's {known.size}")
    edge, later, rest = RightEdge(_no_nodes, 0), list[Later](), 0
    for leaf in _leaves(connection):
        if edge.size >= signed.size:
            rest += 1
            continue
        if edge.size > index:
            later.append(_later(connection, edge.size, parse_entry(leaf), leaf, case, folder))
        edge.append(leaf_hash(leaf))
        for checkpoint in (known, signed):
            if edge.size == checkpoint.size and edge.root() != checkpoint.root:
                raise _other(f"it has another root at size {checkpoint.size}")
    if edge.size < signed.size:
        raise _unreadable(f"it holds {edge.size} entries of {signed.size} that were signed")
    return tuple(later), f"{rest} entries are not under a checkpoint yet" if rest else None


def _newest(connection: sqlite3.Connection, log: TrustedLog) -> Checkpoint:
    row = connection.execute("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1").fetchone()
    if row is None:
        raise _unreadable("it has no checkpoint")
    try:
        return open_checkpoint(str(row[0]), log.key, log.origin)
    except IntegrityError as error:
        if error.code in ("note.unknown_key", "note.other_log"):
            raise _other("the checkpoint is another log's") from error
        raise


def _leaves(connection: sqlite3.Connection) -> Iterator[bytes]:
    query = "SELECT entry_index, leaf FROM entry ORDER BY entry_index"
    for expected, (index, leaf) in enumerate(connection.execute(query)):
        if index != expected or not isinstance(leaf, bytes):
            raise _unreadable(f"entry {expected} is missing")
        yield leaf


def _later(
    connection: sqlite3.Connection, index: int, entry: Entry, leaf: bytes, case: Case, folder: Path
) -> Later:
    changes = entry.type in _CHANGING
    if entry.type == "certificate":
        changes = not _is_sibling(connection, index, leaf, case, folder)
    elif entry.type == "erasure":
        changes = not _is_harmless(connection, index, entry)
    return Later(index, entry.type, changes)


def _is_sibling(
    connection: sqlite3.Connection, index: int, leaf: bytes, case: Case, folder: Path
) -> bool:
    """Whether a later certificate is known to be about the same model: of the same batch, say.

    Its body is sealed in the ledger; its bundle lies in `certs/`, unless that was left out.
    """
    query = "SELECT certificate_id FROM entry WHERE entry_index = ?"
    (name,) = connection.execute(query, (index,)).fetchone()
    path = folder / "certs" / f"{Path(str(name)).name}.json"
    try:
        bundle = parse_bundle(read_regular(path, MAX_BUNDLE_BYTES))
        entry, envelope = parse_entry(bundle.entry), bundle.envelope
        if bundle.entry != leaf or entry.digest != envelope.digest():
            return False
        found = bundle.statement().predicate.deletion.model_after.digest
    except MbdError:
        return False
    return found == case.statement.predicate.deletion.model_after.digest


def _is_harmless(connection: sqlite3.Connection, index: int, entry: Entry) -> bool:
    """Whether an erasure is known to have destroyed secrets or bodies only."""
    query = "SELECT content FROM body WHERE entry_index = ?"
    row = connection.execute(query, (index,)).fetchone()
    try:
        body = b"" if row is None else bytes(row[0])
        check_body(entry, body)
        found = loads_strict(body, max_bytes=_MAX_BODY_BYTES)
    except (MbdError, TypeError):
        return False
    return isinstance(found, dict) and found.get("reason") in _HARMLESS


def _unfinished(connection: sqlite3.Connection, folder: Path) -> str | None:
    """What was going on when the folder was copied, or was interrupted before."""
    if (folder / "staging" / ".restore" / "intent.json").exists():
        return "a restore is not finished"
    query = "SELECT count(*) FROM pointer WHERE name = 'growth'"
    if connection.execute(query).fetchone()[0]:
        return "an addition of data is not finished"
    if connection.execute(_OPEN).fetchone()[0]:
        return "a request is not finished"
    return None


def _no_nodes(level: int, index: int) -> bytes:
    """An empty tree has no stored subtree to start from."""
    return bytes(HASH_BYTES)


def _unreadable(why: str) -> Undecided:
    return Undecided(f"the ledger cannot say what came later: {why}", code="reproduce.no_ledger")


def _other(why: str) -> Undecided:
    return Undecided(
        "the workspace is of another service, or a copy from before the certificate: "
        f"of its ledger, {why}",
        code="reproduce.other_ledger",
    )
