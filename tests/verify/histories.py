"""Checkpoints of one log at several sizes, proofs between them, and a log that forked."""

from __future__ import annotations

from datetime import datetime, timedelta

from mbd.ledger.consistency import ConsistencyProof
from mbd.ledger.cosignature import COSIGNATURE, cosign
from mbd.ledger.entry import unsigned_entry
from mbd.ledger.merkle import consistency_proof
from mbd.ledger.note import VerifierKey, sign_checkpoint
from mbd.signing.keys import generate_key
from mbd.verify.last_visit import Recalled
from mbd.verify.trusted import TrustedWitness, witness_key
from tests.certificate.samples import NOW
from tests.verify.world import LogSigner, SmallLog, World


def grown(log: SmallLog, entries: int) -> SmallLog:
    """The same log with more entries."""
    more = [unsigned_entry("attempt", NOW, b"later %d" % number) for number in range(entries)]
    return SmallLog([*log.entries, *more])


def began(log: SmallLog, size: int) -> SmallLog:
    """The log when it had this size."""
    return SmallLog(log.entries[:size])


def forked(log: SmallLog, size: int) -> SmallLog:
    """Another log of this size; only its first entry is the same."""
    others = [unsigned_entry("attempt", NOW, b"forged %d" % number) for number in range(size - 1)]
    return SmallLog([log.entries[0], *others])


def note_of(world: World, log: SmallLog) -> str:
    """The checkpoint of a log, signed by the log key of the world."""
    return sign_checkpoint(log.checkpoint(), world.log_signer)


def recalled(world: World, log: SmallLog) -> Recalled:
    """What a verifier remembers who saw this log last."""
    return Recalled(note_of(world, log).encode())


def growth(world: World, old: int, log: SmallLog, lines: str = "") -> bytes:
    """What `mbd ledger consistency` prints of a log since it had the old size."""
    hashes = consistency_proof(lambda level, at: log.nodes[level, at], old, len(log.entries))
    return ConsistencyProof(old, tuple(hashes), note_of(world, log) + lines).text.encode()


class Witness:
    """One who cosigns; `trusted` is how an auditor lists it."""

    def __init__(self, name: str) -> None:
        self.signer = LogSigner(generate_key(), name)
        self.vkey = VerifierKey(name, self.signer.public_key, COSIGNATURE)

    @property
    def trusted(self) -> TrustedWitness:
        return TrustedWitness(f"Watch {self.signer.name}", witness_key(str(self.vkey)))

    def line(self, log: SmallLog, after: timedelta = timedelta(0)) -> str:
        moment: datetime = NOW + after
        return cosign(log.checkpoint().text, self.signer, moment)
