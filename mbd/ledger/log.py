"""The log: append inside somebody's transaction, publish after it, prove to anybody.

An entry exists when its transaction commits. A checkpoint is signed afterwards, at most one
per size ever; whoever is killed between the two leaves an unpublished entry that the next
`publish` covers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select, update

from mbd.canonical.tree import leaf_hash
from mbd.database import tables
from mbd.database.engine import Database
from mbd.errors import IntegrityError, NotFoundError
from mbd.ledger.binding import check_body
from mbd.ledger.bodies import SEALED, Vault, refuse_ambiguous
from mbd.ledger.entry import Entry
from mbd.ledger.last_signed import Memory, default_path
from mbd.ledger.merkle import (
    HashReader,
    RightEdge,
    consistency_proof,
    root_of,
    verify_consistency,
)
from mbd.ledger.note import Checkpoint, NoteSigner, VerifierKey, sign_checkpoint
from mbd.ledger.proofs import open_stored, prove_entries
from mbd.ledger.queries import latest_note, log_size, modalities_text, with_nodes

_ROWS = 1000
"""Entries that are stored together: what an append of many holds in memory."""


@dataclass(frozen=True)
class Labels:
    """What may be published to find an entry by. Never a subject."""

    guarantee_class: str | None = None
    modalities: tuple[str, ...] = ()
    certificate_id: str | None = None


@dataclass(frozen=True)
class Log:
    """A transparency log in a database, with the key that signs its checkpoints."""

    database: Database
    signer: NoteSigner
    memory_path: Path | None = None
    """Where the last signed checkpoint is remembered; default: the user's state directory."""
    vault: Vault | None = None
    """Where the keys of sealed bodies go; None: every body is stored as it is."""
    memory: Memory = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "memory", Memory(self.memory_path or default_path(self.signer)))

    @property
    def origin(self) -> str:
        """The name of the log."""
        return self.signer.name

    @property
    def verifier_key(self) -> VerifierKey:
        """What others need to check its checkpoints."""
        return VerifierKey(self.signer.name, self.signer.public_key)

    def append(
        self,
        connection: Connection,
        entry: Entry,
        body: bytes | None = None,
        labels: Labels | None = None,
    ) -> int:
        """Add an entry inside the caller's transaction (`Database.transaction`).

        Returns:
            Its index, final once the transaction commits.

        Raises:
            IntegrityError: `body` is not what the entry binds, or the database is older than
                what was signed (`log.rolled_back`).
        """
        (index,) = self.append_all(connection, [(entry, body, labels or Labels())])
        return index

    def append_all(
        self, connection: Connection, entries: Iterable[tuple[Entry, bytes | None, Labels]]
    ) -> list[int]:
        """Add entries with their bodies and labels, in order; as `append`, which see.

        Returns:
            Their indices.
        """
        first = log_size(connection, lock=True)
        self._refuse_rollback(connection, first)
        edge = with_nodes(connection, lambda read: RightEdge(read, first))
        rest = iter(entries)
        while piece := list(itertools.islice(rest, _ROWS)):
            _store(connection, edge, piece, self.vault)
        connection.execute(update(tables.head).values(size=edge.size))
        return list(range(first, edge.size))

    def publish(self) -> str:
        """Sign the log as it is, unless that was done; call after the commit.

        Returns:
            The signed note of the current size.

        Raises:
            IntegrityError: The database is not an extension of what was signed before
                (`log.rolled_back`): it was restored from a backup, or altered.
        """
        with self.memory.locked(), self.database.transaction() as connection:
            size = log_size(connection, lock=True)
            self._refuse_rollback(connection, size)
            remembered, stored = self.memory.read(), latest_note(connection)
            for note in (remembered, stored):
                if note is not None and self._open(note).size == size:
                    return self._keep(connection, note, size)
            if remembered is not None:  # signed just before a crash: no note is ever lost
                _store_note(connection, remembered, self._open(remembered).size)
            root = with_nodes(connection, lambda read: root_of(read, size))
            note = sign_checkpoint(Checkpoint(self.origin, size, root), self.signer)
            return self._keep(connection, note, size)

    def latest(self) -> Checkpoint:
        """The newest published tree head.

        Raises:
            NotFoundError: Nothing was published yet.
        """
        with self.database.read() as connection:
            note = latest_note(connection)
        if note is None:
            raise NotFoundError("the ledger has no checkpoint yet", code="log.unpublished")
        return self._open(note)

    def remembered(self) -> Checkpoint | None:
        """The last checkpoint that this machine signed for the log; None if it never did.

        Raises:
            IntegrityError: The memory is damaged.
        """
        note = self.memory.read()
        return None if note is None else self._open(note)

    def refuse_older(self) -> None:
        """Return if the database goes on from everything that was signed; writes nothing.

        Raises:
            IntegrityError: It is older than what was signed, or altered (`log.rolled_back`).
        """
        with self.database.read() as connection:
            self._refuse_rollback(connection, log_size(connection))

    def proof_bundle(self, index: int) -> str:
        """The tlog-proof text of an entry under the newest checkpoint.

        Raises:
            NotFoundError: There is no such entry.
            TemporaryError: No checkpoint covers it yet: publish first.
            IntegrityError: The stored tree is altered, so that the proof would not hold.
        """
        (proof,) = self.proof_bundles([index])
        return proof

    def proof_bundles(self, indices: Iterable[int]) -> list[str]:
        """The same for several entries, read at one moment."""
        with self.database.read() as connection:
            return [proof.text for proof in prove_entries(connection, self.verifier_key, indices)]

    def _keep(self, connection: Connection, note: str, size: int) -> str:
        """Remember a note outside the database first: nobody may see one that can be forgotten."""
        if self.memory.read() != note:
            self.memory.write(note)
        _store_note(connection, note, size)
        return note

    def _refuse_rollback(self, connection: Connection, size: int) -> None:
        """Both memories of what was signed must be a prefix of the log as it is."""
        for note in {self.memory.read(), latest_note(connection)} - {None}:
            signed = self._open(str(note))
            if signed.size > size:
                raise _rolled_back(f"{signed.size} entries were signed, but it holds {size}")
            try:
                _check_prefix(connection, signed, size)
            except IntegrityError as error:
                raise _rolled_back(error.message) from error

    def _open(self, note: str) -> Checkpoint:
        where = f"it is in the database or in {self.memory.path}"
        return open_stored(note, self.verifier_key, where)


def _check_prefix(connection: Connection, signed: Checkpoint, size: int) -> None:
    """Check that what was signed is a prefix of the stored tree of `size` leaves."""

    def proof_and_root(read: HashReader) -> tuple[list[bytes], bytes]:
        return consistency_proof(read, signed.size, size), root_of(read, size)

    proof, root = with_nodes(connection, proof_and_root)
    verify_consistency(signed.size, size, signed.root, root, proof)


def _store(
    connection: Connection,
    edge: RightEdge,
    piece: Sequence[tuple[Entry, bytes | None, Labels]],
    vault: Vault | None,
) -> None:
    """Entries, bodies, and the nodes that they complete."""
    entries, nodes = [], []
    bodies: dict[int, bytes] = {}
    private: dict[int, tuple[bytes, bytes]] = {}
    for entry, body, labels in piece:
        row = _entry_row(edge.size, entry, labels)
        entries.append(row)
        if body is not None:
            check_body(entry, body)
            refuse_ambiguous(body)
            bodies[edge.size] = body
            if entry.type in SEALED:
                private[edge.size] = row["leaf"], body
        for level, at, digest in edge.append(row["leaf_hash"]):
            nodes.append({"level": level, "node_index": at, "hash": digest})
    connection.execute(insert(tables.entry), entries)
    if vault is not None:
        bodies |= vault.seal_all(private)
    if bodies:
        rows = [{"entry_index": index, "content": content} for index, content in bodies.items()]
        connection.execute(insert(tables.body), rows)
    connection.execute(insert(tables.node), nodes)


def _entry_row(index: int, entry: Entry, labels: Labels) -> dict[str, Any]:
    leaf = entry.leaf_bytes()
    return {
        "entry_index": index,
        "type": entry.type,
        "time": entry.time,
        "leaf": leaf,
        "leaf_hash": leaf_hash(leaf),
        "guarantee_class": labels.guarantee_class,
        "modalities": modalities_text(labels.modalities),
        "certificate_id": labels.certificate_id,
    }


def _store_note(connection: Connection, note: str, size: int) -> None:
    """Keep a note, unless that was done; the caller keeps other writers away."""
    checkpoint = tables.checkpoint
    known = select(checkpoint.c.size).where(checkpoint.c.size == size)
    if connection.execute(known).first() is None:
        connection.execute(insert(checkpoint).values(size=size, note=note))


def _rolled_back(detail: str) -> IntegrityError:
    return IntegrityError(
        f"the ledger is not a continuation of what was signed before: {detail}",
        code="log.rolled_back",
        hint="an older ledger.db was restored, or this one was altered: put the newest one back. "
        "Data and models of an older backup come back with `mbd restore`, which keeps the ledger. "
        "If the newest is lost, start a new workspace: this log must not be signed again",
    )
