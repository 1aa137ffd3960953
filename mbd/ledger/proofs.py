"""Proofs from the stored tree, each checked before it is handed out. Needs no private key."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, select

from mbd.database import tables
from mbd.errors import DataError, IntegrityError, MbdError, NotFoundError, TemporaryError
from mbd.ledger.consistency import ConsistencyProof
from mbd.ledger.merkle import (
    HashReader,
    consistency_proof,
    inclusion_proof,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from mbd.ledger.note import Checkpoint, VerifierKey, open_checkpoint
from mbd.ledger.queries import latest_note, log_size, with_nodes
from mbd.ledger.tlog_proof import TlogProof


def prove_entries(
    connection: Connection, key: VerifierKey, indices: Iterable[int]
) -> list[TlogProof]:
    """The proof of each entry under the newest checkpoint.

    Raises:
        NotFoundError: There is no such entry.
        TemporaryError: No checkpoint covers it yet: publish first.
        IntegrityError: The stored tree is altered, so that the proof would not hold.
    """
    size = log_size(connection)
    heads: dict[str, Checkpoint] = {}
    proofs = []
    for index in indices:
        note = _covering(connection, index, size)
        if note not in heads:
            heads[note] = open_stored(note, key)
        proofs.append(_prove(connection, index, note, heads[note]))
    return proofs


def prove_growth(
    connection: Connection, key: VerifierKey, old: Checkpoint, note: str
) -> ConsistencyProof:
    """That `old` is a prefix of the checkpoint in `note`, which this log signed.

    Raises:
        IntegrityError: It is not: `log.rolled_back` where the log has fewer entries than `old`,
            `log.fork` where they are others.
    """
    new, size = open_stored(note, key), log_size(connection)
    for head in (old, new):
        if head.size > size:
            raise IntegrityError(
                f"a checkpoint of size {head.size} was signed, but the ledger holds {size} entries",
                code="log.rolled_back",
                hint="an older ledger was put in its place",
            )
    if old.size > new.size:
        raise DataError(
            f"the older checkpoint has size {old.size}, the newer {new.size}", code="merkle.range"
        )
    hashes = with_nodes(connection, lambda read: consistency_proof(read, old.size, new.size))
    try:
        verify_consistency(old.size, new.size, old.root, new.root, hashes)
    except IntegrityError as error:
        raise IntegrityError(
            f"two histories of {key.name} were signed, or the stored one was altered: "
            f"{error.message}",
            code="log.fork",
            hint="keep both checkpoints: together they are the evidence; then run "
            "`mbd ledger check`",
        ) from error
    return ConsistencyProof(old.size, tuple(hashes), note)


def stored_head(connection: Connection, origin: str, size: int) -> Checkpoint:
    """The tree head of the first `size` entries as the stored tree has it; nobody signed it.

    Raises:
        NotFoundError: The log is smaller.
    """
    if size > (found := log_size(connection)):
        raise NotFoundError(f"the ledger has {found} entries, not {size}", code="log.not_found")
    root = with_nodes(connection, lambda read: root_of(read, size))
    return Checkpoint(origin, size, root)


def published_note(connection: Connection, size: int) -> str:
    """The signed note of a size.

    Raises:
        NotFoundError: That size was never signed.
    """
    checkpoint = tables.checkpoint
    query = select(checkpoint.c.note).where(checkpoint.c.size == size)
    note = connection.execute(query).scalar()
    if note is None:
        raise NotFoundError(
            f"no checkpoint of size {size} was signed",
            code="log.unpublished",
            hint="name another size, or leave it out for the newest checkpoint",
        )
    return str(note)


def newest_note(connection: Connection) -> str:
    """The newest published checkpoint.

    Raises:
        NotFoundError: Nothing was published yet.
    """
    note = latest_note(connection)
    if note is None:
        raise NotFoundError("the ledger has no checkpoint yet", code="log.unpublished")
    return note


def open_stored(note: str, key: VerifierKey, where: str = "run `mbd ledger check`") -> Checkpoint:
    """A checkpoint that this log is said to have signed.

    Raises:
        IntegrityError: It is damaged, or not this log's.
    """
    try:
        return open_checkpoint(note, key, key.name)
    except MbdError as error:
        raise IntegrityError(
            f"a signed checkpoint of this log is damaged: {error.message}",
            code="log.checkpoint",
            hint=where,
        ) from error


def _prove(connection: Connection, index: int, note: str, head: Checkpoint) -> TlogProof:
    def leaf_and_proof(read: HashReader) -> tuple[bytes, list[bytes]]:
        return read(0, index), inclusion_proof(read, index, head.size)

    leaf, hashes = with_nodes(connection, leaf_and_proof)
    verify_inclusion(leaf, index, head.size, hashes, head.root)
    return TlogProof(index, tuple(hashes), note)


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
