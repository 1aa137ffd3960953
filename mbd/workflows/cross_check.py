"""The model against the ledger, the data store and a receipt: what an idle engine leaves wrong.

A state that equals its rows proves nothing if the rows are those of before. So the policy is
held against the one that was logged, the model against the last certificate, the state
against what that certificate commits to, and every row against a record that may still be used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mbd.canonical.json import loads_strict
from mbd.certificate.envelope import parse_envelope
from mbd.certificate.receipt import Receipt
from mbd.certificate.statement import Predicate, parse_statement
from mbd.data.prepared import PreparedRows
from mbd.data.records import Records
from mbd.database import models, suppressions
from mbd.database.journal import Journal
from mbd.ledger.entry import parse_entry
from mbd.ledger.queries import Filter, LogEntry, body_of, find_entry, list_entries
from mbd.signing.commitment import commit
from mbd.values import Availability, parse_availability
from mbd.workflows.current import CurrentModel
from mbd.workflows.session import Session
from mbd.workflows.snapshots import POLICY_FILE


@dataclass(frozen=True)
class Paper:
    """A logged certificate of the current training run, the newest last."""

    index: int
    predicate: Predicate


def papers_of(session: Session, model: CurrentModel) -> list[Paper]:
    """Certificates logged since the model's policy; those whose body was erased are left out."""
    with session.database.read() as connection:
        since = models.policy_index(connection, model.snapshot.model_id)
        entries = [entry for entry in list_entries(connection, Filter()) if entry.index > since]
        bodies = {
            entry.index: body_of(connection, entry.index)
            for entry in entries
            if entry.type == "certificate"
        }
    return [Paper(index, _predicate(body)) for index, body in bodies.items() if body is not None]


def released_exactly(papers: Iterable[Paper]) -> Mapping[str, bool]:
    """For each head that a certificate released: whether its latest release has no noise."""
    latest: dict[str, bool] = {}
    for paper in papers:
        guarantee = paper.predicate.guarantee
        for head in guarantee.selected_heads:
            latest[head] = guarantee.guarantee_class == "exact"
    return latest


def ledger_findings(
    session: Session, model: CurrentModel, papers: list[Paper], state_digest: str
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
    if papers:
        yield from _paper_findings(session, model, papers[-1].predicate, state_digest)


def _is_backed(journal: Journal, entry: LogEntry, off: frozenset[str]) -> bool:
    known = journal.find_by_certificate(entry.certificate_id or "")
    return known is not None and known.request_id in off


def _paper_findings(
    session: Session, model: CurrentModel, latest: Predicate, state_digest: str
) -> Iterator[str]:
    name = latest.certificate_id
    if latest.deletion.model_after.digest != model.snapshot.digest:
        yield f"the model is not the one that certificate {name} names"
    salt = session.secrets.salts(name).get("stateAfter")
    if salt is None:
        return  # the operator gave the opening away; the commitment cannot be checked here
    if commit(salt, "stateAfter", state_digest) != latest.deletion.commitments.state_after:
        yield f"the rebuilt state is not the one that certificate {name} commits to"


def data_findings(session: Session, model: CurrentModel) -> Iterator[str]:
    """Revoked channels that are still stored, and rows that no record stands behind."""
    store, suppressed = session.store(), session.suppressions
    prepared = session.prepared(model.policy.training_id)
    held: dict[str, tuple[str, Availability]] = {}
    leftovers: set[str] = set()
    for bucket in store.buckets():
        records = store.read_bucket(bucket)
        held |= _trained_on(records)
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
            problems.update(_row_problems(head, rows, held, seen.setdefault(head, set())))
    yield from sorted(problems)


def _trained_on(records: Records) -> dict[str, tuple[str, Availability]]:
    return {
        records.record_ids[i]: (records.subjects[i], records.availability(i))
        for i in range(len(records))
        if records.splits[i] == "train"
    }


def _row_problems(
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
    """What is left of the channels that a receipt says are gone."""
    suppressed, subject = session.suppressions, receipt.subject
    held = session.store().read(subjects=[subject])
    rows = session.prepared(model.policy.training_id).rows_of(subject)
    for modality in receipt.modalities:
        if not suppressed.blocks(subject, modality):
            yield f"the receipt's {modality} is still in use"
        if any(value is not None for value in held.x[modality]):
            yield f"the receipt's {modality} is still in the data store"
        heads = sorted(head for head in rows if modality in parse_availability(head))
        if heads:
            yield f"the receipt's {modality} is still in the rows of {', '.join(heads)}"


def _predicate(body: bytes) -> Predicate:
    envelope = parse_envelope(loads_strict(body, max_bytes=1 << 24))
    return parse_statement(envelope.payload).predicate
