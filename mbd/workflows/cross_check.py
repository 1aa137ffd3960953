"""The model against the ledger, the data store and a receipt: what an idle engine leaves wrong.

A state that equals its rows proves nothing if the rows are those of before. So the policy is
held against the one that was logged, the model against the last certificate, growth or
restore, the state against what that commits to, and every row against a record that may still
be used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mbd.canonical.json import loads_strict
from mbd.certificate.envelope import parse_envelope
from mbd.certificate.receipt import Receipt
from mbd.certificate.statement import parse_statement
from mbd.data.items import items_of
from mbd.data.prepared import PreparedRows
from mbd.data.records import Records
from mbd.database import models, suppressions
from mbd.database.journal import Journal
from mbd.errors import IntegrityError, MbdError
from mbd.ledger.bodies import read_bodies
from mbd.ledger.entry import parse_entry
from mbd.ledger.queries import Filter, LogEntry, find_entry, list_entries
from mbd.signing.commitment import commit
from mbd.values import Availability, parse_availability
from mbd.workflows.consent import is_granted
from mbd.workflows.current import CurrentModel
from mbd.workflows.destruction import BODY, SUBJECT_SECRET
from mbd.workflows.growth import STATE_AFTER
from mbd.workflows.session import Session
from mbd.workflows.snapshots import POLICY_FILE


@dataclass(frozen=True, kw_only=True)
class Paper:
    """What a certificate, a growth or a restore says of the model that came of it."""

    name: str
    salts_of: str
    """Under which id the salt of the state's commitment is kept."""
    model_after: str
    state_after: str
    """Commitment to the state's digest."""
    released: Mapping[str, bool]
    """Heads that it put into service: whether without noise."""


def papers_of(session: Session, model: CurrentModel) -> list[Paper | None]:
    """Certificates, growths and restores since the model's policy, the newest last.

    None stands for one whose body was erased, or cannot be read here.
    """
    with session.database.read() as connection:
        since = models.policy_index(connection, model.snapshot.model_id)
        entries = [entry for entry in list_entries(connection, Filter()) if entry.index > since]
        kinds = {entry.index: entry.type for entry in entries if entry.type in _READERS}
        bodies = dict(read_bodies(connection, kinds, session.body_keys()))
    found = [(i, body) for i, body in bodies.items() if body is None or not _is_of_secrets(body)]
    return [None if body is None else _READERS[kinds[i]](i, body) for i, body in found]


def released_exactly(
    papers: Sequence[Paper | None], heads: Iterable[str]
) -> dict[str, bool | None]:
    """For each head: whether its latest release has no noise; None if nobody can tell."""
    exact: dict[str, bool | None] = dict.fromkeys(heads, False)
    for paper in papers:
        exact |= dict.fromkeys(exact) if paper is None else paper.released
    return exact


def ledger_findings(
    session: Session, model: CurrentModel, papers: list[Paper | None], state_digest: str
) -> Iterator[str]:
    """What the model has that was not announced, and certificates that nothing stands behind."""
    with session.database.read() as connection:
        index = models.policy_index(connection, model.snapshot.model_id)
        announced = parse_entry(find_entry(connection, str(index)).leaf).digest
        off = suppressions.requests(connection)
        unbacked = [
            entry.certificate_id
            for entry in list_entries(connection, Filter())
            if entry.type == "certificate" and not _is_backed(Journal(connection), entry, off)
        ]
    if model.snapshot.file_digest(POLICY_FILE) != announced:
        yield f"{POLICY_FILE} is not the policy that ledger entry {index} announced"
    for certificate_id in unbacked:
        yield f"certificate {certificate_id}: no channel was switched off for it"
    latest = papers[-1] if papers else None
    if latest is not None:
        yield from _paper_findings(session, model, latest, state_digest)


def _is_backed(journal: Journal, entry: LogEntry, off: frozenset[str]) -> bool:
    known = journal.find_by_certificate(entry.certificate_id or "")
    return known is not None and (known.request_id in off or known.forgotten)


def _paper_findings(
    session: Session, model: CurrentModel, latest: Paper, state_digest: str
) -> Iterator[str]:
    if latest.model_after != model.snapshot.digest:
        yield f"the model is not the one that {latest.name} names"
    salt = session.secrets.salts(latest.salts_of).get(STATE_AFTER)
    if salt is None:
        return  # the operator gave the opening away; the commitment cannot be checked here
    if commit(salt, STATE_AFTER, state_digest) != latest.state_after:
        yield f"the rebuilt state is not the one that {latest.name} commits to"


def data_findings(session: Session, model: CurrentModel) -> Iterator[str]:
    """Revoked channels that are still stored, and rows that no record stands behind."""
    store, suppressed = session.store(), session.erased_channels
    prepared = session.prepared(model.policy.training_id)
    held: dict[str, tuple[str, Availability]] = {}
    leftovers: set[str] = set()
    for bucket in store.buckets():
        records = store.read_bucket(bucket)
        held |= trained_on(records)
        for name, column in records.x.items():
            if any(
                value is not None and suppressed.blocks(subject, name)
                for subject, value in zip(records.subjects, column, strict=True)
            ):
                leftovers.add(f"revoked {name} is still in the data store")
    yield from sorted(leftovers)
    seen: dict[str, set[str]] = {}
    problems: set[str] = set()
    for rows_of in prepared.all_rows():
        for head, rows in rows_of.items():
            problems.update(row_problems(head, rows, held, seen.setdefault(head, set())))
    yield from sorted(problems)


def trained_on(records: Records) -> dict[str, tuple[str, Availability]]:
    """Subject and channels of each training record, by its id."""
    return {
        records.record_ids[i]: (records.subjects[i], records.availability(i))
        for i in range(len(records))
        if records.splits[i] == "train"
    }


def row_problems(
    head: str,
    rows: PreparedRows,
    held: Mapping[str, tuple[str, Availability]],
    seen: set[str],
) -> Iterator[str]:
    """Each row needs a training record of the same subject with these channels, once."""
    needed, nobody = parse_availability(head), ("", frozenset[str]())
    for record_id, subject in zip(rows.record_ids, rows.subjects, strict=True):
        owner, available = held.get(record_id, nobody)
        if owner != subject or not needed <= available:
            yield f"head {head}: a row has no record with these channels behind it"
        if record_id in seen:
            yield f"head {head}: a record is counted twice"
        seen.add(record_id)


def receipt_findings(session: Session, model: CurrentModel, receipt: Receipt) -> Iterator[str]:
    """What is left of the channels that a receipt says are gone.

    What arrived after consent was given again is none of the receipt's business; but nothing
    that was erased may be there, and the consent must be in the ledger.
    """
    suppressed, subject = session.suppressions, receipt.subject
    again = granted_again(session, receipt)
    held = session.store().read(subjects=[subject])
    rows = session.prepared(model.policy.training_id).rows_of(subject)
    present = {(item.modality, item.features) for item in items_of(held)}
    erased = {(item.modality, item.features) for item in receipt.items}
    for modality in receipt.modalities:
        if modality in again:
            if any(name == modality for name, _ in present & erased):
                yield f"the receipt's {modality} is in the data store again"
            continue
        if not suppressed.blocks(subject, modality):
            yield f"the receipt's {modality} is still in use"
        if any(value is not None for value in held.x[modality]):
            yield f"the receipt's {modality} is still in the data store"
        heads = sorted(head for head in rows if modality in parse_availability(head))
        if heads:
            yield f"the receipt's {modality} is still in the rows of {', '.join(heads)}"


def granted_again(session: Session, receipt: Receipt) -> tuple[str, ...]:
    """Channels of a receipt that the person allowed again since, as the ledger knows too."""
    suppressed, subject = session.suppressions, receipt.subject
    return tuple(
        one
        for one in receipt.modalities
        if suppressed.granted(subject, one) and is_granted(session, subject, one)
    )


def _certificate(index: int, body: bytes) -> Paper:
    envelope = parse_envelope(loads_strict(body, max_bytes=1 << 24))
    found = parse_statement(envelope.payload).predicate
    return Paper(
        name=f"certificate {found.certificate_id}",
        salts_of=found.certificate_id,
        model_after=found.deletion.model_after.digest,
        state_after=found.deletion.commitments.state_after,
        released=dict.fromkeys(
            found.guarantee.selected_heads, found.guarantee.guarantee_class == "exact"
        ),
    )


def _growth(index: int, body: bytes) -> Paper:
    found, name = loads_strict(body, max_bytes=1 << 20), f"ledger entry {index}"
    try:
        return Paper(
            name=name,
            salts_of=found["growthId"],
            model_after=found["modelAfter"],
            state_after=found[STATE_AFTER],
            released=dict.fromkeys(found["heads"], False),
        )
    except (KeyError, TypeError) as error:
        raise IntegrityError(f"{name} is not a growth", code="entry.body") from error


def _is_of_secrets(body: bytes) -> bool:
    """Whether an erasure is of a body or a secret, so that it says nothing of the model."""
    try:
        found = loads_strict(body, max_bytes=1 << 24)
    except MbdError:
        return False
    return isinstance(found, dict) and found.get("reason") in (BODY, SUBJECT_SECRET)


def _erasure(index: int, body: bytes) -> Paper:
    found, name = loads_strict(body, max_bytes=1 << 20), f"ledger entry {index}"
    try:
        return Paper(
            name=name,
            salts_of=found["id"],
            model_after=found["modelAfter"],
            state_after=found["commitments"][STATE_AFTER],
            released={
                **dict.fromkeys(found["heads"], False),
                **dict.fromkeys(found["exact"], True),
            },
        )
    except (KeyError, TypeError) as error:
        raise IntegrityError(f"{name} is not an erasure", code="entry.body") from error


_READERS: Mapping[str, Callable[[int, bytes], Paper]] = {
    "certificate": _certificate,
    "growth": _growth,
    "erasure": _erasure,
}
