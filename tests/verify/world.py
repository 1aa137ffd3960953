"""A small true world: an issuer, a log with a few entries, and one certificate in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from mbd.canonical.tree import tree_root
from mbd.certificate.bundle import Bundle
from mbd.certificate.envelope import Envelope, sign_statement
from mbd.certificate.issue import LoggedPolicy, LogHead, build_statement, openings
from mbd.certificate.receipt import Receipt, make_receipt
from mbd.certificate.statement import Statement
from mbd.ledger.entry import Entry, signed_entry, unsigned_entry
from mbd.ledger.merkle import completed_nodes, inclusion_proof
from mbd.ledger.note import Checkpoint, VerifierKey, sign_checkpoint
from mbd.ledger.tlog_proof import TlogProof
from mbd.signing.keys import SigningKey, generate_key
from mbd.values import DeletionOutcome
from mbd.verify.trusted import TrustedIssuer, TrustedLog, TrustPolicy
from tests.certificate.samples import (
    CONTENTS,
    NOW,
    SUBJECT,
    SUBJECT_KEY,
    issuance,
    outcome,
)

ORIGIN = "ledger.example/1"
LATER = NOW + timedelta(hours=1)


@dataclass(frozen=True)
class LogSigner:
    """A note signer over one of our keys."""

    key: SigningKey
    name: str = ORIGIN

    @property
    def public_key(self) -> bytes:
        return self.key.public.raw

    def sign(self, data: bytes) -> bytes:
        return self.key.sign(data)


class SmallLog:
    """A Merkle log in memory."""

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        self.entries: list[Entry] = []
        self.nodes: dict[tuple[int, int], bytes] = {}
        for entry in entries:
            self.append(entry)

    def append(self, entry: Entry) -> int:
        index = len(self.entries)
        self.entries.append(entry)
        for level, position, digest in completed_nodes(index, entry.leaf_hash(), self._read):
            self.nodes[level, position] = digest
        return index

    def _read(self, level: int, position: int) -> bytes:
        return self.nodes[level, position]

    def checkpoint(self, origin: str = ORIGIN) -> Checkpoint:
        root = tree_root([entry.leaf_hash() for entry in self.entries])
        return Checkpoint(origin, len(self.entries), root)

    def proof(self, index: int, signer: LogSigner) -> TlogProof:
        hashes = tuple(inclusion_proof(self._read, index, len(self.entries)))
        return TlogProof(index, hashes, sign_checkpoint(self.checkpoint(signer.name), signer))


@dataclass(frozen=True)
class World:
    """Everything that made one bundle, so that a test can make it slightly differently."""

    issuer: SigningKey
    log_signer: LogSigner
    log: SmallLog
    statement: Statement
    envelope: Envelope
    index: int

    @property
    def bundle(self) -> Bundle:
        proof = self.log.proof(self.index, self.log_signer)
        return Bundle(self.envelope, self.log.entries[self.index].leaf_bytes(), proof.text)

    @property
    def data(self) -> bytes:
        return self.bundle.to_bytes()

    @property
    def trust(self) -> TrustPolicy:
        vkey = VerifierKey(self.log_signer.name, self.log_signer.public_key)
        issuer = TrustedIssuer("Example Clinic", self.issuer.public)
        return TrustPolicy(issuers=(issuer,), log=TrustedLog(ORIGIN, vkey))

    def distrusting_from(self, index: int) -> TrustPolicy:
        issuer = dataclasses.replace(self.trust.issuers[0], distrusted_from=index)
        return dataclasses.replace(self.trust, issuers=(issuer,))

    @property
    def receipt(self) -> Receipt:
        return make_receipt(
            self.statement.predicate,
            subject=SUBJECT,
            subject_key=SUBJECT_KEY,
            salts=issuance().salts.named(),
            digests=openings(outcome()),
            **CONTENTS,
        )


def make_world(
    deletion: DeletionOutcome | None = None,
    *,
    before_signing: Callable[[Statement], Statement] = lambda statement: statement,
    logged_after: timedelta = timedelta(seconds=1),
    kind: Any = "certificate",
    signers: Sequence[SigningKey] = (),
    **changes: Any,
) -> World:
    """A certificate as entry 3 of a log of 7; `changes` go to the issuance."""
    issuer, log_signer = generate_key(), LogSigner(generate_key())
    deletion = deletion or outcome()
    log = SmallLog([unsigned_entry("policy", NOW, b"%d" % number) for number in range(3)])
    head, policy = log.checkpoint(), log.entries[0]
    logged = next(file.sha256 for file in deletion.model_after if file.path == "policy.json")
    values = {
        "policy_entry": LoggedPolicy(index=0, leaf_hash=policy.leaf_hash().hex(), digest=logged),
        "ledger": LogHead(origin=ORIGIN, size=head.size, root=head.root.hex()),
        **changes,
    }
    made = before_signing(build_statement(deletion, issuance(**values)))
    envelope = sign_statement(made, signers or [issuer])
    signatures = [signature.value for signature in envelope.signatures]
    time = NOW + logged_after
    index = log.append(signed_entry(kind, time, envelope.signed_bytes(), signatures))
    for number in range(3):
        log.append(unsigned_entry("attempt", time, b"%d" % number))
    return World(issuer, log_signer, log, made, envelope, index)
