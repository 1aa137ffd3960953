"""A good bundle of each class and kind, and the same issuer signing something else instead."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from mbd.certificate.bundle import Bundle
from mbd.certificate.envelope import Envelope, Signature
from mbd.certificate.scope import out_of_scope
from mbd.ledger.entry import Entry, signed_entry
from mbd.signing.dsse import pae
from mbd.signing.keys import SigningKey, generate_key
from mbd.values import DeletionOutcome
from mbd.verify import Report, verify_bundle
from mbd.verify.trusted import TrustedIssuer, TrustPolicy
from tests.certificate.samples import (
    NOW,
    empirical_outcome,
    exact_outcome,
    outcome,
    retrained_outcome,
)
from tests.verify.world import LATER, SmallLog, World, make_world

OUTCOMES: dict[str, DeletionOutcome] = {
    "certified": outcome(),
    "exact": exact_outcome(),
    "exact-nothing": exact_outcome(selected_heads=()),
    "exact-retrained": retrained_outcome(),
    "empirical": empirical_outcome(),
    "ecdsa": outcome(),
    "two-signatures": outcome(),
}
KINDS = tuple(OUTCOMES)
STATEMENTS = ("certified", "exact", "exact-nothing", "exact-retrained", "empirical")
"""The kinds that say different things; the others differ in how they are signed."""

OLDER = "01KRTWXDG0DEFGHJKMNPQRSTV0"
"""The id of an earlier certificate."""


@dataclass(frozen=True)
class Good:
    """A bundle that is valid, and everybody who made it."""

    world: World
    keys: tuple[SigningKey, ...]

    @property
    def data(self) -> bytes:
        """The bundle."""
        return self.world.data

    @property
    def payload(self) -> str:
        """What was signed."""
        return self.world.envelope.payload.decode()

    @property
    def trust(self) -> TrustPolicy:
        """Whoever believes every key that signed, and the log."""
        issuers = tuple(TrustedIssuer("Example Clinic", key.public) for key in self.keys)
        return dataclasses.replace(self.world.trust, issuers=issuers)

    def judge(self, data: bytes, **options: object) -> Report:
        """The verdict on what became of the bundle."""
        return verify_bundle(data, self.trust, now=LATER, **options)  # type: ignore[arg-type]

    def unsigned(self, payload: bytes) -> bytes:
        """The bundle with another payload under the same signatures."""
        envelope = dataclasses.replace(self.world.envelope, payload=payload)
        return dataclasses.replace(self.world.bundle, envelope=envelope).to_bytes()

    def signed_anew(self, payload: bytes) -> bytes:
        """Another payload, signed by the same keys, in the same place of the same log."""
        message = pae(self.world.envelope.payload_type, payload)
        signatures = tuple(Signature(key.public.key_id, key.sign(message)) for key in self.keys)
        envelope = Envelope(self.world.envelope.payload_type, payload, signatures)
        time = self.world.log.entries[self.world.index].time
        values = [signature.value for signature in signatures]
        entry = dataclasses.replace(signed_entry("certificate", NOW, message, values), time=time)
        return relogged(dataclasses.replace(self.world, envelope=envelope), entry).data

    def with_signatures(self, signatures: Sequence[Signature]) -> bytes:
        """The bundle with other signatures, under the entry of the true ones."""
        envelope = dataclasses.replace(self.world.envelope, signatures=tuple(signatures))
        return dataclasses.replace(self.world.bundle, envelope=envelope).to_bytes()


def relogged(world: World, entry: Entry) -> World:
    """The world whose log has another entry in the place of the certificate's."""
    entries = list(world.log.entries)
    entries[world.index] = entry
    return dataclasses.replace(world, log=SmallLog(entries))


@cache
def good(kind: str) -> Good:
    """The good bundle of a kind; made once."""
    keys = (generate_key("ecdsa-p256" if kind == "ecdsa" else "ed25519"),)
    if kind == "two-signatures":
        keys = (generate_key(), generate_key())
    world = make_world(OUTCOMES[kind], signers=keys)
    return Good(dataclasses.replace(world, issuer=keys[0]), keys)


def with_text(found: Good, text: str) -> bytes:
    """The bundle with another text of the log's proof."""
    return Bundle(found.world.envelope, found.world.bundle.entry, text).to_bytes()


@cache
def donors() -> tuple[str, ...]:
    """Statements that are good too, of every kind and with other words: parts to put elsewhere."""
    other = exact_outcome(
        selected_heads=(), modalities=("text",), out_of_scope=out_of_scope(labels_derived=True)
    )
    world = make_world(other, supersedes=OLDER)
    return (*(good(kind).payload for kind in KINDS), world.envelope.payload.decode())
