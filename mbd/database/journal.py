"""The journal of revocations: how far each one got, so that a crash loses none.

A request walks through `STAGES` one step at a time, or is cancelled before anything was
erased. Every step is recorded in the transaction that did its work; recording the step a
request is already at changes nothing but the detail.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from mbd.canonical.times import timestamp
from mbd.database.tables import request as requests
from mbd.errors import ConflictError, DataError, NotFoundError

STAGES = (
    "received",
    "suppressed",
    "staged",
    "activated",
    "erased",
    "scanned",
    "signed",
    "logged",
    "completed",
)
CANCELLED = "cancelled"
FINISHED = (STAGES[-1], CANCELLED)
CANCELLABLE = STAGES[: STAGES.index("erased")]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One revocation as the journal knows it."""

    request_id: str
    fingerprint: str
    """Keyed hash (hex) of the content: the same id with another one is a conflict."""
    received_at: str
    due_by: str
    stage: str = STAGES[0]
    detail: dict[str, Any] | None = None
    """What the steps need to know, subject included; erased when the request ends."""
    attempts: int = 0
    """How many times noise was drawn for it."""
    certificate_id: str | None = None
    entry_index: int | None = None
    completed_at: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is something left to do."""
        return self.stage not in FINISHED

    def reached(self, stage: str) -> bool:
        """Whether that step of the walk was taken; False for a cancelled request."""
        return self.stage != CANCELLED and STAGES.index(self.stage) >= STAGES.index(stage)


@dataclass(frozen=True)
class Journal:
    """The requests, read and moved inside the caller's transaction."""

    connection: Connection

    def begin(self, request: Request) -> Request:
        """Record a new request at its first stage, or find the same one again.

        Raises:
            ConflictError: The id is taken by a request with other content.
        """
        known = self.find(request.request_id)
        if known is None:
            self.connection.execute(insert(requests).values(_to_row(request)))
            return self.get(request.request_id)
        if known.fingerprint != request.fingerprint:
            raise ConflictError(
                f"request {request.request_id} was made before with other content",
                code="request.differs",
                field="--request-id",
                hint="choose another request id",
            )
        return known

    def find(self, request_id: str) -> Request | None:
        """The request with this id, if there is one."""
        query = select(requests).where(requests.c.request_id == request_id)
        row = self.connection.execute(query).first()
        return None if row is None else _from_row(row)

    def get(self, request_id: str) -> Request:
        """The request with this id.

        Raises:
            NotFoundError: There is none.
        """
        found = self.find(request_id)
        if found is None:
            raise NotFoundError(f"no request {request_id}", code="request.not_found")
        return found

    def find_by_certificate(self, certificate_id: str) -> Request | None:
        """The request that a certificate was issued for, if this workspace carried it out."""
        query = select(requests).where(requests.c.certificate_id == certificate_id)
        row = self.connection.execute(query).first()
        return None if row is None else _from_row(row)

    def open_requests(self) -> list[Request]:
        """Requests with something left to do, the oldest first."""
        query = (
            select(requests)
            .where(requests.c.stage.not_in(FINISHED))
            .order_by(requests.c.received_at, requests.c.request_id)
        )
        return [_from_row(row) for row in self.connection.execute(query)]

    def advance(
        self,
        request_id: str,
        stage: str,
        *,
        detail: Mapping[str, Any] | None = None,
        certificate_id: str | None = None,
        entry_index: int | None = None,
    ) -> Request:
        """Record the next step. `detail` is merged into what is known, top level by key.

        Raises:
            ConflictError: The step is neither the next one nor the current one.
            NotFoundError: There is no such request.
        """
        known = self.get(request_id)
        self._check_step(known, stage)
        changes: dict[str, Any] = {"stage": stage}
        if detail is not None:
            changes["detail"] = _dump({**(known.detail or {}), **detail})
        if certificate_id is not None:
            changes["certificate_id"] = certificate_id
        if entry_index is not None:
            changes["entry_index"] = entry_index
        return self._write(request_id, changes)

    def count_attempt(self, request_id: str) -> int:
        """Note that noise is about to be drawn (again); how many times, this one included."""
        attempts = self.get(request_id).attempts + 1
        self._write(request_id, {"attempts": attempts})
        return attempts

    def complete(self, request_id: str, completed_at: datetime) -> Request:
        """End a logged request and erase its detail; again is fine.

        Raises:
            ConflictError: It is not logged yet.
        """
        known = self.get(request_id)
        if known.stage == STAGES[-1]:
            return known
        self._check_step(known, STAGES[-1], ending=True)
        return self._end(request_id, STAGES[-1], completed_at)

    def cancel(self, request_id: str, cancelled_at: datetime) -> Request:
        """Give a request up and erase its detail; again is fine.

        Raises:
            ConflictError: Something was erased already, or it is completed.
        """
        known = self.get(request_id)
        if known.stage == CANCELLED:
            return known
        if known.stage not in CANCELLABLE:
            raise ConflictError(
                f"request {request_id} is {known.stage}: it can no longer be cancelled",
                code="request.stage",
            )
        return self._end(request_id, CANCELLED, cancelled_at)

    def _check_step(self, known: Request, stage: str, *, ending: bool = False) -> None:
        if stage not in STAGES:
            raise DataError(f"no stage {stage!r}", code="request.stage")
        here = STAGES.index(known.stage) if known.stage in STAGES else len(STAGES)
        step = STAGES.index(stage) - here
        last = stage == STAGES[-1]
        if step not in (0, 1) or not known.is_open or last != ending:
            raise ConflictError(
                f"request {known.request_id} is {known.stage}: it cannot become {stage}",
                code="request.stage",
            )

    def _end(self, request_id: str, stage: str, at: datetime) -> Request:
        changes = {"stage": stage, "detail": None, "completed_at": timestamp(at)}
        return self._write(request_id, changes)

    def _write(self, request_id: str, changes: dict[str, Any]) -> Request:
        statement = update(requests).where(requests.c.request_id == request_id).values(changes)
        self.connection.execute(statement)
        return self.get(request_id)


def _to_row(request: Request) -> dict[str, Any]:
    return {
        "request_id": request.request_id,
        "fingerprint": request.fingerprint,
        "stage": STAGES[0],
        "detail": None if request.detail is None else _dump(request.detail),
        "attempts": 0,
        "received_at": request.received_at,
        "due_by": request.due_by,
    }


def _from_row(row: Row[Any]) -> Request:
    fields = dict(row._mapping)
    detail = fields.pop("detail")
    return Request(**fields, detail=None if detail is None else json.loads(detail))


def _dump(detail: Mapping[str, Any]) -> str:
    return json.dumps(detail, ensure_ascii=False, allow_nan=False, sort_keys=True)
