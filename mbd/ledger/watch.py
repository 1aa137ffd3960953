"""A monitor's view: what is new since a checkpoint, and that nothing before it changed.

The consistency proof shows that the old tree is a prefix of the new one. The entries in between
are hashed onto the old tree: only if that gives the new signed root are they the ones that were
logged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from mbd.canonical.digest import sha256_hex
from mbd.canonical.tree import empty_root
from mbd.errors import IntegrityError
from mbd.ledger.check import LogFault, check_entry
from mbd.ledger.consistency import ConsistencyProof
from mbd.ledger.merkle import RightEdge
from mbd.ledger.note import Checkpoint, VerifierKey
from mbd.ledger.proofs import newest_note, open_stored, prove_growth
from mbd.ledger.queries import Filter, LogEntry, iterate_entries, latest_note, with_nodes
from mbd.workspace.files import storage_errors, write_atomically
from mbd.workspace.layout import state_home


@dataclass(frozen=True)
class Growth:
    """From the checkpoint that a monitor knew to the newest one."""

    old: Checkpoint
    new: Checkpoint
    proof: ConsistencyProof

    @property
    def new_entries(self) -> Filter:
        """Which entries are new."""
        return Filter(after=self.old.size - 1, before=self.new.size)


@dataclass(frozen=True)
class MonitorState:
    """The last checkpoint that a monitor found good, in a file of its own."""

    path: Path

    def read(self, key: VerifierKey) -> Checkpoint | None:
        """That checkpoint; None if nothing was found good yet.

        Raises:
            IntegrityError: The file holds no checkpoint of this log.
        """
        with storage_errors(self.path):
            try:
                note = self.path.read_text("utf-8", errors="replace")
            except FileNotFoundError:
                return None
        return open_stored(note, key, f"it is in {self.path}")

    def write(self, note: str) -> None:
        """Remember a checkpoint, durably."""
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(self.path, note.encode(), mode=0o600)


def default_state(key: VerifierKey) -> Path:
    """Where a monitor of this log remembers what it saw; not where the log's signer does."""
    return state_home() / "monitors" / sha256_hex(str(key).encode())


def look(
    connection: Connection, key: VerifierKey, since: Checkpoint | None, seen: Checkpoint | None
) -> Growth:
    """Check the log against everything this monitor knows, and every new entry.

    Args:
        connection: A reading transaction.
        key: The log's public key, named after the log.
        since: Where to start; None starts at what was seen last, or at the first entry.
        seen: What the monitor itself found good last.

    Raises:
        NotFoundError: Nothing was published yet.
        IntegrityError: `log.rolled_back`, `log.fork` or `log.corrupt`.
    """
    if latest_note(connection) is None and (since or seen):
        raise IntegrityError(
            "the ledger has no checkpoint, but one was signed", code="log.rolled_back"
        )
    note = newest_note(connection)
    if seen is not None:
        prove_growth(connection, key, seen, note)
    start = since or seen or Checkpoint(key.name, 0, empty_root())
    proof = prove_growth(connection, key, start, note)
    growth = Growth(start, open_stored(note, key), proof)
    _check_new(connection, growth)
    return growth


def new_entries(connection: Connection, growth: Growth) -> Iterator[LogEntry]:
    """The new entries, in the transaction in which `look` checked them."""
    return iterate_entries(connection, growth.new_entries)


def _check_new(connection: Connection, growth: Growth) -> None:
    """Hash the new entries onto the old tree."""
    edge = with_nodes(connection, lambda read: RightEdge(read, growth.old.size))
    for row in new_entries(connection, growth):
        try:
            check_entry(row, None)
        except LogFault as fault:
            raise _altered(fault.message) from fault
        edge.append(row.leaf_hash)
    if (edge.size, edge.root()) != (growth.new.size, growth.new.root):
        raise _altered("the new entries do not lead to the signed root")


def _altered(detail: str) -> IntegrityError:
    return IntegrityError(detail, code="log.corrupt", hint="run `mbd ledger check`")
