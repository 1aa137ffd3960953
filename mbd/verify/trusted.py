"""Whom a verifier believes: keys with names, one log, witnesses, and limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mbd.errors import UsageError
from mbd.ledger.cosignature import parse_witness_key
from mbd.ledger.note import VerifierKey
from mbd.signing.public import PublicKey, ed25519_key


@dataclass(frozen=True)
class TrustedIssuer:
    """A key, and the name it may sign for."""

    name: str
    key: PublicKey
    valid_from: int = 0
    """First ledger index at which the key is believed."""
    retired_from: int | None = None
    """First ledger index at which it was no longer in use."""
    distrusted_from: int | None = None
    """First ledger index at which the key is no longer believed, and earlier ones in doubt."""

    def refusal_at(self, index: int) -> tuple[str, str] | None:
        """Why an entry at this index is refused: code and words; None if it is believed."""
        if self.distrusted_from is not None and index >= self.distrusted_from:
            return "key.distrusted", "the key was distrusted before this entry"
        if self.retired_from is not None and index >= self.retired_from:
            return "key.retired", "the key was retired before this entry"
        if index < self.valid_from:
            return "key.not_yet", "the key was not announced yet at this entry"
        return None

    @property
    def ended(self) -> bool:
        """Whether it is believed for a part of the log only, which has come to an end."""
        return self.retired_from is not None or self.distrusted_from is not None


@dataclass(frozen=True)
class TrustedLog:
    """The log whose checkpoints are believed."""

    origin: str
    key: VerifierKey


@dataclass(frozen=True)
class TrustedWitness:
    """One who signs a checkpoint only if the log grew to it."""

    name: str
    """What the owner of the trust file calls it."""
    key: VerifierKey


@dataclass(frozen=True)
class TrustPolicy:
    """Whom to believe, and how much loss to accept."""

    issuers: tuple[TrustedIssuer, ...] = ()
    log: TrustedLog | None = None
    max_epsilon: float | None = None
    max_delta: float | None = None
    witnesses: tuple[TrustedWitness, ...] = ()
    quorum: int = 0
    """How many witnesses must have signed; 0 without any."""

    def issuer(self, key_id: str) -> TrustedIssuer | None:
        """The issuer of this key, if it is trusted."""
        return next((one for one in self.issuers if one.key.key_id == key_id), None)


def check_independent(
    witnesses: Sequence[TrustedWitness], log: TrustedLog | None, issuers: Sequence[TrustedIssuer]
) -> None:
    """Return if no witness is somebody whom it should watch.

    Raises:
        UsageError: One has the key of the log or of an issuer (`trust.witness`).
    """
    watched = {one.key.der: "an issuer's" for one in issuers}
    if log is not None:
        watched[ed25519_key(log.key.public_key).der] = "the log's own"
    for one in witnesses:
        whose = watched.get(ed25519_key(one.key.public_key).der)
        if whose is not None:
            raise UsageError(
                f"{whose} key is no witness: {one.name!r}", code="trust.witness", field="witness"
            )


def witness_key(vkey: str) -> VerifierKey:
    """The key of a witness.

    Raises:
        DataError: It is not one, or of low order: anybody could sign for it.
    """
    key = parse_witness_key(vkey)
    ed25519_key(key.public_key)  # refuses low-order points, which the note format does not
    return key
