"""What a copy of the ledger says happened after a certificate, read without writing a byte.

Nothing in it is believed unless it follows from a checkpoint that the trusted log signed: leaves
are hashed anew, and bodies held against their leaves.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from mbd.canonical.tree import leaf_hash
from mbd.certificate.statement import PolicyEntry, Predicate
from mbd.errors import DataError, IntegrityError, MbdError
from mbd.ledger.entry import MAX_LEAF_BYTES, parse_entry
from mbd.ledger.merkle import HASH_BYTES, RightEdge
from mbd.ledger.note import MAX_NOTE_BYTES, Checkpoint, open_checkpoint
from mbd.verify.case import Case, Undecided
from mbd.verify.trusted import TrustedLog
from mbd.workflows.reproduce.database import opened
from mbd.workflows.reproduce.later import Later, certificate_at, is_sibling, later_entry
from mbd.workflows.snapshots import ModelSnapshot, StateSnapshot

T = TypeVar("T")

_NEAR = 64
"""Entries before the certificate among which the one before is looked for."""

_OPEN = (
    "SELECT count(*) FROM request JOIN batch ON batch.batch_id = request.batch_id "
    "WHERE NOT batch.queued AND request.stage NOT IN ('completed', 'cancelled')"
)


@dataclass(frozen=True)
class History:
    """What came after the certificate, and whether the folder is at rest."""

    later: tuple[Later, ...]
    unfinished: str | None
    """What was begun and not ended when the folder was copied."""
    announced: bool
    """Whether the log holds the policy where the certificate says."""
    in_batch: bool
    """Whether the certificate may be one of a batch: those lie side by side in the log."""
    before: Predicate | None
    """The certificate before, if nothing that changes data was logged between the two."""
    in_service: ModelSnapshot | None
    """What the database, which nobody signed, calls the current model; None if it does not say."""
    state: StateSnapshot | None
    """The same of the current state."""

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
        with opened(path) as connection:
            log_says = _Reading(connection, case, folder).read(_newest(connection, log))
            unfinished = log_says.waiting or _unfinished(connection, folder)
            model = _pointer(connection, "model", folder / "models", ModelSnapshot.from_pointer)
            state = _pointer(connection, "state", folder / "state", StateSnapshot.from_pointer)
    except (sqlite3.Error, OSError, ValueError, TypeError, IntegrityError, DataError) as error:
        raise _unreadable(str(error)) from error
    return History(
        later=tuple(log_says.later),
        unfinished=unfinished,
        announced=log_says.announced,
        in_batch=log_says.in_batch,
        before=log_says.before,
        in_service=model,
        state=state,
    )


@dataclass
class _Reading:
    """The leaves of a ledger, read once, in their order.

    The certificate's own entry is where it was proved to be, since the roots are the same.
    """

    connection: sqlite3.Connection
    case: Case
    folder: Path
    later: list[Later] = field(default_factory=list)
    waiting: str | None = None
    """What no checkpoint covers yet, if anything."""
    announced: bool = False
    in_batch: bool = False
    before: Predicate | None = None

    def read(self, signed: Checkpoint) -> _Reading:
        """Read up to the newest checkpoint, and look whether there is more."""
        known, index = self.case.checkpoint, self.case.proof.index
        if signed.size < known.size:
            covered = f"{signed.size} entries, the certificate's {known.size}"
            raise _other(f"its checkpoint covers {covered}")
        edge, rest = RightEdge(_no_nodes, 0), 0
        near = deque[tuple[int, bytes]](maxlen=_NEAR)
        for leaf in _leaves(self.connection):
            if edge.size >= signed.size:
                rest += 1
                continue
            if edge.size < index:
                near.append((edge.size, leaf))
            self._look(edge.size, leaf)
            edge.append(leaf_hash(leaf))
            for checkpoint in (known, signed):
                if edge.size == checkpoint.size and edge.root() != checkpoint.root:
                    raise _other(f"it has another root at size {checkpoint.size}")
        if edge.size < signed.size:
            raise _unreadable(f"it holds {edge.size} entries of {signed.size} that were signed")
        self.waiting = f"{rest} entries are not under a checkpoint yet" if rest else None
        self.before = self._last_before(reversed(near))
        return self

    def _look(self, place: int, leaf: bytes) -> None:
        index, stated = self.case.proof.index, self.case.statement.predicate.guarantee.policy_entry
        if place > index:
            self.later.append(later_entry(self.connection, place, leaf, self.case, self.folder))
        if place == stated.index:
            self.announced = _is_policy(leaf, stated)
        if abs(place - index) == 1 and parse_entry(leaf).type == "certificate":
            beside = is_sibling(self.connection, place, leaf, self.case, self.folder)
            self.in_batch |= beside is not False

    def _last_before(self, near: Iterable[tuple[int, bytes]]) -> Predicate | None:
        """The certificate before; those of one batch and one model lie side by side."""
        apart = False
        for place, leaf in near:
            found = later_entry(self.connection, place, leaf, self.case, self.folder)
            apart |= found.type != "certificate"
            if found.type == "certificate" and (found.changes or apart):
                return certificate_at(self.connection, place, leaf, self.folder)
            if found.changes and found.type != "policy":  # which changes models
                return None
        return None


def _is_policy(leaf: bytes, stated: PolicyEntry) -> bool:
    """Whether a leaf announced this policy; its body may have been erased."""
    try:
        entry = parse_entry(leaf)
    except DataError:
        return False
    found = (entry.type, leaf_hash(leaf).hex(), entry.digest)
    return found == ("policy", stated.leaf_hash, stated.digest)


def _pointer(
    connection: sqlite3.Connection, name: str, folder: Path, parse: Callable[[Path, str], T]
) -> T | None:
    row = connection.execute("SELECT value FROM pointer WHERE name = ?", (name,)).fetchone()
    try:
        return None if row is None else parse(folder, str(row[0]))
    except (MbdError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _newest(connection: sqlite3.Connection, log: TrustedLog) -> Checkpoint:
    query = (
        f"SELECT substr(note, 1, {MAX_NOTE_BYTES + 1}) FROM checkpoint ORDER BY size DESC LIMIT 1"
    )
    row = connection.execute(query).fetchone()
    if row is None:
        raise _unreadable("it has no checkpoint")
    try:
        return open_checkpoint(str(row[0]), log.key, log.origin)
    except IntegrityError as error:
        if error.code in ("note.unknown_key", "note.other_log"):
            raise _other("the checkpoint is another log's") from error
        raise


def _leaves(connection: sqlite3.Connection) -> Iterator[bytes]:
    leaf = f"CASE WHEN length(leaf) <= {MAX_LEAF_BYTES} THEN leaf END"
    query = f"SELECT entry_index, {leaf} FROM entry ORDER BY entry_index"
    for expected, (index, found) in enumerate(connection.execute(query)):
        if index != expected or not isinstance(found, bytes):
            raise _unreadable(f"entry {expected} is missing")
        yield found


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
