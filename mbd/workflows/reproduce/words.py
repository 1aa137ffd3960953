"""What was reproduced, and what was not looked at, in plain words."""

from __future__ import annotations

from collections.abc import Iterator

from mbd.certificate.rules import is_retrained
from mbd.certificate.statement import Predicate
from mbd.deletion.noise_patterns import told_apart
from mbd.workflows.reproduce.released import ReleasedFiles


def describe(predicate: Predicate, released: ReleasedFiles, compared: str | None) -> str:
    """All of it in one line.

    Args:
        predicate: The certificate.
        released: Its model; every head of it was held against its state.
        compared: What the receipt showed of the data set of before; None without a receipt.
    """
    return "; ".join((*_heads(predicate, released), *_people(compared), *_made(predicate)))


def _heads(predicate: Predicate, released: ReleasedFiles) -> Iterator[str]:
    heads = predicate.guarantee.heads
    found = [released.head(name) for name in heads]
    noisy = [one for one in found if one.noise_steps]
    yield "the retained rows sum to the state that the certificate commits to"
    if not noisy:
        yield f"{len(heads)} heads are its optimum, bit for bit"
        return
    yield f"{len(heads)} heads are its optimum, {len(noisy)} with the noise stated"
    low, high = told_apart(sum(one.weights.size for one in noisy))
    yield (
        "size and simple patterns of the noise were tested, not randomness: sigma between "
        f"{low:.2f} and {high:.2f} of the stated looks the same here, and so does a fixed "
        "vector that is secret"
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
