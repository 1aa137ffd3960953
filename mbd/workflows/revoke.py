"""A revocation as it is asked for: refused, found again or carried out; one, or many at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mbd.canonical.times import timestamp
from mbd.canonical.ulid import new_ulid
from mbd.certificate.bundle import parse_bundle
from mbd.data.erasure import Erasing, plan_bucket
from mbd.database.batches import Batches
from mbd.database.journal import Journal, Request
from mbd.errors import (
    ArithmeticRefused,
    ConflictError,
    MbdError,
    NotFoundError,
    RefusedError,
)
from mbd.head.cost import estimated_seconds
from mbd.workflows.batch import QUEUE
from mbd.workflows.current import CurrentModel
from mbd.workflows.papers import bundle_path, receipt_path
from mbd.workflows.preflight import check_ready
from mbd.workflows.resolve import (
    Resolved,
    Resolver,
    RevocationRequest,
    Terms,
    checked_id,
    fingerprint,
    refuse_other_content,
    resolve,
)
from mbd.workflows.session import Session
from mbd.workflows.walk import finish_batch

Progress = Callable[[int, int], None]
Note = Callable[[str], None]

_AROUND_SECONDS = 1.0
_FILES = 2.0
"""Of an estimate: seconds of what is around the arithmetic, and how much reading, digesting and
writing states adds to it. Measured on a small machine, for a rough answer only."""


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
class Row:
    """What became of one request of many."""

    request: RevocationRequest
    request_id: str | None
    """None: it was never recorded."""
    certificate_id: str | None
    due_by: str | None
    """Day by which it has to be done; None if it was never recorded."""
    error: MbdError | None


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
    choices: tuple[str, ...]
    """What a retraining chooses again, in words."""
    estimated_seconds: float | None
    """None: a retraining, and no training was timed here."""


def revoke_modality(
    session: Session,
    request: RevocationRequest,
    terms: Terms | None = None,
    *,
    progress: Progress = lambda done, total: None,
    note: Note = lambda text: None,
) -> Revocation:
    """Carry out a revocation, or find it carried out already.

    A retraining carries out what is queued along with it.

    Raises:
        NotFoundError: No such user, modality, or channel of this user; no model.
        RefusedError: A block saw the data that cannot subtract it.
        ConflictError: Revoked before, or the request id was used for something else.
        IntegrityError: A file that is needed is torn or altered; nothing was recorded.
    """
    started, terms = time.perf_counter(), terms or Terms()
    request_id = new_ulid(datetime.now(UTC))
    if request.request_id is not None:
        request_id = checked_id(request.request_id)
    wanted = fingerprint(session, request_id, request, terms)
    with session.database.read() as connection:
        known = Journal(connection).find(request_id)
    if known is None:
        found = resolve(session, request, terms.method)
        _check_ready(session, terms, [found])
        known = _begin(session, terms, {request_id: (request, found)})[0]
    refuse_other_content(known, wanted)
    if not known.is_open:
        return result_of(session, known, 0.0, time.perf_counter() - started, repeated=True)
    _wait_no_longer(session, str(known.batch_id))
    done = finish_batch(session, str(known.batch_id), progress, note)
    total = time.perf_counter() - started
    return result_of(session, _get(session, request_id), done.engine_seconds, total)


def _wait_no_longer(session: Session, batch_id: str) -> None:
    """What is asked for again without being queued is carried out, with all that wait."""
    with session.database.transaction() as connection:
        if Batches(connection).get(batch_id).queued:
            Batches(connection).unite(batch_id)


def revoke_many(
    session: Session,
    requests: Sequence[RevocationRequest],
    terms: Terms | None = None,
    *,
    queue: bool = False,
    progress: Progress = lambda done, total: None,
    note: Note = lambda text: None,
) -> list[Row]:
    """Carry out many revocations with one state and one release; one certificate each.

    A request that is refused harms no other.

    Args:
        session: A workspace, with its lock held.
        requests: What is asked for.
        terms: How; the same for all.
        queue: Suppress the channels and leave the rest to the next retraining.
        progress, note: Told how it is going.

    Raises:
        MbdError: What was accepted could not be finished; those requests stay open.
    """
    terms = terms or Terms()
    rows, fresh = _sorted_out(session, requests, terms)
    resolver = Resolver(session, terms.method)
    answers = resolver.resolve_all([request for _, _, request in fresh])
    accepted: dict[str, tuple[RevocationRequest, Resolved]] = {}
    for (number, request_id, request), answer in zip(fresh, answers, strict=True):
        if isinstance(answer, MbdError):
            rows[number] = _row(request, request.request_id, error=answer)
        else:
            accepted[request_id] = (request, answer)
    refusal: MbdError | None = None
    if accepted:
        _check_ready(session, terms, [found for _, found in accepted.values()])
        first = _begin(session, terms, accepted, queue=queue)[0]
        try:
            finish_batch(session, str(first.batch_id), progress, note)
        except (ArithmeticRefused, RefusedError) as error:
            refusal = error  # what became of each is in the journal
    with session.database.read() as connection:
        journal = Journal(connection)
        for number, request_id, request in fresh:
            if request_id in accepted:
                known = journal.get(request_id)
                rows[number] = _row(request, request_id, known=known, error=refusal)
    return [rows[number] for number in range(len(requests))]


def preview_many(
    session: Session, requests: Sequence[RevocationRequest], terms: Terms | None = None
) -> list[Row]:
    """What `revoke_many` would answer; changes nothing."""
    terms = terms or Terms()
    rows, fresh = _sorted_out(session, requests, terms)
    answers = Resolver(session, terms.method).resolve_all([request for _, _, request in fresh])
    _check_retrainable(session, terms, [one for one in answers if isinstance(one, Resolved)])
    for (number, _, request), answer in zip(fresh, answers, strict=True):
        error = answer if isinstance(answer, MbdError) else None
        rows[number] = _row(request, request.request_id, error=error)
    return [rows[number] for number in range(len(requests))]


def preview_revocation(
    session: Session, request: RevocationRequest, terms: Terms | None = None
) -> Preview:
    """The plan of a revocation; changes nothing.

    Raises:
        As `revoke_modality`.
    """
    terms = terms or Terms()
    found = resolve(session, request, terms.method)
    model, store = session.model(), session.store()
    prepared = session.prepared(model.policy.training_id)
    wanted = Erasing(request="", subject=found.subject, modalities=found.modalities)
    planned = plan_bucket(store, [prepared], store.bucket_of(found.subject), [wanted]).plans[0]
    decided = found.plan
    exact = decided.guarantee_class == "exact"
    shared = _shared(session, terms)
    choices, seconds = _effort(session, model, found)
    return Preview(
        modalities=decided.modalities,
        cascaded=tuple(name for name in decided.modalities if name not in request.modalities),
        guarantee_class=decided.guarantee_class,
        method=decided.method,
        epsilon=0.0 if exact else shared["epsilon"],
        delta=0.0 if exact else shared["delta"],
        records=len(planned.touched),
        vanishing=len(planned.vanishing),
        rows=sum(planned.rows.get(head, 0) for head in decided.selected),
        heads=decided.selected,
        untouched=decided.untouched,
        blocks=tuple(
            {"block": one.block, "action": one.action, "class": one.guarantee}
            for one in decided.actions
        ),
        stores=(
            "records",
            *(("prepared rows", "state", "model") if decided.selected else ()),
        ),
        expected_noise=0.0 if exact else model.policy.noise_of(decided.selected),
        choices=choices,
        estimated_seconds=seconds,
    )


def _effort(
    session: Session, model: CurrentModel, found: Resolved
) -> tuple[tuple[str, ...], float | None]:
    """What a retraining chooses again, and the seconds that a revocation will take."""
    if found.plan.method == "retrain":
        from mbd.workflows.retrain import preview_retraining  # imports torch: seconds

        preview = preview_retraining(session, [(found.subject, found.modalities)])
        return preview.choices, preview.estimated_seconds
    state = session.state()
    heads = [model.policy.heads[name].constants for name in found.plan.selected]
    solving = [
        estimated_seconds(one.dimension, one.outputs, state.heads[one.head][1]) for one in heads
    ]
    return (), _AROUND_SECONDS + _FILES * sum(solving)


def result_of(
    session: Session, request: Request, engine: float, total: float, *, repeated: bool = False
) -> Revocation:
    """What a completed request left, read from its bundle.

    Raises:
        ConflictError: The request was cancelled.
        NotFoundError: The bundle was moved away.
    """
    if request.certificate_id is None:
        raise _cancelled(request)
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


Fresh = tuple[int, str, RevocationRequest]
"""Place in the batch, request id, and what is asked for."""


def _sorted_out(
    session: Session, requests: Sequence[RevocationRequest], terms: Terms
) -> tuple[dict[int, Row], list[Fresh]]:
    """Rows that are answered already, and requests that nobody made before."""
    rows: dict[int, Row] = {}
    fresh: list[Fresh] = []
    used: set[str] = set()
    with session.database.read() as connection:
        journal = Journal(connection)
        for number, request in enumerate(requests):
            request_id = request.request_id or new_ulid(datetime.now(UTC))
            try:
                known = journal.find(checked_id(request_id))
                if request_id in used:
                    raise _twice(request_id)
                used.add(request_id)
                if known is None:
                    fresh.append((number, request_id, request))
                    continue
                refuse_other_content(known, fingerprint(session, request_id, request, terms))
                rows[number] = _row(request, request_id, known=known)
            except MbdError as error:
                rows[number] = _row(request, request.request_id, error=error)
    return rows, fresh


def _row(
    request: RevocationRequest,
    request_id: str | None,
    *,
    known: Request | None = None,
    error: MbdError | None = None,
) -> Row:
    certificate = None if known is None else known.certificate_id
    if error is None and known is not None and certificate is None and not known.is_open:
        error = _cancelled(known)
    return Row(
        request=request,
        request_id=request_id,
        certificate_id=certificate,
        due_by=None if known is None else known.due_by[:10],
        error=error,
    )


def _begin(
    session: Session,
    terms: Terms,
    accepted: Mapping[str, tuple[RevocationRequest, Resolved]],
    *,
    queue: bool = False,
) -> list[Request]:
    """Record requests as one batch."""
    now, settings = datetime.now(UTC), session.settings.deletion
    batch_id = new_ulid(now)
    members = [
        Request(
            request_id=request_id,
            fingerprint=fingerprint(session, request_id, request, terms),
            received_at=timestamp(now),
            due_by=timestamp(now + timedelta(days=settings.due_days)),
            detail={**found.detail, "basis": settings.basis},
        )
        for request_id, (request, found) in accepted.items()
    ]
    with session.database.transaction() as connection:
        Batches(connection).begin(batch_id, {**_shared(session, terms), QUEUE: queue}, members)
        return list(Batches(connection).get(batch_id).members)


def _check_ready(session: Session, terms: Terms, found: Sequence[Resolved]) -> None:
    """Refuse what could not be finished, while nothing is recorded."""
    check_ready(session, sorted({head for one in found for head in one.plan.selected}))
    _check_retrainable(session, terms, found)


def _check_retrainable(session: Session, terms: Terms, found: Sequence[Resolved]) -> None:
    """Refuse a retraining that would have nothing to learn from; nothing is written."""
    if found and terms.method == "retrain":
        from mbd.workflows.retrain import check_retrainable  # imports torch: seconds

        check_retrainable(session, [(one.subject, one.modalities) for one in found])


def _shared(session: Session, terms: Terms) -> dict[str, Any]:
    """What all requests of a batch have in common."""
    settings, now = session.settings.deletion, datetime.now(UTC)
    return {
        "method": terms.method,
        "epsilon": settings.epsilon if terms.epsilon is None else terms.epsilon,
        "delta": settings.delta if terms.delta is None else terms.delta,
        "modelAfter": new_ulid(now),
        "stateAfter": new_ulid(now),
        "trainingAfter": new_ulid(now),
    }


def _get(session: Session, request_id: str) -> Request:
    with session.database.read() as connection:
        return Journal(connection).get(request_id)


def _cancelled(request: Request) -> ConflictError:
    return ConflictError(
        f"request {request.request_id} was cancelled",
        code="request.cancelled",
        hint="make a new request",
    )


def _twice(request_id: str) -> ConflictError:
    return ConflictError(
        f"request id {request_id} comes twice in this batch",
        code="request.differs",
        field="--request-id",
    )
