"""What was reproduced, and what was not looked at, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mbd.certificate.statement import Predicate
from mbd.certificate.wording import is_retrained
from mbd.deletion.check import TESTS
from mbd.deletion.noise_patterns import head_threshold, told_apart, unseen_shift
from mbd.workflows.reproduce.released import ReleasedFiles

_NAMED = 12


def describe(
    predicate: Predicate, released: ReleasedFiles, compared: str | None, elsewhere: Sequence[str]
) -> str:
    """All of it in one line.

    Args:
        predicate: The certificate.
        released: Its model; every head of it was held against its state.
        compared: What the receipt showed of the data set of before; None without a receipt.
        elsewhere: Names of what else is in the workspace.
    """
    said = (*_heads(predicate, released), *_people(compared), *_made(predicate), *_left(elsewhere))
    return "; ".join(said)


def _heads(predicate: Predicate, released: ReleasedFiles) -> Iterator[str]:
    guarantee = predicate.guarantee
    found = {name: released.head(name) for name in guarantee.heads}
    noisy = {name: one for name, one in found.items() if one.noise_steps}
    yield "the retained rows sum to the state that the certificate commits to"
    if not noisy:
        yield f"{len(found)} heads are its optimum, bit for bit"
        return
    yield f"{len(found)} heads are its optimum, {len(noisy)} with the noise stated"
    replaced = [found[name] for name in guarantee.selected_heads if name in noisy]
    size = min(one.weights.size for one in replaced or noisy.values())
    per_test = head_threshold(len(found)) / TESTS
    (low, high), moved = told_apart(size, per_test), unseen_shift(size, per_test)
    yield (
        "size and simple patterns of the noise were tested, not randomness: one head with sigma "
        f"between {low:.2f} and {high:.2f} of the stated passes more often than not, so does one "
        f"that was not replaced and whose optimum moved by less than {moved:.0f} sigma, and any "
        "with a fixed vector that is secret"
    )


def _people(compared: str | None) -> Iterator[str]:
    if compared is None:
        yield "an escrow does not tell whose data was removed: that it is gone takes the receipt"
        return
    yield (
        "nothing that the receipt lists is in records or rows, or unchanged under "
        "another name; a copy that was changed, be it by one bit and at whatever time, is not seen"
    )
    yield compared
    yield (
        "that the receipt names the person and everything they gave is the issuer's word: "
        "hold it against what the person knows"
    )


def _made(predicate: Predicate) -> Iterator[str]:
    yield "every row was made again from its record, as the policy says"
    if is_retrained(predicate.guarantee):
        yield "the policy and the core were not: `mbd state check --train-again` does that"


def _left(elsewhere: Sequence[str]) -> Iterator[str]:
    if elsewhere:
        names = ", ".join(elsewhere[:_NAMED])
        rest = f" and {len(elsewhere) - _NAMED} more" if len(elsewhere) > _NAMED else ""
        yield f"nothing was looked for in {names}{rest}"
