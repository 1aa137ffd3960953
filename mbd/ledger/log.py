"""The log: append inside somebody's transaction, publish after it, prove to anybody.

An entry exists when its transaction commits. A checkpoint is signed afterwards, at most one
per size ever; whoever is killed between the two leaves an unpublished entry that the next
`publish` covers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, insert, update
from sqlalchemy.dialects.sqlite import insert as insert_or

from mbd.database import tables
from mbd.database.engine import Database
from mbd.errors import IntegrityError, MbdError, NotFoundError, TemporaryError
from mbd.ledger.binding import check_body
from mbd.ledger.entry import Entry
from mbd.ledger.memory import Memory, default_path
from mbd.ledger.merkle import (
    completed_nodes,
    consistency_proof,
    inclusion_proof,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from mbd.ledger.note import Checkpoint, NoteSigner, VerifierKey, open_checkpoint, sign_checkpoint
from mbd.ledger.queries import latest_note, log_size, modalities_text, node_reader
from mbd.ledger.tlog_proof import TlogProof


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
        size = log_size(connection, lock=True)
        self._refuse_rollback(connection, size)
        first = size
        for entry, body, labels in entries:
            _store(connection, size, entry, body, labels)
            size += 1
        connection.execute(update(tables.head).values(size=size))
        return list(range(first, size))

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
            root = root_of(node_reader(connection), size)
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
            size, read = log_size(connection), node_reader(connection)
            heads: dict[str, Checkpoint] = {}
            proofs = []
            for index in indices:
                note = _covering(connection, index, size)
                if note not in heads:
                    heads[note] = self._open(note)
                head = heads[note]
                hashes = inclusion_proof(read, index, head.size)
                verify_inclusion(read(0, index), index, head.size, hashes, head.root)
                proofs.append(TlogProof(index, tuple(hashes), note).text)
        return proofs

    def _keep(self, connection: Connection, note: str, size: int) -> str:
        """Remember a note outside the database first: nobody may see one that can be forgotten."""
        if self.memory.read() != note:
            self.memory.write(note)
        _store_note(connection, note, size)
        return note

    def _refuse_rollback(self, connection: Connection, size: int) -> None:
        """Both memories of what was signed must be a prefix of the log as it is."""
        read = node_reader(connection)
        for note in {self.memory.read(), latest_note(connection)} - {None}:
            signed = self._open(str(note))
            if signed.size > size:
                raise _rolled_back(f"{signed.size} entries were signed, but it holds {size}")
            proof = consistency_proof(read, signed.size, size)
            try:
                verify_consistency(signed.size, size, signed.root, root_of(read, size), proof)
            except IntegrityError as error:
                raise _rolled_back(error.message) from error

    def _open(self, note: str) -> Checkpoint:
        try:
            return open_checkpoint(note, self.verifier_key, self.origin)
        except MbdError as error:
            raise IntegrityError(
                f"a signed checkpoint of this log is damaged: {error.message}",
                code="log.checkpoint",
                hint=f"it is in the database or in {self.memory.path}",
            ) from error


def _covering(connection: Connection, index: int, size: int) -> str:
    """The newest checkpoint, which has to cover an entry."""
    if not 0 <= index < size:
        raise NotFoundError(f"the ledger has no entry {index}", code="log.not_found")
    note = latest_note(connection, above=index)
    if note is None:
        raise TemporaryError(
            f"entry {index} is not covered by a checkpoint yet",
            code="log.unpublished",
            hint="run `mbd resume`",
        )
    return note


def _store(
    connection: Connection, index: int, entry: Entry, body: bytes | None, labels: Labels
) -> None:
    """Entry, body, and the nodes that the entry completes."""
    if body is not None:
        check_body(entry, body)
    _store_entry(connection, index, entry, labels)
    if body is not None:
        connection.execute(insert(tables.body).values(entry_index=index, content=body))
    nodes = completed_nodes(index, entry.leaf_hash(), node_reader(connection))
    rows = [{"level": level, "node_index": at, "hash": digest} for level, at, digest in nodes]
    connection.execute(insert(tables.node), rows)


def _store_entry(connection: Connection, index: int, entry: Entry, labels: Labels) -> None:
    row = {
        "entry_index": index,
        "type": entry.type,
        "time": entry.time,
        "leaf": entry.leaf_bytes(),
        "leaf_hash": entry.leaf_hash(),
        "guarantee_class": labels.guarantee_class,
        "modalities": modalities_text(labels.modalities),
        "certificate_id": labels.certificate_id,
    }
    connection.execute(insert(tables.entry).values(row))


def _store_note(connection: Connection, note: str, size: int) -> None:
    row = {"size": size, "note": note}
    connection.execute(insert_or(tables.checkpoint).values(row).on_conflict_do_nothing())


def _rolled_back(detail: str) -> IntegrityError:
    return IntegrityError(
        f"the ledger is not a continuation of what was signed before: {detail}",
        code="log.rolled_back",
        hint="an older ledger.db was restored, or this one was altered: put the newest one back. "
        "Data and models of an older backup come back with `mbd restore`, which keeps the ledger. "
        "If the newest is lost, start a new workspace: this log must not be signed again",
    )
