"""CONSISTENT, check 17: the log that is shown now is the one that was seen before.

Two checkpoints are of one history if one is proved to be a prefix of the other, or both of a
third. That both grew out of a common older one proves nothing: that is what a fork looks like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mbd.errors import DataError, IntegrityError, MbdError
from mbd.ledger.consistency import parse_consistency_proof
from mbd.ledger.merkle import earlier_root, verify_consistency
from mbd.ledger.note import Checkpoint, open_checkpoint, parse_checkpoint, parse_note
from mbd.ledger.tlog_proof import TlogProof
from mbd.verify.case import Case, CheckFailed, SignedHead, Undecided
from mbd.verify.logged import trusted_log
from mbd.verify.mistaken import at_fault
from mbd.verify.trusted import TrustedLog


@dataclass(frozen=True)
class Growth:
    """What the output of `mbd ledger consistency` claims; the newer checkpoint is signed."""

    old_size: int
    hashes: tuple[bytes, ...]
    newer: SignedHead


@dataclass(frozen=True)
class History:
    """Signed heads, and which of them are proved to be prefixes of which."""

    heads: tuple[SignedHead, ...]
    steps: tuple[tuple[int, int], ...]
    """From an older size to a newer one; one size has one root."""

    def from_there_on(self, head: SignedHead) -> tuple[SignedHead, ...]:
        """Heads that this one is proved to be a prefix of, itself among them."""
        reached = {head.checkpoint.size}
        while more := {new for old, new in self.steps if old in reached} - reached:
            reached |= more
        return tuple(one for one in self.heads if one.checkpoint.size in reached)


def consistency(case: Case) -> str:
    """17. The checkpoint and the one remembered from an earlier visit are of one history."""
    log, shown = trusted_log(case), case.signed_head
    if case.recalled is None and not case.growth:
        raise Undecided("nothing was remembered", code="ckpt.no_memory")
    growth = [_read_growth(text, log) for text in case.growth]
    before, damage = _remembered(case, log)
    history = _history(case.proof, shown, before, growth)
    case.later_heads = history.from_there_on(shown)
    if before is None:
        raise _nothing_to_compare_with(case, damage, history, growth)
    sizes = [head.checkpoint.size for head in (before, shown)]
    common = [head for head in history.from_there_on(before) if head in case.later_heads]
    if not common:
        case.not_held_against = f"size {sizes[0]} seen before"
        raise Undecided(_what_is_missing(sizes, growth), code="ckpt.no_proof")
    case.to_remember = _newest(common)
    return f"size {sizes[1]} now, size {sizes[0]} before"


def _nothing_to_compare_with(
    case: Case, damage: str | None, history: History, growth: Sequence[Growth]
) -> Undecided:
    """Why there is no earlier head; on the first visit, there will be one for the next.

    A proof that was given has to start or end at the checkpoint shown: any other could not even
    be looked at.
    """
    if damage is not None:
        case.not_held_against = "what was seen before, which cannot be read"
        return Undecided(damage, code="memory.damaged")
    if case.recalled is None:
        return Undecided("nothing was remembered", code="ckpt.no_memory")
    size = case.signed_head.checkpoint.size
    idle = [one for one in growth if size not in (one.old_size, one.newer.checkpoint.size)]
    if growth and len(idle) == len(growth):
        return Undecided(
            f"no proof starts or ends at size {size}, only {_spans(growth)}", code="ckpt.no_proof"
        )
    case.to_remember = _newest(case.later_heads)
    if not growth:
        return Undecided("no checkpoint of this log is remembered", code="ckpt.first")
    held = ", ".join(f"from size {old} to {new}" for old, new in history.steps)
    words = f"the log grew {held}" if held else "the proof starts at a size that nobody saw"
    return Undecided(f"a first visit; {words}", code="ckpt.first")


def _remembered(case: Case, log: TrustedLog) -> tuple[SignedHead | None, str | None]:
    """The checkpoint in the memory, or what is wrong with it."""
    found = case.recalled
    if found is None or found.note is None:
        return None, found.problem if found is not None else None
    try:
        return _open(found.note, log), None
    except MbdError as error:
        return None, error.message


def _read_growth(text: bytes, log: TrustedLog) -> Growth:
    """A proof from a file; only the signature under its checkpoint is checked.

    Raises:
        CheckFailed: The trusted log's signature does not hold.
        Undecided: It is not a proof, or another log's.
    """
    try:
        proof = parse_consistency_proof(text.decode())
        parse_checkpoint(parse_note(proof.checkpoint).text)
    except UnicodeDecodeError as error:
        raise _no_proof(text, "not UTF-8") from error
    except (DataError, IntegrityError) as error:
        raise _no_proof(text, error.message) from error
    try:
        newer = _open(proof.checkpoint.encode(), log)
    except IntegrityError as error:
        if error.code in ("note.unknown_key", "note.other_log"):
            raise Undecided(
                f"a proof of another log: {error.message}", code="log.unknown"
            ) from error
        raise CheckFailed(error.message, code="ckpt.sig") from error
    return Growth(proof.old_size, proof.hashes, newer)


def _no_proof(text: bytes, message: str) -> Undecided:
    """What was given is something else, which says nothing against the log."""
    words = at_fault(text, message, "growth")
    return Undecided(f"--consistency: {words}", code="consistency_proof.malformed")


def _open(note: bytes, log: TrustedLog) -> SignedHead:
    """A signed checkpoint; as text, which is what a bundle shows it as."""
    try:
        text = note.decode()
    except UnicodeDecodeError as error:
        raise DataError("not UTF-8", code="note.malformed") from error
    return SignedHead(open_checkpoint(text, log.key, log.origin), text)


def _history(
    proof: TlogProof, shown: SignedHead, before: SignedHead | None, growth: Sequence[Growth]
) -> History:
    """What is known of the log; a contradiction in it is a failure."""
    heads = [*([before] if before is not None else []), shown, *(one.newer for one in growth)]
    roots = _one_root_per_size([head.checkpoint for head in heads])
    steps = _given_away(proof, shown.checkpoint, roots) + _proved(growth, roots)
    return History(tuple(heads), tuple(steps))


def _one_root_per_size(heads: Sequence[Checkpoint]) -> dict[int, bytes]:
    """Root by size: a log that signed two for one size has forked, and that proves it."""
    roots: dict[int, bytes] = {}
    for head in heads:
        if roots.setdefault(head.size, head.root) != head.root:
            raise CheckFailed(f"two roots are signed for size {head.size}", code="ckpt.fork")
    return roots


def _given_away(
    proof: TlogProof, shown: Checkpoint, roots: Mapping[int, bytes]
) -> list[tuple[int, int]]:
    """Earlier sizes whose root the inclusion proof, which holds, gives away."""
    found = []
    for size in (one for one in roots if one <= proof.index):
        root = earlier_root(proof.index, shown.size, proof.hashes, size)
        if root is not None and root != roots[size]:
            raise CheckFailed(
                f"the tree of size {shown.size} began otherwise than the one of size {size}",
                code="ckpt.fork",
            )
        if root is not None:
            found.append((size, shown.size))
    return found


def _proved(growth: Sequence[Growth], roots: Mapping[int, bytes]) -> list[tuple[int, int]]:
    """Steps from an older size to a newer one; a proof from a size that nobody knows is none."""
    found = []
    for one in growth:
        newer = one.newer.checkpoint
        if one.old_size not in roots:
            continue
        try:
            verify_consistency(
                one.old_size, newer.size, roots[one.old_size], newer.root, one.hashes
            )
        except IntegrityError as error:
            raise CheckFailed(error.message, code="ckpt.proof") from error
        found.append((one.old_size, newer.size))
    return found


def _newest(heads: Sequence[SignedHead]) -> SignedHead:
    """The largest; of equal ones the first, which is the one that was remembered."""
    return max(heads, key=lambda head: head.checkpoint.size)


def _what_is_missing(sizes: Sequence[int], growth: Sequence[Growth]) -> str:
    """The gap, and the command that closes it, for the operator of the log."""
    old, new = min(sizes), max(sizes)
    given = f", only {_spans(growth)}" if growth else ""
    return (
        f"no proof from size {old} to {new}{given}; ask the operator for: "
        f"mbd ledger consistency {old} {new}"
    )


def _spans(growth: Sequence[Growth]) -> str:
    return ", ".join(f"{one.old_size} to {one.newer.checkpoint.size}" for one in growth)
