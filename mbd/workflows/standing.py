"""Is an exported model still the one in service? What a ledger, or certificates, say about it.

Offline nobody can know more than what is at hand. A workspace knows its current model. A
certificate says which model was current at its entry of the log: of several, the last one
counts. One that names other files and was entered after the export supersedes it. One that is
older than the export says nothing; neither does one that is not valid, or of another log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mbd.certificate.bundle import MAX_BUNDLE_BYTES, parse_bundle
from mbd.ledger.tlog_proof import parse_tlog_proof
from mbd.verify.reading import read_regular
from mbd.verify.run import verify_bundle
from mbd.verify.trust import load_trust
from mbd.workflows.exported import Export
from mbd.workflows.opening import open_session
from mbd.workspace.layout import open_workspace


@dataclass(frozen=True)
class Standing:
    """What is known about a model's place in its service."""

    state: Literal["current", "superseded", "unknown"]
    why: str


UNCHECKED = Standing("unknown", "neither a ledger nor a certificate was given")


def standing_in(workspace: Path, export: Export) -> Standing:
    """What the workspace that it was exported from says.

    Raises:
        NotFoundError: There is no workspace.
        IntegrityError: Its ledger is older than what was signed.
    """
    with open_session(open_workspace(workspace), finish=False) as session:
        if session.settings.origin != export.origin:
            return Standing("unknown", f"{workspace} has another log, {session.settings.origin}")
        now = session.find_model()
    if now is not None and now.digest == export.model.digest:
        return Standing("current", f"{workspace} serves it")
    which = "no model" if now is None else f"model {now.model_id}"
    return Standing("superseded", f"{workspace} serves {which}")


def standing_by(certificates: Sequence[Path], trust: Path, export: Export) -> Standing:
    """What certificates say, checked against a trust file.

    Raises:
        UsageError: The trust file, or a certificate, cannot be read.
    """
    policy = load_trust(trust)
    found, why = [], "no certificate was given"
    for path in certificates:
        data = read_regular(path, MAX_BUNDLE_BYTES)
        verdict = verify_bundle(data, policy).verdict
        if verdict != "valid":
            why = f"{path} is {verdict}"
            continue
        bundle = parse_bundle(data)
        predicate = bundle.statement().predicate
        if predicate.ledger.origin != export.origin:
            why = f"{path} is of another log, {predicate.ledger.origin}"
            continue
        index = parse_tlog_proof(bundle.tlog_proof).index
        found.append((index, predicate.deletion.model_after.digest, path))
    if not found:
        return Standing("unknown", why)
    index, digest, path = max(found)
    if digest == export.model.digest:
        return Standing("current", f"it was at entry {index} of the log: {path}")
    if index < export.size:
        return Standing("unknown", f"{path} is older than the export")
    return Standing("superseded", f"since entry {index} of the log: {path}")
