"""The text that proves that a log only grew.

Source: C2SP tlog-witness, "add-checkpoint" (https://c2sp.org/tlog-witness): a witness takes it
as it is. A line `old N`, the hashes of the proof, a blank line, the newer checkpoint.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mbd.canonical.digest import b64decode_strict, b64encode
from mbd.errors import DataError, MbdError
from mbd.ledger.merkle import HASH_BYTES

MAX_HASHES = 63
"""The specification's limit on the lines of a proof."""

_OLD = re.compile(r"old (0|[1-9][0-9]{0,17})")


@dataclass(frozen=True)
class ConsistencyProof:
    """Which older tree, how it leads to the newer one, and the checkpoint that signs that."""

    old_size: int
    hashes: tuple[bytes, ...]
    """PROOF(old_size, D[new size]), 32 bytes each (RFC 6962, section 2.1.2)."""
    checkpoint: str
    """The signed note of the newer tree, verbatim."""

    @property
    def text(self) -> str:
        """The proof as it is sent."""
        lines = [f"old {self.old_size}", *(b64encode(digest) for digest in self.hashes)]
        return "\n".join(lines) + f"\n\n{self.checkpoint}"


def parse_consistency_proof(text: str) -> ConsistencyProof:
    """Read a proof; nothing in it is checked against a key or a root yet.

    Raises:
        DataError: It is not a proof.
    """
    head, separator, checkpoint = text.partition("\n\n")
    first, *lines = head.split("\n")
    found = _OLD.fullmatch(first)
    if not separator or found is None:
        raise _malformed("want 'old N', hashes, a blank line and a checkpoint")
    if len(lines) > MAX_HASHES:
        raise _malformed(f"more than {MAX_HASHES} hashes")
    return ConsistencyProof(int(found[1]), _hashes(lines), checkpoint)


def _hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    try:
        hashes = tuple(b64decode_strict(line) for line in lines)
    except MbdError as error:
        raise _malformed(error.message) from error
    if any(len(digest) != HASH_BYTES for digest in hashes):
        raise _malformed(f"a hash has {HASH_BYTES} bytes, one per line")
    return hashes


def _malformed(detail: str) -> DataError:
    return DataError(f"consistency proof: {detail}", code="consistency_proof.malformed")
