"""Many distinct certificates in one log, made from fixed keys: what `verify.py` times.

Used by the benchmark beside it, and by the fuzz targets for their seeds.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mbd.canonical.tree import node_hash
from mbd.canonical.ulid import new_ulid
from mbd.certificate.bundle import Bundle
from mbd.certificate.envelope import Envelope, sign_statement
from mbd.certificate.issue import Issuance, LoggedPolicy, LogHead, Salts, build_statement
from mbd.certificate.scope import RETRAINED, STORES, out_of_scope, store_row
from mbd.ledger.entry import Entry, signed_entry, unsigned_entry
from mbd.ledger.merkle import completed_nodes, inclusion_proof, root_of
from mbd.ledger.note import Checkpoint, VerifierKey, sign_checkpoint
from mbd.ledger.tlog_proof import TlogProof
from mbd.privacy.accountant import sensitivity_of
from mbd.signing.keys import SigningKey
from mbd.values import DeletionOutcome, FileDigest, HeadParameters
from mbd.verify.trusted import TrustedIssuer, TrustedLog, TrustPolicy

ORIGIN = "ledger.example/benchmark"
ISSUER = "Example Clinic"
START = datetime(2026, 5, 17, 12, 0, 0, tzinfo=UTC)
HEADS = ("audio", "audio+text", "text")


@dataclass(frozen=True)
class Signer:
    """The log's key under the log's name."""

    key: SigningKey
    name: str = ORIGIN

    @property
    def public_key(self) -> bytes:
        """32 bytes."""
        return self.key.public.raw

    def sign(self, data: bytes) -> bytes:
        """64 bytes."""
        return self.key.sign(data)


class Log:
    """A Merkle log in memory; it signs a checkpoint after every entry."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._nodes: dict[tuple[int, int], bytes] = {}
        self.size = 0

    def append(self, entry: Entry) -> int:
        """Its index."""
        index, self.size = self.size, self.size + 1
        for level, position, digest in completed_nodes(index, entry.leaf_hash(), self._read):
            self._nodes[level, position] = digest
        return index

    def head(self) -> Checkpoint:
        """Now."""
        return Checkpoint(ORIGIN, self.size, root_of(self._read, self.size))

    def proof(self, index: int) -> str:
        """Of an entry in the tree as it is now, with a checkpoint of this size."""
        hashes = tuple(inclusion_proof(self._read, index, self.size))
        return TlogProof(index, hashes, sign_checkpoint(self.head(), self._signer)).text

    def _read(self, level: int, position: int) -> bytes:
        return self._nodes[level, position]


def fixed_key(name: str) -> SigningKey:
    """An Ed25519 key that everybody can make: trust nothing that it signs."""
    return SigningKey(Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest()))


def trust() -> TrustPolicy:
    """Who signs here."""
    signer = Signer(fixed_key("log"))
    key = VerifierKey(ORIGIN, signer.public_key)
    issuer = TrustedIssuer(ISSUER, fixed_key("issuer").public)
    return TrustPolicy((issuer,), TrustedLog(ORIGIN, key))


def bundles(count: int, *, one_checkpoint: bool = False) -> list[bytes]:
    """So many valid certificates, all classes in turn.

    Args:
        count: How many.
        one_checkpoint: All under the last one; otherwise each under one of its own.
    """
    issuer, log = fixed_key("issuer"), Log(Signer(fixed_key("log")))
    policy = unsigned_entry("policy", START, b"the policy")
    log.append(policy)
    made: list[tuple[Envelope, Entry, int, str]] = []
    for number in range(count):
        now = START + timedelta(seconds=number)
        outcome = _outcome(number, policy.digest)
        statement = build_statement(outcome, _issuance(number, now, policy, log.head()))
        envelope = sign_statement(statement, [issuer])
        signatures = [one.value for one in envelope.signatures]
        entry = signed_entry("certificate", now, envelope.signed_bytes(), signatures)
        index = log.append(entry)
        made.append((envelope, entry, index, "" if one_checkpoint else log.proof(index)))
    return [
        Bundle(envelope, entry.leaf_bytes(), proof or log.proof(index)).to_bytes()
        for envelope, entry, index, proof in made
    ]


def _digest(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


def _issuance(number: int, now: datetime, policy: Entry, head: Checkpoint) -> Issuance:
    kinds = ("dataset_before", "dataset_after", "state_after", "deleted_set")
    return Issuance(
        certificate_id=new_ulid(now),
        salt=_digest("salt", number),
        issued_at=now,
        issuer=ISSUER,
        received_on=date(2026, 5, 15),
        completed_on=now.date(),
        due_by=date(2026, 6, 14),
        basis="request of the data subject",
        subject_commitment=_digest("subject", number).hex(),
        policy_entry=LoggedPolicy(
            index=0, leaf_hash=policy.leaf_hash().hex(), digest=policy.digest
        ),
        ledger=LogHead(origin=ORIGIN, size=head.size, root=head.root.hex()),
        salts=Salts(**{kind: _digest(kind, number) for kind in kinds}),
        delta=1e-6,
    )


def _outcome(number: int, policy_digest: str) -> DeletionOutcome:
    """Certified, exact, measured or retrained, by turns; every model is another one."""
    paths = ["core.json", "core.safetensors", *(f"heads/{name}.safetensors" for name in HEADS)]
    files = [FileDigest(path=path, sha256=_digest(path, number).hex()) for path in paths]
    certified = DeletionOutcome(
        guarantee_class="certified",
        modalities=("audio",),
        heads=tuple(_head(name) for name in HEADS[:2]),
        selected_heads=HEADS[:2],
        all_heads=HEADS,
        model_after=(FileDigest(path="policy.json", sha256=policy_digest), *files),
        dataset_before=_digest("b", number).hex(),
        dataset_after=_digest("a", number).hex(),
        state_after=_digest("s", number).hex(),
        deleted_set=_digest("d", number).hex(),
        attempts=1 + number // 4 % 5,
        stores=_stores(retrained=False),
        out_of_scope=out_of_scope(),
    )
    exact = dataclasses.replace(certified, guarantee_class="exact", heads=(), attempts=0)
    measured = dataclasses.replace(exact, guarantee_class="empirical")
    retrained = dataclasses.replace(
        exact, selected_heads=HEADS, stores=_stores(retrained=True), retrained=True
    )
    return (certified, exact, measured, retrained)[number % 4]


def _head(name: str) -> HeadParameters:
    return HeadParameters(
        head=name,
        dimension=1024,
        outputs=1,
        strong_convexity=0.25,
        tolerance=2.0**-20,
        sensitivity=sensitivity_of(2.0**-20, 0.25),
        sigma=2.0**-13,
        grid=2.0**-30,
    )


def _stores(*, retrained: bool) -> tuple[dict[str, str], ...]:
    actions = {name: next(iter(words)) for name, words in STORES.items()}
    actions |= RETRAINED if retrained else {}
    return tuple(store_row(name, action) for name, action in actions.items())


def inner_nodes(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """The root that a leaf leads to: RFC 9162, section 2.1.3.2, without any check."""
    digest, last = leaf, size - 1
    for sibling in path:
        if index % 2 or index == last:
            digest = node_hash(sibling, digest)
            while index % 2 == 0 and index:
                index, last = index >> 1, last >> 1
        else:
            digest = node_hash(digest, sibling)
        index, last = index >> 1, last >> 1
    return digest
