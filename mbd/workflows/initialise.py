"""A new workspace: made beside its place and moved there whole."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mbd.canonical.ulid import new_ulid
from mbd.database.engine import Database
from mbd.database.secrets import Secrets
from mbd.ledger.entry import unsigned_entry
from mbd.ledger.key_events import Role, added
from mbd.signing.keys import SigningKey, generate_key
from mbd.signing.public import Algorithm
from mbd.verify.trust_text import render_trust
from mbd.verify.trusted import TrustedIssuer, TrustedLog, TrustPolicy
from mbd.workflows.issuer_name import check_issuer_name
from mbd.workflows.ledger_copy import discard
from mbd.workflows.session import KEY_BYTES, open_log
from mbd.workspace.database_url import check_url
from mbd.workspace.files import storage_errors, write_atomically
from mbd.workspace.layout import FORMAT_VERSION, Workspace, open_workspace
from mbd.workspace.ledger_place import Place, Server, database_line, schema_of
from mbd.workspace.new_folder import move_into_place, new_draft
from mbd.workspace.settings import load_settings

_SETTINGS = """\
# A workspace of mbd. Precedence: flags > MBD_* environment > this file > defaults.
format = {format}
id = "{id}"
issuer = {issuer}
origin = "{origin}"{database}
# issuer_key = "file:keys/issuer.pem"   # or "pkcs11:token=...;object=...": see `mbd key --help`

[deletion]
epsilon = 1.0          # privacy loss granted to one deletion
delta = 1e-6
due_days = 30          # legal clock, printed in the certificate
basis = "request of the data subject"  # in every certificate: name nobody

[heads]
width = "auto"         # integer features per row
frequency_std = "auto" # of the random features, per unit of standardised input
planned_rows = 100000  # most training rows that a head will ever hold
noise = 0.001          # std of a prediction's noise, as a share of the label range
strong_convexity = "auto"

[core]
"""


@dataclass(frozen=True)
class Initialised:
    """A new workspace and the names of its keys."""

    workspace: Workspace
    issuer_key: str
    """Key id of the certificate issuer."""
    log_key: str
    """Key id of the log."""
    issuer: str
    """Its name in certificates."""
    origin: str
    ledger: str
    """Where the ledger is."""


def initialise(
    directory: Path,
    *,
    passphrase: bytes | None = None,
    algorithm: Algorithm = "ed25519",
    database_url: str | None = None,
    issuer: str | None = None,
) -> Initialised:
    """Make a workspace at `directory`, which must not exist or be empty.

    Args:
        directory: Where.
        passphrase: Encrypt the private keys under it, if there is one.
        algorithm: Of the issuer's key; the log's is Ed25519.
        database_url: A PostgreSQL database for the ledger, which gets a schema of its own there;
            a file in the workspace otherwise. Its password is not written down.
        issuer: The name in its certificates; one that no other workspace has by default.

    Raises:
        UsageError: No certificate could hold the name.
        ConflictError: There is something already; nothing is touched.
        StorageError: The disk refused; nothing is left behind.
        MbdError: The server refused, or is not there; nothing is left behind.
    """
    if issuer is not None:
        check_issuer_name(issuer)
    target = directory.resolve()
    identity = new_ulid(datetime.now(UTC))
    issuer = issuer or f"urn:mbd:workspace:{identity}"
    with contextlib.ExitStack() as undo:
        draft = Workspace(new_draft(target))
        undo.callback(shutil.rmtree, draft.root, ignore_errors=True)
        place: Place = draft.ledger_db
        if database_url is not None:
            place = Server(check_url(database_url), schema_of(identity))
            undo.callback(discard, place)
        made = _fill(draft, identity, issuer, place, passphrase, algorithm)
        move_into_place(draft.root, target)
        undo.pop_all()
    where = place.name if isinstance(place, Server) else str(target / place.name)
    return Initialised(
        open_workspace(target), made.issuer_key, made.log_key, issuer, made.origin, where
    )


def _fill(
    draft: Workspace,
    identity: str,
    issuer: str,
    place: Place,
    passphrase: bytes | None,
    algorithm: Algorithm,
) -> Initialised:
    origin = f"mbd.local/{identity.lower()}"
    with storage_errors(draft.root):
        for folder in draft.folders:
            folder.mkdir(mode=0o700)
    text = _SETTINGS.format(
        format=FORMAT_VERSION,
        id=identity,
        issuer=json.dumps(issuer, ensure_ascii=False),  # printable: the same in TOML
        origin=origin,
        database=f"\n{database_line(place)}" if isinstance(place, Server) else "",
    )
    write_atomically(draft.settings_file, text.encode())
    write_atomically(draft.workspace_key, secrets.token_bytes(KEY_BYTES), mode=0o600)
    issuer_key, log_key = generate_key(algorithm), generate_key()
    issuer_key.save(draft.issuer_key, passphrase)
    log_key.save(draft.log_key, passphrase)
    Secrets.create(draft.secrets_db)
    log = open_log(draft, load_settings(draft), Database.create(place), log_key)
    with log.database.transaction() as connection:
        roles: tuple[tuple[Role, SigningKey], ...] = (("issuer", issuer_key), ("log", log_key))
        for index, (role, key) in enumerate(roles):
            body = added(role, key.public, index).body()
            log.append(connection, unsigned_entry("key-add", datetime.now(UTC), body), body)
    log.publish()
    trust = TrustPolicy(
        (TrustedIssuer(issuer, issuer_key.public),), TrustedLog(origin, log.verifier_key)
    )
    write_atomically(draft.trust_file, render_trust(trust).encode())
    return Initialised(draft, issuer_key.key_id, log_key.key_id, issuer, origin, log.database.name)
