"""Consent, given again: what arrives from now on may be used; what was erased stays gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from mbd.canonical.json import dumps, loads_strict
from mbd.canonical.ulid import new_ulid
from mbd.database import suppressions
from mbd.database.journal import Journal
from mbd.database.suppressions import keyed_hash
from mbd.errors import ConflictError, NotFoundError
from mbd.ledger.entry import unsigned_entry
from mbd.ledger.queries import body_of, list_entries
from mbd.signing.commitment import commit, new_salt
from mbd.workflows.session import Session

GRANTED, WITHDRAWN = "granted", "withdrawn"


@dataclass(frozen=True, kw_only=True)
class Consent:
    """What was logged."""

    modalities: tuple[str, ...]
    entry: int
    """Index in the ledger."""
    consent_id: str
    """Under which the salts of the entry's commitments are kept, to show what was meant."""


def grant_consent(session: Session, subject: str, modality: str) -> Consent:
    """Let a revoked modality of one person be used again, for data that arrives later.

    Nothing that was erased comes back. The ledger gets a commitment to person and modality;
    only who has its salt and the workspace key can tell whose it is. Call it with the
    workspace's lock held.

    Raises:
        NotFoundError: No such modality, nobody of that name, or no data at all.
        ConflictError: It is not revoked, what it is made from still is, or nothing was erased yet.
    """
    schema, off = session.store().schema, session.suppressions
    schema.modality(modality)
    _refuse_stranger(session, subject)
    if not off.blocks(subject, modality):
        raise ConflictError(
            f"{modality} of this user is not revoked",
            code="consent.not_revoked",
            field="--modality",
            hint=f"`mbd data show --user {subject}` says what is",
        )
    sources = [m for m in schema.names if m != modality and modality in schema.cascade([m])]
    for source in sources:
        if off.blocks(subject, source):
            raise ConflictError(
                f"{modality} is made from {source}, which is revoked",
                code="consent.source",
                field="--modality",
                hint=f"grant {source} first",
            )
    _refuse_waiting(session, subject, modality)
    lift = partial(suppressions.lift, key=session.key, subject=subject, at=datetime.now(UTC))
    return _log(session, GRANTED, subject, [modality], lift)


def withdraw_consent(session: Session, subject: str, modality: str) -> Consent:
    """Take a grant back before any data of it arrived, with what is made from that modality.

    Once there is data, `mbd revoke` erases it and certifies that. Call it with the
    workspace's lock held.

    Raises:
        NotFoundError: No such modality, nobody of that name, or no data at all.
        ConflictError: It was not granted, or data of it has arrived.
    """
    store, off = session.store(), session.suppressions
    affected = store.schema.cascade([modality])
    _refuse_stranger(session, subject)
    if not off.granted(subject, modality):
        raise ConflictError(
            f"{modality} of this user was not granted again",
            code="consent.not_granted",
            field="--modality",
            hint=f"`mbd data show --user {subject}` says what was",
        )
    held = store.read(subjects=[subject])
    for name in affected:
        if any(value is not None for value in held.x[name]):
            raise ConflictError(
                f"{name} of this user has arrived since",
                code="consent.used",
                field="--modality",
                hint=f"`mbd revoke --user {subject} --modality {modality}` erases it",
            )
    chosen = [name for name in affected if off.granted(subject, name)]
    reinstate = partial(suppressions.reinstate, key=session.key, subject=subject)
    return _log(session, WITHDRAWN, subject, chosen, reinstate)


def _refuse_waiting(session: Session, subject: str, modality: str) -> None:
    """Data that waits for its retraining is still held: a grant would bring it back."""
    with session.database.read() as connection:
        name = suppressions.find(connection, session.key, subject, modality)
        known = Journal(connection).find(str(name))
    if known is not None and known.is_open:
        raise ConflictError(
            f"request {known.request_id}, which revokes {modality} of this user, is not completed",
            code="consent.waiting",
            field="--modality",
            hint=f"`mbd resume` finishes it; `mbd revoke --cancel {known.request_id}` gives it up",
        )


def is_granted(session: Session, subject: str, modality: str) -> bool:
    """Whether the ledger holds a consent to this, as far as salts and bodies are kept."""
    with session.database.read() as connection:
        bodies = [
            body_of(connection, entry.index)
            for entry in list_entries(connection)
            if entry.type == "consent"
        ]
    for body in bodies:
        found = {} if body is None else loads_strict(body, max_bytes=1 << 20)
        salt = session.secrets.salts(found.get("consentId", "")).get(modality)
        stated = found.get(GRANTED, [])
        if salt is not None and _commitment(session, salt, GRANTED, subject, modality) in stated:
            return True
    return False


def _commitment(session: Session, salt: bytes, what: str, subject: str, modality: str) -> str:
    return commit(salt, what, keyed_hash(session.key, "consent", subject, modality))


def _log(
    session: Session,
    what: str,
    subject: str,
    modalities: Iterable[str],
    change: Callable[..., object],
) -> Consent:
    """Change the list and log it in one transaction."""
    consent_id, now, chosen = new_ulid(datetime.now(UTC)), datetime.now(UTC), tuple(modalities)
    salts = {name: new_salt() for name in chosen}
    session.secrets.put_salts(consent_id, salts)
    commitments = [_commitment(session, salts[name], what, subject, name) for name in chosen]
    body = dumps({"consentId": consent_id, what: sorted(commitments)})
    with session.database.transaction() as connection:
        for name in chosen:
            change(connection, modality=name)
        entry = session.log.append(connection, unsigned_entry("consent", now, body), body)
    session.log.publish()
    return Consent(modalities=chosen, entry=entry, consent_id=consent_id)


def _refuse_stranger(session: Session, subject: str) -> None:
    """Somebody who has no data left is known by what they revoked."""
    store, off = session.store(), session.suppressions
    ever = any(off.blocks(subject, m) or off.granted(subject, m) for m in store.schema.names)
    if not ever and not len(store.read(subjects=[subject])):
        raise NotFoundError(
            f"no user {subject!r} in this data set",
            code="user.not_found",
            field="--user",
            hint="`mbd data subjects` lists them",
        )
