"""What `mbd doctor` finds in the keys: whether they can be used, and are those of the ledger."""

from __future__ import annotations

from collections.abc import Iterator

from mbd.errors import MbdError
from mbd.ledger.key_events import KeyHistory, Role
from mbd.signing.keys import LockedKey, Signer
from mbd.signing.signers import file_of, open_signer
from mbd.verify.trust import load_trust
from mbd.workflows.findings import Finding, error, note, of_error, warning
from mbd.workflows.issuer_name import HINT, other_name
from mbd.workflows.key_change import change_path, history_of, read_change
from mbd.workflows.keys import signed_by
from mbd.workflows.session import KEY_BYTES, Session

_NAMED = 20
"""Certificates in one finding."""


def key_findings(session: Session) -> Iterator[Finding]:
    """The workspace key, then the keys that sign: each alone, by the trust file, by the ledger."""
    workspace, settings = session.workspace, session.settings
    yield from _workspace_key(session)
    signers: dict[Role, tuple[str, Signer]] = {}
    named: tuple[tuple[Role, str], ...] = (
        ("issuer", settings.issuer_key),
        ("log", settings.log_key),
    )
    for role, uri in named:
        path = file_of(uri, workspace.root)
        if path is not None and not path.is_file():
            continue
        where = uri if path is None else str(path)
        try:
            signer = open_signer(uri, workspace.root)
            signers[role] = where, signer
            _ = signer.public
        except MbdError as problem:
            signers.pop(role, None)
            if problem.code != "key.permissions":
                yield of_error(problem, where=where)
            continue
        if isinstance(signer, LockedKey):
            what = f"{where} is encrypted: whoever changes the workspace needs its passphrase"
            todo = "nothing; services read it from the file that MBD_KEY_PASSPHRASE_FILE names"
            yield note("key.encrypted", what, where, todo)
    yield from _strangers_to_trust(session, signers)
    if read_change(session) is not None:
        what = "a change of keys was interrupted after it was decided"
        yield warning("key.change", what, str(change_path(session)), "`mbd resume` finishes it")
        return
    history = history_of(session)
    for role, (where, signer) in signers.items():
        yield from _against_ledger(history, role, where, signer.public.key_id)
    yield from _invalidated(session, history)


def _invalidated(session: Session, history: KeyHistory) -> Iterator[Finding]:
    """Certificates that were valid until their key was distrusted."""
    for record in history.issuers():
        start = record.distrusted_from
        if start is None:
            continue
        lost = [name for index, name in signed_by(session, history, record) if index >= start]
        if not lost:
            continue
        rest = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
        what = (
            f"invalid since key {record.key_id[:16]} is distrusted from entry {start} on: "
            f"{', '.join(lost[:_NAMED])}{rest}"
        )
        todo = "tell those who hold them: nothing makes them valid again, and none is issued anew"
        yield warning("certificate.distrusted", what, session.database.name, todo)


def _workspace_key(session: Session) -> Iterator[Finding]:
    path = session.workspace.workspace_key
    if path.is_file() and path.stat().st_size != KEY_BYTES:
        what = f"{path} does not have {KEY_BYTES} bytes: it is not the workspace key"
        yield error("key.invalid", what, str(path), "restore it from a backup")


def _strangers_to_trust(
    session: Session, signers: dict[Role, tuple[str, Signer]]
) -> Iterator[Finding]:
    path = session.workspace.trust_file
    if not path.is_file():
        return
    trust = load_trust(path)
    for role, (where, signer) in signers.items():
        if role == "issuer":
            known = trust.issuer(signer.public.key_id) is not None
        else:
            known = trust.log is None or trust.log.key.public_key == signer.public.raw
        if not known:
            what = f"{where} is not a key that trust.toml knows: nothing that it signs would verify"
            yield error("key.unknown", what, where, "restore the key or trust.toml")
    name = other_name(session) if "issuer" in signers and session.settings.issuer else None
    if name is not None:
        what = (
            f"the issuer is {session.settings.issuer!r} in mbd.toml, and its key is known as "
            f"{name!r} in trust.toml: revocations are refused"
        )
        yield error("issuer.name", what, str(session.workspace.settings_file), HINT)


def _against_ledger(history: KeyHistory, role: Role, where: str, key_id: str) -> Iterator[Finding]:
    """The ledger says which key signs; a file may be an old one, or anybody's."""
    record = history.records.get(key_id)
    if record is None or record.role != role:
        what = f"{where} is not a key that the ledger announced"
        todo = "restore the key" + (
            "; or, if it is yours, put it in force: `mbd key rotate`" if role == "issuer" else ""
        )
        yield error("key.unlogged", what, where, todo)
    elif record.distrusted_from is not None:
        what = f"{where} is distrusted from entry {record.distrusted_from} on"
        yield error("key.distrusted", what, where, "put another in force: `mbd key rotate`")
    elif record.retired_from is not None:
        what = f"{where} was retired at entry {record.retired_from}"
        todo = f"restore the key that signs now, {(history.issuer or '')[:16]}; or `mbd key rotate`"
        yield error("key.retired", what, where, todo)
    elif role == "issuer" and key_id != history.issuer:
        what = f"{where} was announced, but another key is in force"
        todo = "restore that one, or put this one in force: `mbd key rotate`"
        yield error("key.not_current", what, where, todo)
