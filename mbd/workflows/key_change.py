"""A change of keys, carried to its end whatever is killed: decided, logged, believed, in place.

What was decided lies in `keys/change.json` from before anything is done until all of it is.
Every step may be repeated, and every writer repeats them first. Nothing is signed with an
issuer's key in between, so nothing is signed by a key that the log has retired.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from mbd.canonical.digest import b64decode_strict, b64encode
from mbd.canonical.json import dumps, loads_strict
from mbd.errors import DataError, IntegrityError
from mbd.ledger.entry import Entry, unsigned_entry
from mbd.ledger.key_events import (
    MAX_EVENT_BYTES,
    KeyEvent,
    KeyHistory,
    KeyRecord,
    added,
    read_history,
)
from mbd.ledger.log import Labels
from mbd.ledger.queries import log_size
from mbd.signing.public import PublicKey, public_key
from mbd.signing.signers import file_of
from mbd.verify.trust import load_trust
from mbd.verify.trust_text import render_trust
from mbd.verify.trusted import TrustedIssuer, TrustedLog, TrustPolicy
from mbd.workflows.session import Session
from mbd.workspace.files import fsync_directory, remove_file, storage_errors, write_atomically

CHANGE_FILE = "change.json"
NEXT_FILE = ".next.pem"
"""A new key that nothing was decided about yet; the next change overwrites it."""

Kind = Literal["add", "rotate", "distrust"]


@dataclass(frozen=True, kw_only=True)
class KeyChange:
    """What was decided about a key of the issuer."""

    kind: Kind
    key_id: str
    """Of the key that is added, put in force, or distrusted."""
    key: PublicKey | None = None
    """The same key; None where only its id is known."""
    file: str | None = None
    """Where the new private key lies, beside the issuer's; None: in a token, or in place."""
    from_index: int | None = None
    """distrust: first index that is refused."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "kind": self.kind,
            "keyId": self.key_id,
            "publicKey": None if self.key is None else b64encode(self.key.der),
            "file": self.file,
            "from": self.from_index,
        }

    @classmethod
    def from_json(cls, content: Any) -> KeyChange:
        """What `to_json` gave."""
        der = content["publicKey"]
        return cls(
            kind=content["kind"],
            key_id=content["keyId"],
            key=None if der is None else public_key(b64decode_strict(der)),
            file=content["file"],
            from_index=content["from"],
        )


def begin_change(session: Session, change: KeyChange) -> None:
    """Decide a change, and carry it out.

    Args:
        session: A workspace, with its lock held and no other change begun.
        change: What to do.
    """
    write_atomically(change_path(session), dumps(change.to_json()), mode=0o600)
    finish_change(session)


def finish_change(session: Session) -> KeyChange | None:
    """Carry out what was decided, if anything was; call with the workspace's lock held.

    Returns:
        What it was.

    Raises:
        LockedError: The log's key is locked; nothing is lost.
    """
    change = read_change(session)
    if change is None:
        return None
    _announce(session, change)
    session.log.publish()
    follow_ledger(session)
    _put_in_place(session, change)
    remove_file(change_path(session))
    return change


def read_change(session: Session) -> KeyChange | None:
    """A change that was decided and is not finished.

    Raises:
        IntegrityError: Its file is damaged.
    """
    path = change_path(session)
    if not path.is_file():
        return None
    with storage_errors(path):
        content = path.read_bytes()
    try:
        return KeyChange.from_json(loads_strict(content, max_bytes=MAX_EVENT_BYTES))
    except (DataError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{path}: not a change of keys: {error}",
            code="key.change",
            hint="restore keys/ from a backup; or remove the file, and run `mbd key rotate`",
        ) from error


def change_path(session: Session) -> Path:
    """Where a change is written down."""
    return session.workspace.keys / CHANGE_FILE


def issuer_file(session: Session) -> Path | None:
    """The issuer's key file; None if the key is elsewhere."""
    return file_of(session.settings.issuer_key, session.workspace.root)


def key_folder(session: Session) -> Path:
    """Where files with keys of the issuer lie."""
    path = issuer_file(session)
    return session.workspace.keys if path is None else path.parent


def named_file(session: Session, key_id: str, state: str = "issuer") -> Path:
    """The file of a key that does not sign now."""
    return key_folder(session) / f"{state}-{key_id[:16]}.pem"


def history_of(session: Session) -> KeyHistory:
    """What the ledger says of keys."""
    with session.database.read() as connection:
        return read_history(connection)


def follow_ledger(session: Session) -> None:
    """Make the workspace's trust file say of its own keys what the ledger says.

    Other issuers and limits in it stay; comments are lost if it changes.
    """
    path = session.workspace.trust_file
    old = load_trust(path) if path.is_file() else TrustPolicy()
    records = {one.key_id: one for one in history_of(session).issuers()}
    kept = [_bounded(one, records.pop(one.key.key_id, None)) for one in old.issuers]
    new = [
        _bounded(TrustedIssuer(session.settings.issuer, one.key), one)
        for one in records.values()
        if one.key is not None
    ]
    log = old.log or TrustedLog(session.settings.origin, session.log.verifier_key)
    policy = replace(old, issuers=(*kept, *new), log=log)
    if policy != old:
        write_atomically(path, render_trust(policy).encode())


def _bounded(one: TrustedIssuer, record: KeyRecord | None) -> TrustedIssuer:
    """An issuer within the bounds of the ledger; narrower ones of the file stay."""
    if record is None:
        return one
    return replace(
        one,
        valid_from=max(one.valid_from, record.valid_from),
        retired_from=_earlier(one.retired_from, record.retired_from),
        distrusted_from=_earlier(one.distrusted_from, record.distrusted_from),
    )


def _announce(session: Session, change: KeyChange) -> None:
    """Append what the ledger does not say yet, in one transaction."""
    with session.database.transaction() as connection:
        size, history = log_size(connection, lock=True), read_history(connection)
        bodies = [(one.type, one.body()) for one in _events(change, history, size)]
        entries: list[tuple[Entry, bytes | None, Labels]] = [
            (unsigned_entry(kind, datetime.now(UTC), body), body, Labels()) for kind, body in bodies
        ]
        if entries:
            session.log.append_all(connection, entries)


def _events(change: KeyChange, history: KeyHistory, size: int) -> list[KeyEvent]:
    """What is missing, in order; the first would be entry `size`."""
    if change.kind == "distrust":
        return _revocation(change, history)
    assert change.key is not None, "a key that is to sign is at hand"
    events = []
    if change.key_id not in history.records:
        standby = change.kind == "add"
        events.append(added("issuer", change.key, size, standby=standby))
    if change.kind == "rotate" and history.issuer is not None and history.issuer != change.key_id:
        old = history.records[history.issuer]
        events.append(_ending("key-retire", old, size + len(events), change.key_id))
    return events


def _revocation(change: KeyChange, history: KeyHistory) -> list[KeyEvent]:
    record, start = history.records[change.key_id], change.from_index
    assert start is not None, "a distrusted key has an index"
    if record.distrusted_from is not None and record.distrusted_from <= start:
        return []
    return [_ending("key-revoke", record, start)]


def _ending(
    kind: Literal["key-retire", "key-revoke"],
    record: KeyRecord,
    index: int,
    successor: str | None = None,
) -> KeyEvent:
    return KeyEvent(
        type=kind,
        role=record.role,
        key_id=record.key_id,
        algorithm=record.algorithm,
        key=record.key,
        from_index=index,
        successor=successor,
    )


def _put_in_place(session: Session, change: KeyChange) -> None:
    """Give the new key's file its name. The issuer's file is replaced, never absent."""
    if change.file is None:
        return
    folder, target = key_folder(session), issuer_file(session)
    source = folder / change.file
    if not source.is_file():
        return  # done before the process was killed
    with storage_errors(source):
        if change.kind == "rotate" and target is not None:
            _keep_old(session, target)
            os.replace(source, target)
        else:
            os.replace(source, named_file(session, change.key_id))
        fsync_directory(folder)
    session.forget_issuer_key()


def _keep_old(session: Session, target: Path) -> None:
    """A second name for the key that is about to be replaced."""
    ended = [one for one in history_of(session).issuers() if one.retired_from is not None]
    latest = max(ended, key=lambda one: one.retired_from or 0, default=None)
    if latest is None or not target.is_file():
        return
    kept = named_file(session, latest.key_id, "retired")
    if not kept.exists():
        os.link(target, kept)
        fsync_directory(kept.parent)


def _earlier(one: int | None, other: int | None) -> int | None:
    return min((found for found in (one, other) if found is not None), default=None)
