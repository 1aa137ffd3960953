"""Keys of a workspace: announce one, put one in force, distrust one, show them.

The issuer's key may change as often as one likes; the ledger says from where on which one
signed. The log's key may not: a log *is* its name and key, and a second key would be a second
history under the name of the first.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from mbd.database.batches import Batches
from mbd.errors import ConflictError, MbdError, NotFoundError, RefusedError, UsageError
from mbd.ledger.key_events import KeyHistory, KeyRecord, Role
from mbd.ledger.note import VerifierKey
from mbd.ledger.queries import Filter, list_entries, log_size
from mbd.signing.keys import LockedKey, Signer, check_signer, generate_key, load_key
from mbd.signing.passphrase import PASSPHRASE
from mbd.signing.public import Algorithm, PublicKey
from mbd.signing.signers import open_signer
from mbd.verify.trust import load_trust
from mbd.workflows import papers
from mbd.workflows.batch import members_by_bucket
from mbd.workflows.issuer_name import check_issuer_name
from mbd.workflows.key_change import (
    NEXT_FILE,
    KeyChange,
    begin_change,
    finish_change,
    history_of,
    issuer_file,
    key_folder,
    named_file,
    read_change,
)
from mbd.workflows.resume import finish_interrupted
from mbd.workflows.session import Session, interrupted
from mbd.workspace.files import write_atomically

State = Literal["current", "standby", "retired", "distrusted"]


@dataclass(frozen=True, kw_only=True)
class KnownKey:
    """A key that the ledger announced, and what may be told of it."""

    record: KeyRecord
    state: State
    key: PublicKey | None
    """None where neither ledger nor trust file has more than its id."""
    vkey: VerifierKey | None
    """How a log's key is written in a trust file."""
    issuer: str | None = None
    """The name that it signed under, where the trust file knows one."""


def list_keys(session: Session) -> list[KnownKey]:
    """Every key of the issuer and of the log, the oldest first."""
    history = history_of(session)
    return [_known(session, history, one) for one in history.records.values()]


def find_key(session: Session, reference: str) -> KnownKey:
    """The key with this id, or the beginning of it.

    Raises:
        NotFoundError: There is none, or more than one.
    """
    history = history_of(session)
    return _known(session, history, history.find(reference))


def add_key(
    session: Session,
    *,
    algorithm: Algorithm = "ed25519",
    encrypt: bool | None = None,
    uri: str | None = None,
) -> KnownKey:
    """Announce another key of the issuer, which does not sign yet.

    Args:
        session: A workspace, with its lock held.
        algorithm: Of a new key.
        encrypt: Its file; None: if the one in force is encrypted.
        uri: A key that is there already, in a token or a file, instead of a new one.

    Raises:
        ConflictError: The ledger knows it.
        LockedError: A passphrase is missing or wrong; nothing changed.
    """
    check_issuer_name(session.settings.issuer, field="issuer")
    check_signer(session.log_key)
    finish_change(session)
    if uri is None:
        change = _new_key(session, "add", algorithm, encrypt)
    else:
        signer = open_signer(uri, session.workspace.root)
        check_signer(signer)
        change = KeyChange(kind="add", key_id=signer.public.key_id, key=signer.public)
    if change.key_id in history_of(session).records:
        raise ConflictError(f"the ledger knows key {change.key_id}", code="key.exists")
    begin_change(session, change)
    return find_key(session, change.key_id)


def rotate_key(
    session: Session,
    *,
    role: Role = "issuer",
    to: str | None = None,
    algorithm: Algorithm = "ed25519",
    encrypt: bool | None = None,
) -> KnownKey:
    """Put another key in force, and retire the one that signs now.

    Requests that are open are signed with the new key. What was signed with the old one and is
    not logged yet is logged first.

    Args:
        session: A workspace, with its lock held.
        role: Whose key.
        to: A key that was announced; None: the one that the settings name, if it is not in
            force yet, and else a new one.
        algorithm: Of a new key.
        encrypt: Its file; None: if the one in force is encrypted.

    Raises:
        RefusedError: The log's key is asked for.
        ConflictError: The key cannot be put in force.
        LockedError: A passphrase is missing or wrong; nothing changed.
    """
    if role == "log":
        raise RefusedError(
            "a log is its name and its key: with another key it would be another log",
            code="key.log",
            hint="if the log's key is lost or stolen, begin a new log: `mbd init` makes a "
            "workspace with a new name and key. Old certificates keep their own trust file; tell "
            "those who hold it the last checkpoint that you vouch for",
        )
    check_issuer_name(session.settings.issuer, field="issuer")
    check_signer(session.log_key)
    unfinished = read_change(session)
    if unfinished is not None:
        finish_change(session)
        if unfinished.kind == "rotate" and to in (None, unfinished.key_id):
            return find_key(session, unfinished.key_id)
    change = _chosen(session, to) if to else _configured(session)
    _log_what_was_signed(session)
    begin_change(session, change or _new_key(session, "rotate", algorithm, encrypt))
    current = history_of(session).issuer
    assert current is not None, "a key was put in force"
    return find_key(session, current)


@dataclass(frozen=True, kw_only=True)
class Distrust:
    """What distrusting a key from an index on does to certificates."""

    key: KnownKey
    from_index: int
    """The earliest that was ever said, this time included."""
    invalid: tuple[str, ...]
    """Ids of certificates that it signed at or after the index."""
    doubted: tuple[str, ...]
    """Of those before it: valid, but not current."""


def plan_distrust(session: Session, reference: str, from_index: int) -> Distrust:
    """What would become of which certificates; nothing is changed.

    Raises:
        NotFoundError: The ledger knows no such key.
        RefusedError: It is the log's.
        ConflictError: It signs now.
        UsageError: The log has not come to this index yet.
    """
    history = history_of(session)
    record = history.find(reference)
    if record.role == "log":
        raise RefusedError(
            "whoever distrusts the log's key distrusts the log",
            code="key.log",
            hint="take it out of the trust file; `mbd init` begins a new log",
        )
    if record.key_id == history.issuer:
        raise ConflictError(
            f"key {record.key_id} signs certificates now",
            code="key.current",
            hint="put another in force first: `mbd key rotate`",
        )
    with session.database.read() as connection:
        size = log_size(connection)
    if not 0 <= from_index <= size:
        raise UsageError(f"the ledger has {size} entries: want 0 to {size}", field="--from")
    said = record.distrusted_from
    start = from_index if said is None else min(said, from_index)
    signed = signed_by(session, history, record)
    return Distrust(
        key=_known(session, history, record),
        from_index=start,
        invalid=tuple(name for index, name in signed if index >= start),
        doubted=tuple(name for index, name in signed if index < start),
    )


def distrust_key(session: Session, reference: str, from_index: int) -> Distrust:
    """Say that a key is not to be believed from an index on, and only dated before it.

    It cannot be taken back. Raises what `plan_distrust` raises, and

    Raises:
        LockedError: A passphrase is missing or wrong; nothing changed.
    """
    check_signer(session.log_key)
    finish_change(session)
    plan = plan_distrust(session, reference, from_index)
    record = plan.key.record
    change = KeyChange(kind="distrust", key_id=record.key_id, key=record.key, from_index=from_index)
    begin_change(session, change)
    return replace(plan, key=find_key(session, record.key_id))


def signed_by(session: Session, history: KeyHistory, record: KeyRecord) -> list[tuple[int, str]]:
    """Index and id of the certificates that were logged while an issuer's key was in force.

    One key is at a time: it signs from where the one before it was retired, however early it
    was announced, to where it is retired itself.
    """
    end = record.retired_from
    if end is None and record.key_id != history.issuer:
        return []  # announced, and never put in force
    ends = [one.retired_from for one in history.issuers() if one.retired_from is not None]
    start = max((one for one in ends if end is None or one < end), default=record.valid_from)
    with session.database.read() as connection:
        entries = list_entries(connection, Filter(type="certificate", after=start - 1, before=end))
    return [(one.index, one.certificate_id or "") for one in entries]


def is_encrypted(signer: Signer) -> bool:
    """Whether a passphrase is wanted before the first signature."""
    return isinstance(signer, LockedKey)


def _known(session: Session, history: KeyHistory, record: KeyRecord) -> KnownKey:
    key, vkey = record.key, None
    if key is None:
        key = _public_elsewhere(session, record)
    if record.role == "log" and key is not None:
        vkey = VerifierKey(session.settings.origin, key.raw)
    name = _name_elsewhere(session, record)
    return KnownKey(record=record, state=_state(history, record), key=key, vkey=vkey, issuer=name)


def _state(history: KeyHistory, record: KeyRecord) -> State:
    if record.distrusted_from is not None:
        return "distrusted"
    if record.retired_from is not None:
        return "retired"
    signs = record.role == "log" or record.key_id == history.issuer
    return "current" if signs else "standby"


def _name_elsewhere(session: Session, record: KeyRecord) -> str | None:
    """A key that is older than the issuer's present name keeps its own."""
    with suppress(MbdError):
        known = load_trust(session.workspace.trust_file).issuer(record.key_id)
        return None if known is None else known.name
    return None


def _public_elsewhere(session: Session, record: KeyRecord) -> PublicKey | None:
    """The public key of an id: first entries named no more. The trust file has it, or the file."""
    with suppress(MbdError):
        known = load_trust(session.workspace.trust_file).issuer(record.key_id)
        if known is not None:
            return known.key
    with suppress(MbdError):
        public = (session.log_key if record.role == "log" else session.issuer_key).public
        if public.key_id == record.key_id:
            return public
    return None


def _chosen(session: Session, reference: str) -> KeyChange:
    """A key that was announced, and whose private half is here."""
    history = history_of(session)
    record = history.find(reference)
    if record.role != "issuer" or record.retired_from is not None:
        raise ConflictError(f"key {record.key_id} cannot sign any more", code="key.retired")
    if record.distrusted_from is not None:
        raise ConflictError(f"key {record.key_id} is distrusted", code="key.distrusted")
    if record.key_id == history.issuer:
        raise ConflictError(f"key {record.key_id} is in force already", code="key.current")
    if session.issuer_key.public.key_id == record.key_id:
        return _in_settings(session)
    path = named_file(session, record.key_id)
    signer = load_key(path)
    if signer.public.key_id != record.key_id:
        raise NotFoundError(f"{path} holds another key", code="key.not_found")
    if issuer_file(session) is None:
        raise ConflictError(
            "the settings name a key that is not a file",
            code="key.uri",
            field="issuer_key",
            hint=f'set issuer_key = "file:{path}", then run this again without --to',
        )
    check_signer(signer)
    return KeyChange(kind="rotate", key_id=record.key_id, key=signer.public, file=path.name)


def _configured(session: Session) -> KeyChange | None:
    """The key that the settings name, if another one is in force; None if a new one is wanted."""
    history = history_of(session)
    try:
        found = session.issuer_key.public.key_id
    except MbdError as error:
        if issuer_file(session) is None or error.code not in ("key.not_found", "key.invalid"):
            raise
        return None  # a file that is lost or damaged is replaced, and what is left of it kept
    if found != history.issuer:
        record = history.records.get(found)
        if record is not None and (record.retired_from, record.distrusted_from) != (None, None):
            return None
        return _in_settings(session)
    if issuer_file(session) is None:
        raise ConflictError(
            f"{session.settings.issuer_key} is in force already",
            code="key.current",
            field="issuer_key",
            hint="make another key in the token, name it in mbd.toml (issuer_key), and run this "
            "again",
        )
    return None


def _in_settings(session: Session) -> KeyChange:
    signer = session.issuer_key
    check_signer(signer)
    return KeyChange(kind="rotate", key_id=signer.public.key_id, key=signer.public)


def _new_key(
    session: Session, kind: Literal["add", "rotate"], algorithm: Algorithm, encrypt: bool | None
) -> KeyChange:
    """A fresh key in a file of its own; nothing was decided about it yet."""
    if encrypt is None:
        encrypt = is_encrypted(session.log_key)
        with suppress(MbdError):
            encrypt = is_encrypted(session.issuer_key)
    path = key_folder(session) / NEXT_FILE
    passphrase = PASSPHRASE.choose("the new key") if encrypt else None
    key = generate_key(algorithm)
    write_atomically(path, key.pem(passphrase), mode=0o600)
    return KeyChange(kind=kind, key_id=key.key_id, key=key.public, file=path.name)


def _log_what_was_signed(session: Session) -> None:
    """Finish open requests; where that fails, at least none stays between signed and logged.

    It would be logged after its key was retired.
    """
    try:
        finish_interrupted(session)
    except MbdError:
        for batch_id in interrupted(session):
            with session.database.read() as connection:
                batch = Batches(connection).get(batch_id)
            if not any(member.stage == "signed" for member in batch.members):
                continue
            for _, members in members_by_bucket(batch):
                if members[0].stage == "signed":
                    papers.log(session, batch, members)
