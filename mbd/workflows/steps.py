"""The walk of a revocation: one function per step, each safe to repeat after a crash.

`received -> suppressed -> staged -> activated -> erased -> scanned -> signed -> logged ->
completed`. A step does its work first and records itself last, in one transaction with
whatever must become visible together with it. So a process killed anywhere leaves a request
at a step whose work may be repeated, and nothing happens twice that must happen once: noise
is drawn again only if no release was staged (and then counts as another attempt), and a
certificate enters the ledger in the transaction in which the request leaves its step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mbd.canonical.json import dumps, loads_strict
from mbd.certificate.bundle import Bundle
from mbd.certificate.scope import out_of_scope, store_row
from mbd.data.erasure import ErasePlan, build_needles, erase, plan_erasure
from mbd.data.needles import Needles, scan
from mbd.database import models, pointers, suppressions
from mbd.database.journal import STAGES, Journal, Request
from mbd.deletion.plan import DeletionPlan, plan
from mbd.errors import ArithmeticRefused, IntegrityError
from mbd.ledger.entry import signed_entry, unsigned_entry
from mbd.ledger.log import Labels
from mbd.ledger.queries import find_entry
from mbd.signing.commitment import commit, new_salt
from mbd.values import DeletionOutcome, HeadParameters
from mbd.verify.run import verify_bundle
from mbd.verify.trust import load_trust
from mbd.workflows.certify import (
    Erased,
    escrowed_salts,
    sign_certificate,
    stored_envelope,
    stored_receipt,
)
from mbd.workflows.current import CurrentModel
from mbd.workflows.session import Session
from mbd.workflows.snapshots import ModelSnapshot, StateSnapshot, remove_folder
from mbd.workflows.staging import stage_release
from mbd.workspace.files import storage_errors, write_atomically

ERASE_FILE = "erase.json"
NEEDLES_FILE = "needles.json"


def finish_request(
    session: Session,
    request_id: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Request:
    """Take every step that is left; the request as it was just before its detail was erased.

    Raises:
        ArithmeticRefused: No release can be made as asked; the request was cancelled and
            the channel is in service as before.
        MbdError: A step failed; the request stays open at the step before.
    """
    while True:
        request = _read(session, request_id)
        progress(STAGES.index(request.stage), len(STAGES) - 1)
        if request.stage == STAGES[-2]:
            _complete(session, request)
            return request
        try:
            STEPS[request.stage](session, request)
        except ArithmeticRefused as error:
            if request.stage != "suppressed":
                raise
            cancel_request(session, request)
            raise ArithmeticRefused(
                f"{error.message}; the request was cancelled, the channel is in service as before",
                code=error.code,
                field=error.field,
                hint=error.hint,
            ) from error


def cancel_request(session: Session, request: Request) -> None:
    """Give up a request before anything was activated; service is as before."""
    detail = _detail(request)
    body = dumps({"request": commit(new_salt(), "request", request.request_id)})
    with session.database.transaction() as connection:
        suppressions.remove_of(connection, request.request_id)
        session.log.append(connection, unsigned_entry("cancel", _now(), body), body)
        Journal(connection).cancel(request.request_id, _now())
    session.log.publish()
    for folder in (
        staging_folder(session, request),
        session.workspace.models / detail["modelAfter"],
        session.workspace.state / detail["stateAfter"],
    ):
        remove_folder(folder)
    session.database.truncating_checkpoint()


def plan_for(session: Session, model: CurrentModel, detail: Mapping[str, Any]) -> DeletionPlan:
    """The plan of a request, from declared provenance and the subject's rows per head."""
    subject = detail["subject"]
    rows = session.prepared(model.policy.training_id).rows_of(subject)
    return plan(
        model.policy.provenance,
        subject_cohort=session.store().schema.cohorts.cohort_of(subject),
        modalities=frozenset(detail["modalities"]),
        rows={head: len(found) for head, found in rows.items()},
        method=detail["method"],
    )


def _suppress(session: Session, request: Request) -> None:
    """From here on nobody uses the channel, whatever arrives."""
    detail, name = _detail(request), request.request_id
    with session.database.transaction() as connection:
        for modality in detail["modalities"]:
            suppressions.add(connection, session.key, detail["subject"], modality, _now(), name)
        Journal(connection).advance(request.request_id, "suppressed")


def _stage(session: Session, request: Request) -> None:
    """New state, released heads and the list of what to erase, written beside the old."""
    started = time.perf_counter()
    detail = _detail(request)
    model, state, store = session.model(), session.state(), session.store()
    prepared = session.prepared(model.policy.training_id)
    folder = staging_folder(session, request)
    remove_folder(folder)
    with storage_errors(folder):
        folder.mkdir(mode=0o700)
    erasure = plan_erasure(store, [prepared], detail["subject"], detail["modalities"])
    build_needles(store, [prepared], erasure).save(folder / NEEDLES_FILE)
    write_atomically(folder / ERASE_FILE, dumps(erasure.to_json()), mode=0o600)
    decided = plan_for(session, model, detail)
    release = stage_release(
        model,
        state,
        prepared.rows_of(detail["subject"]),
        decided,
        model_id=detail["modelAfter"],
        state_id=detail["stateAfter"],
        epsilon=detail["epsilon"],
        delta=detail["delta"],
        before_noise=lambda: _count_attempt(session, request),
    )
    found = {
        "release": release.to_json(),
        "modelBefore": model.snapshot.model_id,
        "stateBefore": state.state_id,
        "datasetBefore": erasure.root_before,
        "deletedSet": erasure.deleted_set,
        "engineSeconds": time.perf_counter() - started,
    }
    with session.database.transaction() as connection:
        Journal(connection).advance(request.request_id, "staged", detail=found)


def _count_attempt(session: Session, request: Request) -> None:
    """Log that noise is about to be drawn: a drawing that is lost in a crash counts too."""
    body = dumps({"attempt": commit(new_salt(), "attempt", request.request_id)})
    with session.database.transaction() as connection:
        Journal(connection).count_attempt(request.request_id)
        session.log.append(connection, unsigned_entry("attempt", _now(), body), body)


def _activate(session: Session, request: Request) -> None:
    """One transaction: model, state and request move together."""
    detail = _detail(request)
    release = detail["release"]
    model = ModelSnapshot.from_pointer(session.workspace.models, release["modelPointer"])
    with session.database.transaction() as connection:
        if model.model_id != detail["modelBefore"]:
            index = models.policy_index(connection, detail["modelBefore"])
            pointers.set(connection, "model", release["modelPointer"])
            pointers.set(connection, "state", release["statePointer"])
            models.add(connection, model.model_id, index, model.digest, _now())
        Journal(connection).advance(request.request_id, "activated")


def _erase(session: Session, request: Request) -> None:
    """Rewrite the buckets without the data; destroy the old state and the old model."""
    detail = _detail(request)
    store, model = session.store(), session.model()
    prepared = session.prepared(model.policy.training_id)
    erase(store, [prepared], _erasure(session, request))
    for parent, before, current in (
        (session.workspace.models, detail["modelBefore"], model.snapshot.model_id),
        (session.workspace.state, detail["stateBefore"], session.state().state_id),
    ):
        if before != current:
            remove_folder(parent / before)
    session.database.truncating_checkpoint()
    after = {"datasetAfter": _checked_root(session, request)}
    with session.database.transaction() as connection:
        Journal(connection).advance(request.request_id, "erased", detail=after)


def _checked_root(session: Session, request: Request) -> str:
    """The root of the data as it is now on disk, which must be the one that was planned.

    The scan looks for bytes and can only find what is distinctive; this looks at the records.
    """
    erasure, root = _erasure(session, request), session.store().root()
    if root != erasure.root_after or root == erasure.root_before:
        raise IntegrityError(
            "the data set after erasure is not the one that was planned",
            code="erasure.incomplete",
            hint="the request stays open; run `mbd resume`",
        )
    return root


def _scan(session: Session, request: Request) -> None:
    """Search what was rewritten for the erased values."""
    model = session.model()
    store, prepared = session.store(), session.prepared(model.policy.training_id)
    subject, state = _detail(request)["subject"], session.state()
    files: dict[str, list[Path]] = {
        "records": store.bucket_files(store.bucket_of(subject)),
        "prepared rows": prepared.bucket_files(prepared.bucket_of(subject)),
        "state": sorted(state.folder.iterdir()),
        "model": sorted(path for path in model.snapshot.folder.rglob("*") if path.is_file()),
        "journal and ledger": sorted(session.workspace.root.glob("ledger.db*")),
    }
    folder = staging_folder(session, request)
    needles = Needles.load(folder / NEEDLES_FILE)
    for name, paths in files.items():
        result = scan(paths, needles)
        if result.found:
            first = result.found[0]
            raise IntegrityError(
                f"{first.file}: {first.what} is still there after erasure ({name})",
                code="scan.found",
                hint="the request stays open; remove the leftover, then run `mbd resume`",
            )
    rows = sum(_erasure(session, request).rows.values())
    stores = _stores(rows=rows, released=bool(_detail(request)["release"]["selected"]))
    with session.database.transaction() as connection:
        Journal(connection).advance(request.request_id, "scanned", detail={"stores": stores})


def _stores(*, rows: int, released: bool) -> list[dict[str, str]]:
    """What was done to each store; reached only if the search found nothing."""
    found = [
        store_row("records", "rewritten"),
        store_row("prepared rows", "rewritten" if rows else "none"),
    ]
    if released:
        found += [store_row("state", "replaced"), store_row("model", "replaced")]
    return [*found, store_row("journal and ledger", "never-held")]


def _sign(session: Session, request: Request) -> None:
    """State what was recorded, and sign it."""
    detail, erasure = _detail(request), _erasure(session, request)
    needles = Needles.load(staging_folder(session, request) / NEEDLES_FILE)
    signed = sign_certificate(
        session,
        request,
        outcome_of(session, request),
        Erased(erasure.items, erasure.vanishing, needles),
        delta=detail["delta"],
        now=_now(),
    )
    with session.database.transaction() as connection:
        Journal(connection).advance(
            request.request_id,
            "signed",
            detail={"signed": signed.to_json()},
            certificate_id=signed.certificate_id,
        )


def _log(session: Session, request: Request) -> None:
    """The certificate's ledger entry and the request's step commit together."""
    detail = _detail(request)
    envelope = stored_envelope(detail)
    entry = signed_entry(
        "certificate",
        _now(),
        envelope.signed_bytes(),
        [signature.value for signature in envelope.signatures],
    )
    labels = Labels(
        guarantee_class=detail["release"]["class"],
        modalities=tuple(detail["modalities"]),
        certificate_id=request.certificate_id,
    )
    with session.database.transaction() as connection:
        index = session.log.append(connection, entry, dumps(envelope.to_json()), labels)
        Journal(connection).advance(request.request_id, "logged", entry_index=index)


def _complete(session: Session, request: Request) -> None:
    """Publish, write bundle and receipt, forget what only the walk needed."""
    detail = _detail(request)
    assert request.entry_index is not None
    assert request.certificate_id is not None
    session.log.publish()
    with session.database.read() as connection:
        leaf = find_entry(connection, str(request.entry_index)).leaf
    proof = session.log.proof_bundle(request.entry_index)
    bundle = Bundle(stored_envelope(detail), leaf, proof).to_bytes()
    # What one accepts of others is no reason to withhold the certificate of what happened.
    trust = replace(load_trust(session.workspace.trust_file), max_epsilon=None, max_delta=None)
    report = verify_bundle(bundle, trust)
    if report.exit_code != 0:
        raise IntegrityError(
            f"the new certificate does not verify with {session.workspace.trust_file}: "
            f"{report.verdict}",
            code="certificate.refused",
            hint="was trust.toml edited, or a key replaced? mend it, then run `mbd resume`",
        )
    write_atomically(bundle_path(session, request.certificate_id), bundle)
    write_atomically(
        receipt_path(session, request.certificate_id), stored_receipt(detail), mode=0o600
    )
    session.secrets.put_salts(request.certificate_id, escrowed_salts(detail))
    remove_folder(staging_folder(session, request))
    with session.database.transaction() as connection:
        Journal(connection).complete(request.request_id, _now())
    session.database.truncating_checkpoint()


STEPS: dict[str, Callable[[Session, Request], None]] = {
    "received": _suppress,
    "suppressed": _stage,
    "staged": _activate,
    "activated": _erase,
    "erased": _scan,
    "scanned": _sign,
    "signed": _log,
}
"""From each stage to the step that leaves it; `_complete` ends the walk."""


def outcome_of(session: Session, request: Request) -> DeletionOutcome:
    """What the recorded steps did, in plain numbers."""
    detail, release = _detail(request), _detail(request)["release"]
    model = ModelSnapshot.from_pointer(session.workspace.models, release["modelPointer"])
    state = StateSnapshot.from_pointer(session.workspace.state, release["statePointer"])
    derived = set(session.store().schema.label_derived_from)
    return DeletionOutcome(
        guarantee_class=release["class"],
        modalities=tuple(detail["modalities"]),
        heads=tuple(HeadParameters(**head) for head in release["parameters"]),
        selected_heads=tuple(release["selected"]),
        all_heads=tuple(sorted(state.heads)),
        model_after=model.files,
        dataset_before=detail["datasetBefore"],
        dataset_after=detail["datasetAfter"],
        state_after=state.digest,
        deleted_set=detail["deletedSet"],
        attempts=request.attempts,
        stores=tuple(detail["stores"]),
        out_of_scope=out_of_scope(labels_derived=not derived.isdisjoint(detail["modalities"])),
    )


def staging_folder(session: Session, request: Request) -> Path:
    """Where a request keeps what it needs until it is completed."""
    return session.workspace.staging / request.request_id


def bundle_path(session: Session, certificate_id: str) -> Path:
    """Where the bundle of a certificate is written."""
    return session.workspace.certs / f"{certificate_id}.json"


def receipt_path(session: Session, certificate_id: str) -> Path:
    """Where the receipt of a certificate waits to be handed over."""
    return session.workspace.receipts / f"{certificate_id}.json"


def _erasure(session: Session, request: Request) -> ErasePlan:
    path = staging_folder(session, request) / ERASE_FILE
    with storage_errors(path):
        content = path.read_bytes()
    return ErasePlan.from_json(loads_strict(content, max_bytes=1 << 28))


def _detail(request: Request) -> dict[str, Any]:
    assert request.detail is not None, "an open request has its detail"
    return request.detail


def _read(session: Session, request_id: str) -> Request:
    with session.database.read() as connection:
        return Journal(connection).get(request_id)


def _now() -> datetime:
    return datetime.now(UTC)
