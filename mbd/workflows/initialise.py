"""A new workspace: made beside its place and moved there whole."""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mbd.canonical.json import dumps
from mbd.canonical.ulid import new_ulid
from mbd.database.engine import Database
from mbd.database.secrets import Secrets
from mbd.errors import ConflictError
from mbd.ledger.entry import unsigned_entry
from mbd.signing.keys import SigningKey, generate_key
from mbd.verify.trust import render_trust
from mbd.workflows.session import KEY_BYTES, open_log
from mbd.workspace.files import fsync_directory, storage_errors, write_atomically
from mbd.workspace.layout import FORMAT_VERSION, Workspace, open_workspace
from mbd.workspace.settings import load_settings

_SETTINGS = """\
# A workspace of mbd. Precedence: flags > MBD_* environment > this file > defaults.
format = {format}
id = "{id}"
issuer = "{issuer}"
origin = "{origin}"

[deletion]
epsilon = 1.0          # privacy loss granted to one deletion
delta = 1e-6
due_days = 30          # legal clock, printed in the certificate
basis = "request of the data subject"

[heads]
width = {width}           # integer features per row
frequency_std = 1.0    # of the random features, per unit of standardised input
planned_rows = 100000  # most training rows that a head will ever hold
noise = 0.001          # std of a prediction's noise, as a share of the label range
strong_convexity = "auto"

[core]
"""

DEFAULT_WIDTH = 1024


@dataclass(frozen=True)
class Initialised:
    """A new workspace and the names of its keys."""

    workspace: Workspace
    issuer_key: str
    """Key id of the certificate issuer."""
    log_key: str
    """Key id of the log."""
    origin: str


def initialise(directory: Path) -> Initialised:
    """Make a workspace at `directory`, which must not exist or be empty.

    Raises:
        ConflictError: There is something already; nothing is touched.
        StorageError: The disk refused; nothing is left behind.
    """
    target = directory.resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        what = "a workspace" if (target / "mbd.toml").exists() else "something"
        raise ConflictError(
            f"{target} already holds {what}; it is never overwritten",
            code="workspace.exists",
            hint="choose a new folder",
        )
    draft = Workspace(target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial"))
    try:
        with storage_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            draft.root.mkdir()
        made = _fill(draft)
        with storage_errors(target):
            os.rename(draft.root, target)
            fsync_directory(target.parent)
    except BaseException:
        shutil.rmtree(draft.root, ignore_errors=True)
        raise
    return Initialised(open_workspace(target), made.issuer_key, made.log_key, made.origin)


def _fill(draft: Workspace) -> Initialised:
    identity = new_ulid(datetime.now(UTC))
    origin, issuer = f"mbd.local/{identity.lower()}", f"urn:mbd:workspace:{identity}"
    with storage_errors(draft.root):
        for folder in draft.folders:
            folder.mkdir(mode=0o700)
    text = _SETTINGS.format(
        format=FORMAT_VERSION, id=identity, issuer=issuer, origin=origin, width=DEFAULT_WIDTH
    )
    write_atomically(draft.settings_file, text.encode())
    write_atomically(draft.workspace_key, secrets.token_bytes(KEY_BYTES), mode=0o600)
    issuer_key, log_key = generate_key(), generate_key()
    issuer_key.save(draft.issuer_key)
    log_key.save(draft.log_key)
    Secrets.create(draft.secrets_db)
    log = open_log(draft, load_settings(draft), Database.create(draft.ledger_db))
    with log.database.transaction() as connection:
        for role, key in (("issuer", issuer_key), ("log", log_key)):
            body = _key_body(role, key)
            log.append(connection, unsigned_entry("key-add", datetime.now(UTC), body), body)
    log.publish()
    trust = render_trust({issuer: issuer_key.public}, origin, log.verifier_key)
    write_atomically(draft.trust_file, trust.encode())
    return Initialised(draft, issuer_key.key_id, log_key.key_id, origin)


def _key_body(role: str, key: SigningKey) -> bytes:
    return dumps({"algorithm": key.public.algorithm, "keyId": key.key_id, "role": role})
