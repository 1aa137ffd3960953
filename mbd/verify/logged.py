"""LOGGED, checks 11 to 16: the entry is this certificate's, and it is in the log.

Here `certificate` and `ledger`, which know nothing of each other, are joined.
"""

from __future__ import annotations

from datetime import date, timedelta

from mbd.canonical import tree
from mbd.certificate.fields import parse_time
from mbd.errors import IntegrityError
from mbd.ledger.entry import parse_entry
from mbd.ledger.merkle import earlier_root, verify_inclusion
from mbd.ledger.note import open_checkpoint, parse_checkpoint, parse_note
from mbd.ledger.tlog_proof import parse_tlog_proof
from mbd.verify.case import Case, CheckFailed, NotReached, SignedHead, Undecided
from mbd.verify.trusted import TrustedLog

CLOCK_SKEW = timedelta(minutes=10)
"""How far two honest clocks may be apart."""

LONGEST_DELAY = timedelta(days=30)
"""How long after it was issued a certificate may be logged: a crash may lie between the two, or a
holiday; more than that, and the date was set back."""


def leaf(case: Case) -> str:
    """11. The entry binds exactly these signed bytes and these signatures."""
    entry, envelope = parse_entry(case.bundle.entry), case.bundle.envelope
    if entry.type != "certificate":
        raise CheckFailed(f"an entry of type {entry.type!r}", code="leaf.type")
    if entry.digest != envelope.digest():
        raise CheckFailed("the entry is of another statement", code="leaf.mismatch")
    if entry.signatures != envelope.signature_digests():
        raise CheckFailed("the entry has other signatures", code="leaf.mismatch")
    case.found_entry = entry
    return ""


def inclusion(case: Case) -> str:
    """12. The entry is in the tree of the checkpoint."""
    proof = parse_tlog_proof(case.bundle.tlog_proof)
    if proof.extra is not None:
        raise CheckFailed("a proof with extra data, which nothing signs", code="incl.extra")
    checkpoint = parse_checkpoint(parse_note(proof.checkpoint).text)
    _ = case.entry  # check 11 passed: the bytes are those of an entry
    leaf_hash = tree.leaf_hash(case.bundle.entry)
    try:
        verify_inclusion(leaf_hash, proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    except IntegrityError as error:
        raise CheckFailed(error.message, code="incl.invalid") from error
    case.found_proof, case.found_checkpoint = proof, checkpoint
    return f"entry {proof.index} of {checkpoint.size}"


def log_signature(case: Case) -> str:
    """13. The trusted log signed the checkpoint."""
    log = trusted_log(case)
    if case.checkpoint.origin != log.origin:
        raise Undecided(f"a log called {case.checkpoint.origin[:100]!r}", code="log.unknown")
    try:
        open_checkpoint(case.proof.checkpoint, log.key, log.origin)
    except IntegrityError as error:
        if error.code == "note.unknown_key":
            raise Undecided("no trusted log key signed it", code="log.unknown") from error
        raise CheckFailed(error.message, code="log.sig") from error
    case.found_head = SignedHead(case.checkpoint, case.proof.checkpoint)
    return log.origin


def ledger_reference(case: Case) -> str:
    """14. The checkpoint named in the certificate is of this log and from before the entry.

    Its root is compared wherever the proof at hand gives away the root of its size.
    """
    stated, proof = case.statement.predicate.ledger, case.proof
    if stated.origin != case.checkpoint.origin:
        raise CheckFailed(f"issued for the log {stated.origin[:100]!r}", code="ledger.origin")
    if stated.size > proof.index:
        raise CheckFailed(
            f"issued at size {stated.size}, but logged as entry {proof.index}", code="ledger.size"
        )
    root = earlier_root(proof.index, case.checkpoint.size, proof.hashes, stated.size)
    if root is None:
        case.unseen_root = stated.size
        return f"its root at size {stated.size} was not compared, the proof does not show it"
    if root.hex() != stated.root:
        raise CheckFailed(f"another root at size {stated.size}", code="ledger.root")
    return f"its root at size {stated.size} is the one it names"


def time_window(case: Case) -> str:
    """15. Issued, soon after logged, neither in the future; clocks may differ."""
    predicate = case.statement.predicate
    issued, logged = parse_time(predicate.issued_at), parse_time(case.entry.time)
    # Differences only: a sum could lie beyond the last year that a calendar here holds.
    if issued - logged > CLOCK_SKEW:
        raise CheckFailed("issued after it was logged", code="time.order")
    for name, moment in (("issued", issued), ("logged", logged)):
        if moment - case.now > CLOCK_SKEW:
            raise CheckFailed(f"{name} in the future, at {moment.isoformat()}", code="time.future")
    completed = parse_time(f"{predicate.request.completed_on}T23:59:59Z")
    for name, moment in (("issued", issued), ("completed", completed)):
        if logged - moment > LONGEST_DELAY:
            raise CheckFailed(
                f"{name} {(logged - moment).days} days before it was logged at {case.entry.time}",
                code="time.backdated",
            )
    days = (logged.date() - date.fromisoformat(predicate.request.completed_on)).days
    return f"logged at {case.entry.time}, {_delay(logged - issued)} issuing; " + (
        "completed that day" if days == 0 else f"completed {days} days before"
    )


def _delay(delay: timedelta) -> str:
    """Like 'within a minute of' or '2 days 4:05:06 after'; before is the clocks' difference."""
    if delay < timedelta(minutes=1):
        return "within a minute of"
    return f"{timedelta(seconds=round(delay.total_seconds()))} after".replace(",", "")


def key_at_index(case: Case) -> str:
    """16. A key that signed was believed for entries at this index."""
    index = case.proof.index
    if not case.signers:
        raise NotReached("check 10 did not pass", code="not_reached")
    refusals = [signer.refusal_at(index) for signer in case.signers]
    if None not in refusals:
        code, words = next(one for one in refusals if one is not None)
        raise CheckFailed(words, code=code)
    if not case.current:
        return "the key was distrusted after this entry"
    return "the key was retired after this entry" if case.ended else ""


def trusted_log(case: Case) -> TrustedLog:
    """The log of the trust file; `Undecided` without one."""
    if case.trust is None:
        raise Undecided("no trust file", code="trust.missing")
    if case.trust.log is None:
        raise Undecided("the trust file names no log", code="log.unknown")
    return case.trust.log
