"""The examples that a verifier accepts: one per class and kind, with receipts and a model."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from making.keys import ISSUER, SECOND, STRANGER
from making.model import CERTIFIED, model_files
from making.story import (
    NOW,
    Story,
    certified,
    empirical,
    exact,
    nothing_to_subtract,
    retrained,
    ulid,
)
from mbd.canonical.json import dumps
from mbd.certificate.receipt import excerpt

HONEST = Story(name="certified")
"""The certificate that most refused examples are a spoiled copy of."""

_BATCH = [
    Story(name=f"batch-{number}", subject=f"{number}", outcome=certified(f"{number}"))
    for number in (1, 2)
]

STORIES: Mapping[str, Story] = {
    story.name: story
    for story in (
        HONEST,
        Story(name="exact", outcome=exact()),
        Story(name="exact-nothing-to-subtract", outcome=nothing_to_subtract()),
        Story(name="exact-retrained", outcome=retrained()),
        Story(name="empirical", outcome=empirical()),
        Story(name="ecdsa-p256", signers=(SECOND,)),
        Story(name="two-keys", signers=(ISSUER, SECOND)),
        Story(name="two-keys-one-stranger", signers=(STRANGER, ISSUER)),
        Story(
            name="completed-late",
            issuance={
                "received_on": (NOW - timedelta(days=45)).date(),
                "due_by": (NOW - timedelta(days=15)).date(),
            },
        ),
        Story(
            name="supersedes-an-older-one",
            issuance={
                "supersedes": ulid("older", NOW - timedelta(days=30)),
            },
        ),
        Story(name="logged-days-later", logged_after=timedelta(days=9)),
    )
}


def bundles() -> dict[str, bytes]:
    """Name of the file -> content."""
    single = {name: story.data() for name, story in STORIES.items()}
    return {f"{name}.json": data for name, data in {**single, **_batch()}.items()}


def _batch() -> dict[str, bytes]:
    """Two certificates that were logged together, under one checkpoint."""
    entries = [one.entry(one.envelope()) for one in _BATCH]
    return {story.name: dumps(story.among(entries, place)) for place, story in enumerate(_BATCH)}


def receipts() -> dict[str, bytes]:
    """The subject's openings of some of them."""
    whole = {name: STORIES[name].receipt() for name in ("certified", "exact")}
    one = excerpt(whole["certified"], "r2", "audio")
    return {
        **{f"{name}.json": made.to_bytes() for name, made in whole.items()},
        "certified-excerpt.json": one.to_bytes(),
    }


def models() -> dict[str, bytes]:
    """The released model of one of them, by its path."""
    return {f"certified/{path}": data for path, data in model_files(CERTIFIED).items()}
