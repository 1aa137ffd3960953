"""Requests that are carried out together: one state, one release, one certificate each.

A single revocation is a batch of one. The requests of a batch walk through the `SHARED`
stages in lock step; from there each one goes its own way to its certificate. A queued batch
waits until somebody carries it out; everything else that is open was interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from mbd.database.journal import (
    FINISHED,
    SHARED,
    STAGES,
    Request,
    check_step,
    dump_detail,
    request_of,
)
from mbd.database.tables import batch as batches
from mbd.database.tables import request as requests
from mbd.errors import ConflictError, NotFoundError


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch with something left to do."""

    batch_id: str
    queued: bool
    detail: dict[str, Any]
    """What all its requests share; names nobody."""
    members: tuple[Request, ...]
    """Those that are open, the oldest first."""

    @property
    def stage(self) -> str:
        """That of the request that is least far."""
        return STAGES[min(STAGES.index(member.stage) for member in self.members)]


@dataclass(frozen=True)
class Batches:
    """The batches, read and moved inside the caller's transaction."""

    connection: Connection

    def begin(
        self,
        batch_id: str,
        detail: Mapping[str, Any],
        members: Sequence[Request],
    ) -> None:
        """Record new requests at their first stage.

        Raises:
            ConflictError: The id of one is taken.
        """
        wanted = [member.request_id for member in members]
        for start in range(0, len(wanted), _CHUNK):
            taken = select(requests.c.request_id).where(
                requests.c.request_id.in_(wanted[start : start + _CHUNK])
            )
            if found := self.connection.execute(taken).scalar():
                raise ConflictError(
                    f"there is a request {found} already",
                    code="request.differs",
                    field="--request-id",
                    hint="choose another request id",
                )
        row = {"batch_id": batch_id, "queued": False, "detail": dump_detail(detail)}
        self.connection.execute(insert(batches).values(row))
        self.connection.execute(insert(requests), [_to_row(batch_id, one) for one in members])

    def find(self, batch_id: str) -> Batch | None:
        """The batch, if a request of it is open."""
        query = select(batches).where(batches.c.batch_id == batch_id)
        row = self.connection.execute(query).first()
        members = () if row is None else self._members(batch_id)
        if row is None or not members:
            return None
        detail = json.loads(row.detail or "{}")
        return Batch(batch_id=batch_id, queued=row.queued, detail=detail, members=members)

    def get(self, batch_id: str) -> Batch:
        """The batch with this id.

        Raises:
            NotFoundError: There is none, or it has ended.
        """
        found = self.find(batch_id)
        if found is None:
            raise NotFoundError(f"no open batch {batch_id}", code="request.not_found")
        return found

    def open(self, *, queued: bool) -> list[str]:
        """Ids of batches with an open request, the oldest first: the queued ones or the others."""
        query = (
            select(requests.c.batch_id)
            .join(batches)
            .where(requests.c.stage.not_in(FINISHED), batches.c.queued == queued)
            .group_by(requests.c.batch_id)
            .order_by(func.min(requests.c.received_at), requests.c.batch_id)
        )
        return list(self.connection.execute(query).scalars())

    def count_open(self, batch_id: str) -> int:
        """How many of its requests are open."""
        mine = (requests.c.batch_id == batch_id, requests.c.stage.not_in(FINISHED))
        query = select(func.count()).select_from(requests).where(*mine)
        return int(self.connection.execute(query).scalar_one())

    def advance(
        self,
        batch_id: str,
        stage: str,
        *,
        detail: Mapping[str, Any] | None = None,
        details: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Record a step that all open requests take together; the current one again is fine.

        Args:
            batch_id: Which.
            stage: One of `SHARED`.
            detail: Merged into what the batch knows, top level by key.
            details: The same for each request, by its id.

        Raises:
            ConflictError: The step is neither the next one nor the current one.
        """
        known = self.get(batch_id)
        if stage not in SHARED:
            raise ConflictError(f"{stage} is no step of a batch", code="request.stage")
        for member in known.members:
            check_step(member, stage)
        self._move(batch_id, stage)
        if detail is not None:
            self.note(batch_id, detail)
        changed = details or {}
        for member in known.members:
            if member.request_id in changed:
                merged = {**(member.detail or {}), **changed[member.request_id]}
                self._write(member.request_id, detail=dump_detail(merged))

    def note(self, batch_id: str, detail: Mapping[str, Any]) -> None:
        """Merge into what a batch knows, top level by key."""
        merged = {**self.get(batch_id).detail, **detail}
        statement = update(batches).where(batches.c.batch_id == batch_id)
        self.connection.execute(statement.values(detail=dump_detail(merged)))

    def count_attempt(self, batch_id: str, origins: Mapping[str, str]) -> None:
        """Note that noise is about to be drawn (again).

        Args:
            batch_id: Which.
            origins: By request, a keyed hash of its subject: what this person's requests drew
                before and gave up counts too, until one of them is completed.
        """
        for member in self.get(batch_id).members:
            origin = origins.get(member.request_id)
            if origin is None:
                continue
            before = select(func.max(requests.c.attempts)).where(
                requests.c.origin == origin, requests.c.batch_id != batch_id
            )
            drawn = self.connection.execute(before).scalar() or 0
            attempts = max(drawn, member.attempts) + 1
            self._write(member.request_id, attempts=attempts, origin=origin)

    def step_back(self, batch_id: str, stage: str, *, forget: Sequence[str]) -> None:
        """Return to an earlier shared stage: what was staged is given up.

        Args:
            batch_id: Which; nothing of it was erased.
            stage: One that all its requests passed.
            forget: Keys of the batch's detail that are not true any more.
        """
        known = self.get(batch_id)
        kept = {name: value for name, value in known.detail.items() if name not in forget}
        self._move(batch_id, stage)
        statement = update(batches).where(batches.c.batch_id == batch_id)
        self.connection.execute(statement.values(detail=dump_detail(kept)))

    def queue(self, batch_id: str) -> None:
        """Let a batch wait: it is not interrupted, and nobody finishes it unasked."""
        statement = update(batches).where(batches.c.batch_id == batch_id)
        self.connection.execute(statement.values(queued=True))

    def unite(self, batch_id: str) -> None:
        """Let the requests of every queued batch be part of this one, which is not queued then."""
        others = [other for other in self.open(queued=True) if other != batch_id]
        moved = update(requests).where(requests.c.batch_id.in_(others))
        self.connection.execute(moved.values(batch_id=batch_id))
        self.connection.execute(delete(batches).where(batches.c.batch_id.in_(others)))
        statement = update(batches).where(batches.c.batch_id == batch_id)
        self.connection.execute(statement.values(queued=False))

    def _members(self, batch_id: str) -> tuple[Request, ...]:
        query = (
            select(requests)
            .where(requests.c.batch_id == batch_id, requests.c.stage.not_in(FINISHED))
            .order_by(requests.c.received_at, requests.c.request_id)
        )
        return tuple(request_of(row) for row in self.connection.execute(query))

    def _move(self, batch_id: str, stage: str) -> None:
        mine = (requests.c.batch_id == batch_id, requests.c.stage.not_in(FINISHED))
        self.connection.execute(update(requests).where(*mine).values(stage=stage))

    def _write(self, request_id: str, **changes: Any) -> None:
        statement = update(requests).where(requests.c.request_id == request_id)
        self.connection.execute(statement.values(changes))


_CHUNK = 500
"""Values in one SQL list."""


def _to_row(batch_id: str, request: Request) -> dict[str, Any]:
    return {
        "request_id": request.request_id,
        "batch_id": batch_id,
        "fingerprint": request.fingerprint,
        "stage": STAGES[0],
        "detail": None if request.detail is None else dump_detail(request.detail),
        "attempts": 0,
        "received_at": request.received_at,
        "due_by": request.due_by,
    }
