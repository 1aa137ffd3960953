"""What the checks share: the inputs, and what earlier checks made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from mbd.certificate.bundle import Bundle
from mbd.certificate.statement import Statement
from mbd.errors import MbdError
from mbd.ledger.entry import Entry
from mbd.ledger.note import Checkpoint
from mbd.ledger.tlog_proof import TlogProof
from mbd.verify.last_visit import Recalled
from mbd.verify.trusted import TrustedIssuer, TrustPolicy


class CheckFailed(MbdError):
    """A check that the bundle did not pass; `code` is stable."""


class Undecided(MbdError):
    """A check that cannot be made here; `code` says what is missing."""


class NotReached(Undecided):
    """A check that needs what an earlier one did not deliver."""


@dataclass(frozen=True)
class SignedHead:
    """A tree head that the trusted log signed, and the note that shows it."""

    checkpoint: Checkpoint
    note: str


@dataclass
class Case:
    """One bundle on trial. A check fills in what it established; later ones read it."""

    data: bytes
    trust: TrustPolicy | None
    now: datetime
    model_dir: Path | None = None
    receipt: bytes | None = None
    reproducer: Callable[[Case], str] | None = None
    """Rebuilds what the certificate commits to from retained data; made by whoever holds it."""
    model_only: bool = False
    """Whether it rebuilt the model without knowing whose data should be gone; set by check 21."""
    growth: tuple[bytes, ...] = ()
    """Proofs that the log only grew, as `mbd ledger consistency` prints them."""
    recalled: Recalled | None = None
    """What an earlier visit left; None if nothing is to be remembered."""
    found_bundle: Bundle | None = None
    found_statement: Statement | None = None
    found_entry: Entry | None = None
    found_proof: TlogProof | None = None
    found_checkpoint: Checkpoint | None = None
    found_head: SignedHead | None = None
    unseen_root: int | None = None
    """Size of the log at issue, where nothing gave its root away; by check 14."""
    later_heads: tuple[SignedHead, ...] = ()
    """Checkpoints that this one is proved to be part of, itself among them; by check 17."""
    to_remember: SignedHead | None = None
    """The newest one that agrees with what was remembered; set by check 17."""
    not_held_against: str | None = None
    """What was seen before and could not be compared with; set by check 17."""
    signers: tuple[TrustedIssuer, ...] = ()
    """Trusted issuers whose signatures hold; set by check 10."""

    @property
    def current(self) -> bool:
        """Whether a signer that is believed at this entry is still trusted."""
        return not self.signers or None in [one.distrusted_from for one in self._believed]

    @property
    def ended(self) -> bool:
        """Whether the log must say that the entry comes before the end of its signers' keys."""
        return bool(self.signers) and False not in [one.ended for one in self._believed]

    @property
    def _believed(self) -> tuple[TrustedIssuer, ...]:
        """Signers whose keys are good at this entry; all of them while its index is unknown."""
        if self.found_proof is None:
            return self.signers
        index = self.found_proof.index
        return tuple([one for one in self.signers if one.refusal_at(index) is None])

    @property
    def bundle(self) -> Bundle:
        """Set by check 1."""
        return self.found_bundle or _not_reached(1)

    @property
    def statement(self) -> Statement:
        """Set by check 3."""
        return self.found_statement or _not_reached(3)

    @property
    def entry(self) -> Entry:
        """Set by check 11."""
        return self.found_entry or _not_reached(11)

    @property
    def proof(self) -> TlogProof:
        """Set by check 12."""
        return self.found_proof or _not_reached(12)

    @property
    def checkpoint(self) -> Checkpoint:
        """Set by check 12; its signature is check 13."""
        return self.found_checkpoint or _not_reached(12)

    @property
    def signed_head(self) -> SignedHead:
        """The same with the log's signature, set by check 13."""
        return self.found_head or _not_reached(13)


def _not_reached(number: int) -> NoReturn:
    raise NotReached(f"check {number} did not pass", code="not_reached")
