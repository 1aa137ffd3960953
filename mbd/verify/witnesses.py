"""WITNESSED, check 18: others, whom the verifier chose, saw the same log.

A witness signs a checkpoint only after it has proved that the log grew to it from the last one
that it saw. So a log that wants to show two histories needs the witnesses' help.
"""

from __future__ import annotations

from datetime import datetime

from mbd.certificate.fields import parse_time
from mbd.errors import IntegrityError
from mbd.ledger.cosignature import cosigned_at
from mbd.ledger.note import Note, parse_note
from mbd.verify.case import Case, CheckFailed, Undecided
from mbd.verify.logged import CLOCK_SKEW
from mbd.verify.trusted import TrustedWitness


def witnesses(case: Case) -> str:
    """18. Enough trusted witnesses signed this checkpoint, or a later one that it is part of."""
    trust, shown = case.trust, case.signed_head
    if trust is None or not trust.witnesses:
        raise Undecided("the trust file names no witnesses", code="witness.policy")
    texts = dict.fromkeys([shown.note, *(head.note for head in case.later_heads)])
    notes = [parse_note(text) for text in texts]
    moments = [(one, _last_seen(case, one, notes)) for one in trust.witnesses]
    seen = [(one.name, moment) for one, moment in moments if moment is not None]
    count = f"{len(seen)} of {len(trust.witnesses)} witnesses, {trust.quorum} are needed"
    if len(seen) < trust.quorum:
        raise Undecided(count, code="witness.quorum")
    names = ", ".join(f"{name} at {moment:%Y-%m-%dT%H:%M:%SZ}" for name, moment in seen)
    return f"{count}: {names}"


def _last_seen(case: Case, witness: TrustedWitness, notes: list[Note]) -> datetime | None:
    """When a witness last signed one of the checkpoints; not before there was this entry."""
    earliest, latest = parse_time(case.entry.time) - CLOCK_SKEW, case.now + CLOCK_SKEW
    try:
        found = [cosigned_at(note, witness.key, latest) for note in notes]
    except IntegrityError as error:
        raise CheckFailed(error.message, code="witness.sig") from error
    return max((one for one in found if one is not None and one >= earliest), default=None)
