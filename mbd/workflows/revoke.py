"""A revocation as it is asked for: resolved, refused, found again or carried out."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mbd.canonical.times import timestamp
from mbd.canonical.ulid import new_ulid
from mbd.certificate.bundle import parse_bundle
from mbd.data.erasure import plan_erasure
from mbd.database import suppressions
from mbd.database.journal import Journal, Request
from mbd.database.suppressions import keyed_hash
from mbd.deletion.plan import Method
from mbd.errors import ConflictError, NotFoundError, UsageError
from mbd.workflows.preflight import check_ready
from mbd.workflows.session import Session
from mbd.workflows.steps import bundle_path, finish_request, plan_for, receipt_path

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_SOLVES_PER_SECOND = 2e10
"""Rough floating-point rate of a small machine, for estimates only."""


@dataclass(frozen=True, kw_only=True)
class RevocationRequest:
    """What somebody asks for."""

    subject: str
    modality: str
    epsilon: float | None = None
    """None: what the workspace's settings say."""
    delta: float | None = None
    method: Method = "auto"
    request_id: str | None = None
    """None: a fresh one."""


@dataclass(frozen=True, kw_only=True)
class Revocation:
    """A completed revocation."""

    request_id: str
    certificate_id: str
    bundle: str
    receipt: str
    guarantee_class: str
    epsilon: str | None
    delta: str | None
    heads: tuple[str, ...]
    engine_seconds: float
    total_seconds: float
    repeated: bool
    """Whether it had been completed before this call."""


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a revocation would do."""

    modalities: tuple[str, ...]
    cascaded: tuple[str, ...]
    """Those of `modalities` that go because the data set declares them derived."""
    guarantee_class: str
    method: str
    epsilon: float
    delta: float
    records: int
    """Records that lose a channel."""
    vanishing: int
    """Records that lose their last channel."""
    rows: int
    heads: tuple[str, ...]
    untouched: tuple[str, ...]
    blocks: tuple[Mapping[str, str], ...]
    stores: tuple[str, ...]
    """Those that would be rewritten or replaced."""
    expected_noise: float
    """Largest standard deviation of one prediction's noise, in label units."""
    estimated_seconds: float


def revoke_modality(
    session: Session,
    request: RevocationRequest,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Revocation:
    """Carry out a revocation, or find it carried out already.

    Raises:
        NotFoundError: No such user, modality, or channel of this user; no model.
        RefusedError: A block saw the data that cannot subtract it.
        ConflictError: Revoked before, or the request id was used for something else.
        IntegrityError: A file that is needed is torn or altered; nothing was recorded.
    """
    started = time.perf_counter()
    request_id = _checked_id(request.request_id)
    fingerprint = _fingerprint(session, request)
    with session.database.read() as connection:
        known = Journal(connection).find(request_id)
    if known is not None and known.fingerprint == fingerprint and not known.is_open:
        return result_of(session, known, 0.0, time.perf_counter() - started, repeated=True)
    if known is None:
        detail = _resolve(session, request)
        check_ready(session, plan_for(session, session.model(), detail).selected)
        _begin(session, request_id, fingerprint, request, detail)
    else:
        _refuse_other_content(known, fingerprint)
    done = finish_request(session, request_id, progress)
    engine = float((done.detail or {}).get("engineSeconds", 0.0))
    return result_of(session, done, engine, time.perf_counter() - started, repeated=False)


def preview_revocation(session: Session, request: RevocationRequest) -> Preview:
    """The plan of a revocation; changes nothing.

    Raises:
        As `revoke_modality`.
    """
    detail = _resolve(session, request)
    model, store = session.model(), session.store()
    prepared = session.prepared(model.policy.training_id)
    decided = plan_for(session, model, detail)
    erasure = plan_erasure(store, [prepared], detail["subject"], detail["modalities"])
    rows = prepared.rows_of(detail["subject"])
    constants = [model.policy.heads[name].constants for name in decided.selected]
    noise = 0.0 if decided.guarantee_class == "exact" else model.policy.noise_of(decided.selected)
    work = sum(head.dimension**3 for head in constants)
    return Preview(
        modalities=decided.modalities,
        cascaded=tuple(name for name in decided.modalities if name != request.modality),
        guarantee_class=decided.guarantee_class,
        method=decided.method,
        epsilon=0.0 if decided.guarantee_class == "exact" else detail["epsilon"],
        delta=0.0 if decided.guarantee_class == "exact" else detail["delta"],
        records=len(erasure.touched),
        vanishing=len(erasure.vanishing),
        rows=sum(len(rows.get(head, ())) for head in decided.selected),
        heads=decided.selected,
        untouched=decided.untouched,
        blocks=tuple(
            {"block": one.block, "action": one.action, "class": one.guarantee}
            for one in decided.actions
        ),
        stores=(
            "records",
            *(("prepared rows",) if any(erasure.rows.values()) else ()),
            *(("state", "model") if decided.selected else ()),
        ),
        expected_noise=noise,
        estimated_seconds=1.0 + work / _SOLVES_PER_SECOND,
    )


def result_of(
    session: Session, request: Request, engine: float, total: float, *, repeated: bool
) -> Revocation:
    """What a completed request left, read from its bundle.

    Raises:
        ConflictError: The request was cancelled.
        NotFoundError: The bundle was moved away.
    """
    if request.certificate_id is None:
        raise ConflictError(
            f"request {request.request_id} was cancelled",
            code="request.cancelled",
            hint="make a new request",
        )
    path = bundle_path(session, request.certificate_id)
    if not path.is_file():
        raise NotFoundError(
            f"certificate {request.certificate_id} was issued, but {path} is gone",
            code="certificate.not_found",
        )
    predicate = parse_bundle(path.read_bytes()).statement().predicate
    guarantee = predicate.guarantee
    return Revocation(
        request_id=request.request_id,
        certificate_id=request.certificate_id,
        bundle=str(path),
        receipt=str(receipt_path(session, request.certificate_id)),
        guarantee_class=guarantee.guarantee_class,
        epsilon=guarantee.epsilon,
        delta=guarantee.delta,
        heads=guarantee.selected_heads,
        engine_seconds=engine,
        total_seconds=total,
        repeated=repeated,
    )


def _resolve(session: Session, request: RevocationRequest) -> dict[str, Any]:
    """Everything the steps need to know; refuses what cannot be carried out.

    Nothing is recorded before this returns.
    """
    store, model = session.store(), session.model()
    modalities = store.schema.cascade([request.modality])
    _refuse_revoked(session, request)
    held = store.read(subjects=[request.subject])
    if not len(held):
        raise NotFoundError(
            f"no user {request.subject!r} in this data set",
            code="user.not_found",
            field="--user",
            hint="`mbd data subjects` lists them",
        )
    if all(value is None for value in held.x[request.modality]):
        raise NotFoundError(
            f"user {request.subject!r} has no {request.modality}",
            code="modality.not_held",
            field="--modality",
        )
    deletion, now = session.settings.deletion, datetime.now(UTC)
    detail = {
        "subject": request.subject,
        "modalities": list(modalities),
        "method": request.method,
        "epsilon": deletion.epsilon if request.epsilon is None else request.epsilon,
        "delta": deletion.delta if request.delta is None else request.delta,
        "basis": deletion.basis,
        "dueDays": deletion.due_days,
        "modelAfter": new_ulid(now),
        "stateAfter": new_ulid(now),
    }
    plan_for(session, model, detail)
    return detail


def _refuse_revoked(session: Session, request: RevocationRequest) -> None:
    """What is off already, by itself or with the channel it was made from, stays off."""
    with session.database.read() as connection:
        name = suppressions.find(connection, session.key, request.subject, request.modality)
        known = None if name is None else Journal(connection).get(name)
    if known is None:
        return
    done = f"certificate {known.certificate_id}"
    raise ConflictError(
        f"{request.modality} of this user was revoked before: "
        f"{done if known.certificate_id else f'request {known.request_id} (not completed)'}",
        code="revoked.already",
        field="--modality",
        hint=f"`mbd ledger show {known.certificate_id}`"
        if known.certificate_id
        else "`mbd resume` finishes it",
    )


def _begin(
    session: Session,
    request_id: str,
    fingerprint: str,
    request: RevocationRequest,
    detail: dict[str, Any],
) -> None:
    now = datetime.now(UTC)
    row = Request(
        request_id=request_id,
        fingerprint=fingerprint,
        received_at=timestamp(now),
        due_by=timestamp(now + timedelta(days=detail["dueDays"])),
        detail=detail,
    )
    with session.database.transaction() as connection:
        Journal(connection).begin(row)


def _refuse_other_content(known: Request, fingerprint: str) -> None:
    if known.fingerprint != fingerprint:
        raise ConflictError(
            f"request {known.request_id} was made before with other content",
            code="request.differs",
            field="--request-id",
            hint="choose another request id",
        )


def _checked_id(request_id: str | None) -> str:
    if request_id is None:
        return new_ulid(datetime.now(UTC))
    if not _REQUEST_ID.fullmatch(request_id):
        raise UsageError(
            f"request id {request_id[:80]!r}: want letters, digits, '.', '_' or '-', 64 at most",
            field="--request-id",
        )
    return request_id


def _fingerprint(session: Session, request: RevocationRequest) -> str:
    parts = (request.subject, request.modality, request.method)
    numbers = (repr(request.epsilon), repr(request.delta))
    return keyed_hash(session.key, "request", *parts, *numbers)
