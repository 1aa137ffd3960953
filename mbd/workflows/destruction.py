"""What is destroyed in two databases at once: decided in the ledger, then carried out.

The transaction that logs an erasure also notes which secrets go. Whoever is killed before they
are gone leaves that note, and the next command that opens the workspace finishes.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from datetime import datetime

from sqlalchemy import Connection

from mbd.canonical.json import dumps, loads_strict
from mbd.canonical.ulid import new_ulid
from mbd.database import pointers
from mbd.errors import IntegrityError, TemporaryError
from mbd.ledger.bodies import KeyOf, read_body
from mbd.ledger.queries import MAX_INDEX
from mbd.workflows.session import Session

DESTROY = "destroy"
ERASURE_SCHEMA = "urn:mbd:erasure:v1"
BODY, SUBJECT_SECRET = "body", "subject secret"
"""Reasons of erasure entries that say nothing of the model."""

_MAX_BYTES = 1 << 20


def erasure_body(reason: str, now: datetime, **fields: int) -> bytes:
    """The body of the ledger entry that says what was destroyed; it names nobody."""
    known = {"schema": ERASURE_SCHEMA, "id": new_ulid(now), "reason": reason}
    return dumps({**known, **fields})


def decide(
    connection: Connection, *, bodies: Collection[int] = (), subjects: Collection[str] = ()
) -> None:
    """Note inside the caller's transaction what is to be destroyed in `secrets.db`.

    Args:
        connection: Of the ledger; nothing else is waiting to be destroyed.
        bodies: Entries whose body keys go.
        subjects: Keyed hashes of the subjects whose secrets go.
    """
    wanted = {"bodies": sorted(bodies), "subjects": sorted(subjects)}
    pointers.set(connection, DESTROY, dumps(wanted).decode())


def finish_destruction(session: Session) -> bool:
    """Destroy what was decided, in every file; False if there was nothing to do.

    Call it with the workspace's lock held.

    Raises:
        TemporaryError: A reader keeps the old bytes alive; the next command tries again.
    """
    with session.database.read() as connection:
        noted = pointers.get(connection, DESTROY)
    if noted is None:
        return False
    wanted = loads_strict(noted.encode(), max_bytes=_MAX_BYTES)
    session.secrets.forget_body_keys(wanted["bodies"])
    session.secrets.forget_subjects(wanted["subjects"])
    session.secrets.truncating_checkpoint()
    session.database.purge()
    with session.database.transaction() as connection:
        pointers.clear(connection, DESTROY)
    with suppress(TemporaryError):  # the note itself names nobody; the next purge takes it
        session.database.purge()
    return True


def drop_stale_keys(session: Session) -> None:
    """Destroy body keys that open nothing: restored secrets may be older than the ledger.

    What was erased since does not come back with them.
    """
    known = session.secrets.body_keys(0, MAX_INDEX)
    with session.database.read() as connection:
        stale = [index for index in known if not _opens(connection, index, known.get)]
    session.secrets.forget_body_keys(stale)
    session.secrets.truncating_checkpoint()


def is_waiting(session: Session) -> bool:
    """Whether something was decided and is not destroyed yet."""
    with session.database.read() as connection:
        return pointers.get(connection, DESTROY) is not None


def _opens(connection: Connection, index: int, key_of: KeyOf) -> bool:
    try:
        return read_body(connection, index, key_of) is not None
    except IntegrityError:
        return False
