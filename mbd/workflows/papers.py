"""The last steps of a request: its certificate signed, logged, proved and written.

`scanned -> signed -> logged -> completed`, for requests of one bucket at a time. Only now is
a certificate made, from the recorded outcome. It enters the ledger in the transaction in
which its request leaves its step; the list of what was erased is destroyed last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from mbd.canonical.json import dumps
from mbd.certificate.bundle import Bundle
from mbd.certificate.scope import out_of_scope
from mbd.database.batches import Batch, Batches
from mbd.database.journal import Journal, Request
from mbd.errors import IntegrityError
from mbd.ledger.entry import Entry, signed_entry
from mbd.ledger.log import Labels
from mbd.ledger.queries import find_entry
from mbd.values import DeletionOutcome
from mbd.verify.run import verify_bundle
from mbd.verify.trust import load_trust
from mbd.verify.trusted import TrustPolicy
from mbd.workflows.batch import detail_of, erasure_of, erasure_path, staging_folder
from mbd.workflows.certify import (
    Erased,
    escrowed_salts,
    prepare_issuing,
    sign_certificate,
    stored_envelope,
    stored_receipt,
)
from mbd.workflows.session import Session
from mbd.workflows.snapshots import ModelSnapshot, StateSnapshot, remove_folder
from mbd.workflows.staging import StagedRelease
from mbd.workspace.files import remove_file, write_all_atomically


def sign(session: Session, batch: Batch, members: Sequence[Request]) -> None:
    """State what was recorded, and sign it."""
    planned = erasure_of(session, batch, detail_of(members[0])["bucket"])
    issuing = prepare_issuing(
        session,
        [detail_of(member)["subject"] for member in members],
        policy_entry=batch.detail["policyEntry"],
        delta=batch.detail["delta"],
        now=datetime.now(UTC),
    )
    signed, shared = {}, SharedOutcome.of(session, batch)
    for member in members:
        erased = planned.plan_of(member.request_id)
        signed[member.request_id] = sign_certificate(
            session,
            member,
            shared.of_member(member),
            Erased(erased.items, erased.vanishing, erased.needles),
            issuing,
        )
    with session.database.transaction() as connection:
        for name, certificate in signed.items():
            Journal(connection).advance(
                name,
                "signed",
                detail={"signed": certificate.to_json()},
                certificate_id=certificate.certificate_id,
            )


def log(session: Session, batch: Batch, members: Sequence[Request]) -> None:
    """The certificates' ledger entries and the requests' step commit together."""
    now = datetime.now(UTC)
    entries = [_entry(member, now) for member in members]
    with session.database.transaction() as connection:
        indices = session.log.append_all(connection, entries)
        for member, index in zip(members, indices, strict=True):
            Journal(connection).advance(member.request_id, "logged", entry_index=index)


def complete(session: Session, batch: Batch, members: Sequence[Request]) -> None:
    """Publish, write bundles and receipts, forget what only the walk needed."""
    session.log.publish()
    # What one accepts of others is no reason to withhold the certificate of what happened.
    trust = replace(load_trust(session.workspace.trust_file), max_epsilon=None, max_delta=None)
    bundles = _proved(session, members, trust)
    names = [str(member.certificate_id) for member in members]
    write_all_atomically(
        {bundle_path(session, name): one for name, one in zip(names, bundles, strict=True)}
    )
    receipts = [stored_receipt(detail_of(member)) for member in members]
    write_all_atomically(
        {receipt_path(session, name): one for name, one in zip(names, receipts, strict=True)},
        mode=0o600,
    )
    salts = {str(one.certificate_id): escrowed_salts(detail_of(one)) for one in members}
    session.secrets.put_all_salts(salts)
    _destroy_list(session, batch, members)
    with session.database.transaction() as connection:
        for member in members:
            Journal(connection).complete(member.request_id, datetime.now(UTC))
    session.database.purge()


PAPERS: dict[str, Callable[[Session, Batch, Sequence[Request]], None]] = {
    "scanned": sign,
    "signed": log,
    "logged": complete,
}
"""From each stage to the step that leaves it, for requests of one bucket."""


@dataclass(frozen=True)
class SharedOutcome:
    """What the recorded steps did for all requests of a batch."""

    batch: Batch
    release: StagedRelease
    model: ModelSnapshot
    state: StateSnapshot
    label_sources: frozenset[str]
    """Modalities that the labels derive from."""

    @classmethod
    def of(cls, session: Session, batch: Batch) -> Self:
        """Read what was recorded."""
        release = StagedRelease.from_json(batch.detail["release"])
        return cls(
            batch,
            release,
            ModelSnapshot.from_pointer(session.workspace.models, release.model_pointer),
            StateSnapshot.from_pointer(session.workspace.state, release.state_pointer),
            frozenset(session.store().schema.label_derived_from),
        )

    def of_member(self, member: Request) -> DeletionOutcome:
        """What they did for one of them, in plain numbers."""
        detail, shared = detail_of(member), self.batch.detail
        certified = detail["class"] == "certified"
        heads = [head for head in self.release.parameters if head.head in detail["selected"]]
        labels = not self.label_sources.isdisjoint(detail["modalities"])
        return DeletionOutcome(
            guarantee_class=detail["class"],
            modalities=tuple(detail["modalities"]),
            heads=tuple(heads) if certified else (),
            selected_heads=tuple(detail["selected"]),
            all_heads=tuple(sorted(self.state.heads)),
            model_after=self.model.files,
            # A request that an earlier version staged has that of all of them.
            dataset_before=detail.get("datasetBefore", shared["datasetBefore"]),
            dataset_after=shared["datasetAfter"],
            state_after=self.state.digest,
            deleted_set=detail["deletedSet"],
            attempts=member.attempts if certified else 0,
            stores=tuple(detail["stores"]),
            out_of_scope=out_of_scope(labels_derived=labels),
            retrained=shared["method"] == "retrain",
        )


def bundle_path(session: Session, certificate_id: str) -> Path:
    """Where the bundle of a certificate is written."""
    return session.workspace.certs / f"{certificate_id}.json"


def receipt_path(session: Session, certificate_id: str) -> Path:
    """Where the receipt of a certificate waits to be handed over."""
    return session.workspace.receipts / f"{certificate_id}.json"


def _entry(member: Request, now: datetime) -> tuple[Entry, bytes, Labels]:
    detail = detail_of(member)
    envelope = stored_envelope(detail)
    values = [signature.value for signature in envelope.signatures]
    labels = Labels(
        guarantee_class=detail["class"],
        modalities=tuple(detail["modalities"]),
        certificate_id=member.certificate_id,
    )
    entry = signed_entry("certificate", now, envelope.signed_bytes(), values)
    return entry, dumps(envelope.to_json()), labels


def _proved(session: Session, members: Sequence[Request], trust: TrustPolicy) -> list[bytes]:
    """The bundles of logged certificates, as a stranger will accept them."""
    indices = [member.entry_index for member in members if member.entry_index is not None]
    with session.database.read() as connection:
        leaves = [find_entry(connection, str(index)).leaf for index in indices]
    proofs = session.log.proof_bundles(indices)
    bundles = []
    for member, leaf, proof in zip(members, leaves, proofs, strict=True):
        bundle = Bundle(stored_envelope(detail_of(member)), leaf, proof).to_bytes()
        report = verify_bundle(bundle, trust)
        if report.exit_code != 0:
            raise IntegrityError(
                f"the new certificate does not verify with {session.workspace.trust_file}: "
                f"{report.verdict}",
                code="certificate.refused",
                hint="was trust.toml edited, or a key replaced? mend it, then run `mbd resume`",
            )
        bundles.append(bundle)
    return bundles


def _destroy_list(session: Session, batch: Batch, members: Sequence[Request]) -> None:
    """The list of what was erased in this bucket; with the last one, all of staging."""
    with session.database.read() as connection:
        left = Batches(connection).count_open(batch.batch_id)
    if left == len(members):
        remove_folder(staging_folder(session, batch.batch_id))
    else:
        remove_file(erasure_path(session, batch.batch_id, detail_of(members[0])["bucket"]))
