"""One entry after a certificate: may data or model be others since?

Only what follows from the leaf counts, which the log signed: a bundle or a body is held against it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from mbd.canonical.json import loads_strict
from mbd.certificate.bundle import MAX_BUNDLE_BYTES, parse_bundle
from mbd.certificate.statement import Predicate
from mbd.errors import MbdError
from mbd.ledger.binding import check_body
from mbd.ledger.entry import Entry, parse_entry
from mbd.verify.case import Case
from mbd.verify.reading import read_regular

_CHANGING = frozenset({"certificate", "growth", "policy", "erasure"})
"""Entries that change data or model, unless a closer look says that this one does not."""
_HARMLESS = frozenset({"body", "subject secret"})
"""Reasons of erasures that say nothing of data or model (`mbd.workflows.destruction`)."""
_MAX_BODY_BYTES = 1 << 24


@dataclass(frozen=True)
class Later:
    """An entry beside the certificate, after it mostly."""

    index: int
    type: str
    changes: bool
    """Whether data or model may be others since."""

    def __str__(self) -> str:
        return f"{self.index} ({self.type})"


def later_entry(
    connection: sqlite3.Connection, index: int, leaf: bytes, case: Case, folder: Path
) -> Later:
    """What an entry beside the certificate says of data and model."""
    entry = parse_entry(leaf)
    changes = entry.type in _CHANGING
    if entry.type == "certificate":
        changes = is_sibling(connection, index, leaf, case, folder) is not True
    elif entry.type == "erasure":
        changes = not _is_harmless(connection, index, entry)
    return Later(index, entry.type, changes)


def is_sibling(
    connection: sqlite3.Connection, index: int, leaf: bytes, case: Case, folder: Path
) -> bool | None:
    """Whether another certificate is about the same model: of the same batch, say.

    Returns:
        None where nobody can tell.
    """
    found = certificate_at(connection, index, leaf, folder)
    if found is None:
        return None
    model = case.statement.predicate.deletion.model_after.digest
    return found.deletion.model_after.digest == model


def certificate_at(
    connection: sqlite3.Connection, index: int, leaf: bytes, folder: Path
) -> Predicate | None:
    """The certificate that a leaf logged.

    Its body is sealed in the ledger; its bundle lies in `certs/`, unless that was left out.
    """
    query = "SELECT certificate_id FROM entry WHERE entry_index = ?"
    (name,) = connection.execute(query, (index,)).fetchone()
    path = folder / "certs" / f"{Path(str(name)).name}.json"
    try:
        bundle = parse_bundle(read_regular(path, MAX_BUNDLE_BYTES))
        entry, envelope = parse_entry(bundle.entry), bundle.envelope
        if bundle.entry != leaf or entry.digest != envelope.digest():
            return None
        return bundle.statement().predicate
    except MbdError:
        return None


def _is_harmless(connection: sqlite3.Connection, index: int, entry: Entry) -> bool:
    """Whether an erasure is known to have destroyed secrets or bodies only."""
    query = "SELECT content FROM body WHERE entry_index = ?"
    row = connection.execute(query, (index,)).fetchone()
    try:
        body = b"" if row is None else bytes(row[0])
        check_body(entry, body)
        found = loads_strict(body, max_bytes=_MAX_BODY_BYTES)
    except (MbdError, TypeError):
        return False
    return isinstance(found, dict) and found.get("reason") in _HARMLESS
