"""Two verifiers that share no code say the same of every bundle that was bent."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator
from itertools import islice

import pytest

from mbd.verify.trust_text import render_trust
from tests.certs.places import VERIFIER, second_exit_code
from tests.verify.kinds import KINDS, STATEMENTS, donors, good, with_text
from tests.verify.mutations import bent_bytes, bent_lines, edits
from tests.verify.world import LATER

EVERY = [pytest.param(150), pytest.param(5, marks=pytest.mark.slow)]


def bent(kind: str, every: int) -> Iterator[tuple[str, bytes]]:
    """A bundle bent in all the ways of the other tests, every so many-th time."""
    found = good(kind)
    yield from bent_bytes(found.data, seed=9, every=every)
    proof = found.world.bundle.tlog_proof
    for words, data in bent_bytes(proof.encode(), seed=9, every=every):
        yield words, with_text(found, data.decode("utf-8", "replace"))
    for words, text in islice(bent_lines(proof), 0, None, every):
        yield words, with_text(found, text)
    bundles = [good(other).data.decode() for other in KINDS if other != kind]
    for edit in islice(edits(found.data.decode(), bundles), 0, None, every):
        yield f"{edit.place}: {edit.words}", edit.text.encode()
    if kind in STATEMENTS:
        others = [payload for payload in donors() if payload != found.payload]
        for edit in islice(edits(found.payload, others), 0, None, every):
            yield f"{edit.place}: {edit.words}", found.signed_anew(edit.text.encode())


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize("kind", KINDS)
def test_both_give_the_same_exit_code(kind, every):
    assert VERIFIER.is_dir()
    trust = tomllib.loads(render_trust(good(kind).trust))
    seen: Counter[int] = Counter()

    for words, data in bent(kind, every):
        ours = good(kind).judge(data).exit_code
        theirs = second_exit_code(data, trust, LATER)
        assert ours == theirs, words
        seen[ours] += 1

    assert seen[1] > 50
