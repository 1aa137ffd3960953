"""What requests ask for, held against data, model and what was revoked before.

Nothing is recorded here. What cannot be carried out is refused with the reason, each request
for itself: one that is refused harms no other.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mbd.data.prepared import PreparedStore
from mbd.data.records import Records
from mbd.data.schema import DatasetSchema
from mbd.data.store import Store
from mbd.database import suppressions
from mbd.database.journal import Journal, Request
from mbd.database.suppressions import Suppressions, keyed_hash
from mbd.deletion.plan import DeletionPlan, Method
from mbd.errors import ConflictError, MbdError, NotFoundError, UsageError
from mbd.workflows.current import CurrentModel
from mbd.workflows.plans import RowCounts, count_rows, plan_request
from mbd.workflows.session import Session

ALL = "all"
"""Stands for every modality of a person."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class RevocationRequest:
    """What somebody asks for."""

    subject: str
    modalities: tuple[str, ...]
    """Names of modalities, or `ALL` alone."""
    request_id: str | None = None
    """None: a fresh one."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How requests are to be carried out."""

    method: Method = "auto"
    epsilon: float | None = None
    """None: what the workspace's settings say."""
    delta: float | None = None


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A request that can be carried out."""

    subject: str
    modalities: tuple[str, ...]
    """With everything derived from them, sorted."""
    plan: DeletionPlan

    @property
    def detail(self) -> dict[str, Any]:
        """What the steps need to know."""
        return {"subject": self.subject, "modalities": list(self.modalities)}


Answer = Resolved | MbdError


class Resolver:
    """Looks requests up in one state of data and model.

    Raises:
        NotFoundError: There is no data, or no model.
    """

    def __init__(self, session: Session, method: Method) -> None:
        self._session = session
        self._method = method
        self._store: Store = session.store()
        self._model: CurrentModel = session.model()
        self._prepared: PreparedStore = session.prepared(self._model.policy.training_id)
        self._suppressed: Suppressions = session.suppressions

    def resolve_all(self, requests: Sequence[RevocationRequest]) -> list[Answer]:
        """Each request's answer, in their order; every file is read once."""
        answers: dict[int, Answer] = {}
        for bucket, numbers in self._by_bucket(requests):
            subjects = [requests[number].subject for number in numbers]
            try:
                held = self._store.read_bucket(bucket)
                counts = count_rows(self._prepared, subjects)
            except MbdError as error:
                answers |= dict.fromkeys(numbers, error)
                continue
            taken: set[tuple[str, str]] = set()
            for number in numbers:
                answers[number] = answer = self._answer(requests[number], held, counts, taken)
                if isinstance(answer, Resolved):
                    taken |= {(answer.subject, name) for name in answer.modalities}
        return [answers[number] for number in range(len(requests))]

    def _answer(
        self,
        request: RevocationRequest,
        held: Records,
        counts: RowCounts,
        taken: Collection[tuple[str, str]],
    ) -> Answer:
        """Of one request; `taken` are the channels that earlier requests remove."""
        try:
            modalities = self._modalities(request, held, taken)
            detail = {"subject": request.subject, "modalities": list(modalities)}
            decided = plan_request(self._model, self._store.schema, detail, counts, self._method)
        except MbdError as error:
            return error
        return Resolved(subject=request.subject, modalities=modalities, plan=decided)

    def _by_bucket(self, requests: Sequence[RevocationRequest]) -> Iterator[tuple[int, list[int]]]:
        found: dict[int, list[int]] = {}
        for number, request in enumerate(requests):
            found.setdefault(self._store.bucket_of(request.subject), []).append(number)
        return iter(sorted(found.items()))

    def _modalities(
        self, request: RevocationRequest, held: Records, taken: Collection[tuple[str, str]]
    ) -> tuple[str, ...]:
        """What is to be removed, with everything derived from it."""
        subject, schema = request.subject, self._store.schema
        asked, everything = _asked(request, schema), request.modalities == (ALL,)
        mine = [index for index, who in enumerate(held.subjects) if who == subject]
        has = {name for name in schema.names if any(held.x[name][i] is not None for i in mine)}
        off = [
            name
            for name in asked
            if self._suppressed.blocks(subject, name) or (subject, name) in taken
        ]
        left = [name for name in asked if name not in off]
        if everything:  # off and still stored: it waits for somebody else's retraining, or a crash
            left += [name for name in off if name in has and (subject, name) not in taken]
        if off and (not everything or not has.intersection(left)):
            raise _revoked(self._session, subject, off[0], taken, left)
        if not mine:
            raise NotFoundError(
                f"no user {subject!r} in this data set",
                code="user.not_found",
                field="--user",
                hint="`mbd data subjects` lists them",
            )
        for name in left:
            if name not in has and not everything:
                raise NotFoundError(
                    f"user {subject!r} has no {name}", code="modality.not_held", field="--modality"
                )
        return schema.cascade(left)


def resolve(session: Session, request: RevocationRequest, method: Method) -> Resolved:
    """One request.

    Raises:
        NotFoundError: No such user, modality, or channel of this user; no model.
        RefusedError: A block saw the data that cannot subtract it.
        ConflictError: Revoked before.
        IntegrityError: A file that is needed is torn or altered.
    """
    (answer,) = Resolver(session, method).resolve_all([request])
    if isinstance(answer, MbdError):
        raise answer
    return answer


def checked_id(request_id: str) -> str:
    """Return `request_id` if it can name a request.

    Raises:
        UsageError: It cannot.
    """
    if not _REQUEST_ID.fullmatch(request_id):
        raise UsageError(
            f"request id {request_id[:80]!r}: want letters, digits, '.', '_' or '-', 64 at most",
            field="--request-id",
        )
    return request_id


def fingerprint(session: Session, request_id: str, request: RevocationRequest, terms: Terms) -> str:
    """Keyed hash (hex) of what is asked for: the same id with another one is a conflict.

    The id is in it, so that nobody without the key sees who asked for the same thing twice.
    """
    parts = (request_id, request.subject, *sorted(request.modalities), terms.method)
    numbers = (repr(terms.epsilon), repr(terms.delta))
    return keyed_hash(session.key, "request", *parts, *numbers)


def refuse_other_content(known: Request, wanted: str) -> None:
    """Refuse an id that was used for something else.

    Raises:
        ConflictError: It was.
    """
    if known.fingerprint != wanted:
        raise ConflictError(
            f"request {known.request_id} was made before, with other content or by somebody who "
            "was forgotten since",
            code="request.differs",
            field="--request-id",
            hint="choose another request id",
        )


def _asked(request: RevocationRequest, schema: DatasetSchema) -> list[str]:
    """The names that are asked for, each once."""
    if request.modalities == (ALL,):
        return list(schema.names)
    unique = list(dict.fromkeys(request.modalities))
    if ALL in unique:
        raise UsageError(f"{ALL!r} stands alone", field="--modality")
    if not unique:
        raise UsageError("no modality", field="--modality")
    schema.cascade(unique)  # refuses names that the data set does not know
    return unique


def _revoked(
    session: Session,
    subject: str,
    modality: str,
    taken: Collection[tuple[str, str]],
    left: Sequence[str],
) -> ConflictError:
    """What is off already, by itself or with the channel it was made from, stays off."""
    if (subject, modality) in taken:
        return ConflictError(
            f"{modality} of this user is revoked by another request of this batch",
            code="revoked.already",
            field="--modality",
        )
    with session.database.read() as connection:
        name = suppressions.find(connection, session.key, subject, modality)
        known = Journal(connection).get(str(name))
    if known.forgotten:
        done = "by whom was forgotten (`mbd secrets forget`); their receipt names the certificate"
        hint = ""
    elif known.certificate_id:
        done = f"certificate {known.certificate_id}"
        hint = f"`mbd ledger show {known.certificate_id}`"
    else:
        done, hint = f"request {known.request_id} (not completed)", "`mbd resume` finishes it"
    rest = f"ask for the rest alone: {', '.join(left)}" if left else ""
    return ConflictError(
        f"{modality} of this user was revoked before: {done}",
        code="revoked.already",
        field="--modality",
        hint="; ".join(part for part in (hint, rest) if part) or None,
    )
