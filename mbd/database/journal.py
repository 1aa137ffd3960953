"""The journal of revocations: how far each one got, so that a crash loses none.

A request walks through `STAGES` one step at a time, or is cancelled before anything was
erased. Every step is recorded in the transaction that did its work; recording the step a
request is already at changes nothing but the detail. The requests of a batch take the first
steps together (`mbd.database.batches`), the others each for itself.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from mbd.canonical.times import timestamp
from mbd.database.tables import batch as batches
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
SHARED = STAGES[: STAGES.index("signed")]
"""Stages that the requests of a batch reach together."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One revocation as the journal knows it."""

    request_id: str
    fingerprint: str
    """Keyed hash (hex) of id and content: the same id with another one is a conflict. Random once
    it was forgotten who made the request; empty where nobody made it, see `unlink`."""
    received_at: str
    due_by: str
    stage: str = STAGES[0]
    detail: dict[str, Any] | None = None
    """What the steps need to know, subject included; erased when the request ends."""
    attempts: int = 0
    """How many times noise was drawn for this person since a request of theirs was completed."""
    certificate_id: str | None = None
    entry_index: int | None = None
    completed_at: str | None = None
    batch_id: str | None = None
    """What it is carried out with; None where requests were not carried out in batches yet."""
    origin: str | None = None
    """Keyed hash (hex) of the subject, once noise was drawn and until a request is completed."""

    @property
    def is_open(self) -> bool:
        """Whether there is something left to do."""
        return self.stage not in FINISHED

    @property
    def forgotten(self) -> bool:
        """Whether it stands for people who were forgotten: nobody made it."""
        return not self.fingerprint

    def reached(self, stage: str) -> bool:
        """Whether that step of the walk was taken; False for a cancelled request."""
        return self.stage != CANCELLED and STAGES.index(self.stage) >= STAGES.index(stage)


@dataclass(frozen=True)
class Journal:
    """The requests, read and moved inside the caller's transaction."""

    connection: Connection

    def find(self, request_id: str) -> Request | None:
        """The request with this id, if there is one."""
        query = select(requests).where(requests.c.request_id == request_id)
        row = self.connection.execute(query).first()
        return None if row is None else request_of(row)

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
        return None if row is None else request_of(row)

    def open_requests(self) -> list[Request]:
        """Requests with something left to do, the oldest first."""
        query = (
            select(requests)
            .where(requests.c.stage.not_in(FINISHED))
            .order_by(requests.c.received_at, requests.c.request_id)
        )
        return [request_of(row) for row in self.connection.execute(query)]

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
        check_step(known, stage)
        changes: dict[str, Any] = {"stage": stage}
        if detail is not None:
            changes["detail"] = dump_detail({**(known.detail or {}), **detail})
        if certificate_id is not None:
            changes["certificate_id"] = certificate_id
        if entry_index is not None:
            changes["entry_index"] = entry_index
        return self._write(request_id, changes)

    def complete(self, request_id: str, completed_at: datetime) -> Request:
        """End a logged request and erase its detail; again is fine.

        Raises:
            ConflictError: It is not logged yet.
        """
        known = self.get(request_id)
        if known.stage == STAGES[-1]:
            return known
        check_step(known, STAGES[-1], ending=True)
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

    def unlink(self, request_ids: Collection[str], to: Request) -> None:
        """Forget who made these completed requests: they look like those of anybody.

        Args:
            request_ids: Which.
            to: A completed request that was none: what is kept of the person stands on it.

        Raises:
            ConflictError: One is not completed.
        """
        chosen = requests.c.request_id.in_(list(request_ids))
        left = select(requests.c.request_id).where(chosen, requests.c.stage.not_in(FINISHED))
        if found := self.connection.execute(left).scalar():
            raise ConflictError(f"request {found} is not completed", code="request.stage")
        for one in request_ids:
            mine = update(requests).where(requests.c.request_id == one)
            self.connection.execute(mine.values(fingerprint=token_hex(32), origin=None))
        row = {name: value for name, value in vars(to).items() if name != "detail"}
        self.connection.execute(insert(requests).values(row))

    def _end(self, request_id: str, stage: str, at: datetime) -> Request:
        changes: dict[str, Any] = {
            "stage": stage,
            "detail": None,
            "completed_at": timestamp(at),
        }
        origin = self.get(request_id).origin
        if stage == STAGES[-1] and origin is not None:  # what was drawn for the person is stated
            mine = update(requests).where(requests.c.origin == origin)
            self.connection.execute(mine.values(origin=None))
        ended = self._write(request_id, changes)
        self._forget_batch(ended.batch_id)
        return ended

    def _forget_batch(self, batch_id: str | None) -> None:
        """Erase what a batch needed to know, if nobody is left in it."""
        mine = (requests.c.batch_id == batch_id, requests.c.stage.not_in(FINISHED))
        if self.connection.execute(select(requests.c.request_id).where(*mine).limit(1)).first():
            return
        ended = update(batches).where(batches.c.batch_id == batch_id)
        self.connection.execute(ended.values(detail=None, queued=False))

    def _write(self, request_id: str, changes: dict[str, Any]) -> Request:
        statement = update(requests).where(requests.c.request_id == request_id).values(changes)
        self.connection.execute(statement)
        return self.get(request_id)


def check_step(known: Request, stage: str, *, ending: bool = False) -> None:
    """Refuse a step that is neither the next one nor the current one.

    Raises:
        ConflictError: It is another one.
        DataError: There is no such stage.
    """
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


def request_of(row: Row[Any]) -> Request:
    """A row of the table as a value."""
    fields = dict(row._mapping)
    detail = fields.pop("detail")
    return Request(**fields, detail=None if detail is None else json.loads(detail))


def dump_detail(detail: Mapping[str, Any]) -> str:
    """The stored form of a detail."""
    return json.dumps(detail, ensure_ascii=False, allow_nan=False, sort_keys=True)
