"""CONSISTENT, check 17: the log that is shown now is the one that was seen before.

Two checkpoints are of one history if one is proved to be a prefix of the other, or both of a
third. That both grew out of a common older one proves nothing: that is what a fork looks like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mbd.errors import DataError, IntegrityError, MbdError
from mbd.ledger.consistency import parse_consistency_proof
from mbd.ledger.merkle import earlier_root, verify_consistency
from mbd.ledger.note import Checkpoint, open_checkpoint
from mbd.ledger.tlog_proof import TlogProof
from mbd.verify.case import Case, CheckFailed, SignedHead, Undecided
from mbd.verify.logged import trusted_log
from mbd.verify.trust import TrustedLog


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
        raise _nothing_to_compare_with(case, damage)
    sizes = [head.checkpoint.size for head in (before, shown)]
    common = [head for head in history.from_there_on(before) if head in case.later_heads]
    if not common:
        raise Undecided(_what_is_missing(sizes, growth), code="ckpt.no_proof")
    case.to_remember = _newest(common)
    return f"size {sizes[1]} now, size {sizes[0]} before"


def _nothing_to_compare_with(case: Case, damage: str | None) -> Undecided:
    """Why there is no earlier head; on the first visit, there will be one for the next."""
    if damage is not None:
        return Undecided(damage, code="memory.damaged")
    if case.recalled is None:
        return Undecided("nothing was remembered", code="ckpt.no_memory")
    case.to_remember = _newest(case.later_heads)
    return Undecided("no checkpoint of this log is remembered", code="ckpt.first")


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
        DataError: It is not a proof.
        CheckFailed: The trusted log's signature does not hold.
        Undecided: Another log's.
    """
    try:
        proof = parse_consistency_proof(text.decode())
    except UnicodeDecodeError as error:
        raise DataError("not UTF-8", code="consistency_proof.malformed") from error
    try:
        newer = _open(proof.checkpoint.encode(), log)
    except IntegrityError as error:
        if error.code in ("note.unknown_key", "note.other_log"):
            raise Undecided(
                f"a proof of another log: {error.message}", code="log.unknown"
            ) from error
        raise CheckFailed(error.message, code="ckpt.sig") from error
    return Growth(proof.old_size, proof.hashes, newer)


@lru_cache(maxsize=64)
def _open(note: bytes, log: TrustedLog) -> SignedHead:
    """A signed checkpoint; the same ones come back for each file of a run."""
    return SignedHead(open_checkpoint(note, log.key, log.origin), note.decode())


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
    given = ", ".join(f"{one.old_size} to {one.newer.checkpoint.size}" for one in growth)
    return f"no proof from size {min(sizes)} to {max(sizes)}" + (f", only {given}" if given else "")
