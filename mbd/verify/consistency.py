"""CONSISTENT, check 17: the log that is shown now is the one that was seen before.

Two checkpoints are of one history if one is proved to be a prefix of the other, or both of a
third. That both grew out of a common older one proves nothing: that is what a fork looks like.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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


def consistency(case: Case) -> str:
    """17. The checkpoint and the one remembered from an earlier visit are of one history."""
    log, shown = trusted_log(case), case.signed_head
    if case.recalled is None and not case.growth:
        raise Undecided("nothing was remembered", code="ckpt.no_memory")
    growth = [_read_growth(text, log) for text in case.growth]
    remembered, damage = _remembered(case, log)
    heads = [shown, *(one.newer for one in growth), *([remembered] if remembered else ())]
    roots = _one_root_per_size([head.checkpoint for head in heads])
    steps = _given_away(case.proof, shown.checkpoint, roots) + _proved(growth, roots)
    above = _reachable(shown.checkpoint.size, steps)
    case.later_heads = tuple(head for head in heads if head.checkpoint.size in above)
    if damage is not None:
        raise Undecided(damage, code="memory.damaged")
    if case.recalled is None:
        raise Undecided("nothing was remembered", code="ckpt.no_memory")
    if remembered is None:
        case.to_remember = _newest(heads, above)
        raise Undecided("no checkpoint of this log is remembered", code="ckpt.first")
    old = remembered.checkpoint.size
    common = above & _reachable(old, steps)
    if not common:
        raise Undecided(_what_is_missing(old, shown.checkpoint.size, growth), code="ckpt.no_proof")
    case.to_remember = _newest(heads, common)
    return f"size {shown.checkpoint.size} now, size {old} before"


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


def _reachable(size: int, steps: Collection[tuple[int, int]]) -> set[int]:
    """Sizes that this one is proved to be a prefix of, itself among them."""
    reached = {size}
    while more := {new for old, new in steps if old in reached} - reached:
        reached |= more
    return reached


def _newest(heads: Sequence[SignedHead], sizes: Collection[int]) -> SignedHead:
    return max(
        (head for head in heads if head.checkpoint.size in sizes),
        key=lambda head: head.checkpoint.size,
    )


def _what_is_missing(old: int, shown: int, growth: Sequence[Growth]) -> str:
    given = ", ".join(f"{one.old_size} to {one.newer.checkpoint.size}" for one in growth)
    low, high = sorted((old, shown))
    return f"no proof from size {low} to {high}" + (f", only {given}" if given else "")
