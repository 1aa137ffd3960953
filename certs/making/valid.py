"""The examples that a verifier accepts: one per class and kind, with receipts and a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache

from making.keys import ISSUER, SECOND, STRANGER, WITNESSES, LogKey
from making.model import CERTIFIED, model_files
from making.story import (
    NOW,
    Json,
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
from mbd.ledger.cosignature import cosign
from mbd.ledger.note import parse_note
from mbd.ledger.tlog_proof import parse_tlog_proof

HONEST = Story(name="certified")
"""The certificate that most refused examples are a spoiled copy of."""

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
        Story(name="batch-1", subject="1", outcome=certified("1")),
        Story(name="batch-2", subject="2", outcome=certified("2")),
        Story(name="witnessed"),
        Story(name="logged-days-later", logged_after=timedelta(days=9)),
    )
}


def _newer(statement: Json) -> None:
    statement["predicateType"] = "urn:mbd:modality-deletion-certificate:v2"


def _unknown_theorem(statement: Json) -> None:
    statement["predicate"]["guarantee"]["theorem"] = "urn:mbd:theorem:surgical-release:v9"


UNDECIDED: Mapping[str, Story] = {
    story.name: story
    for story in (
        Story(name="signed-by-a-stranger", signers=(STRANGER,)),
        Story(name="statement-of-a-newer-version", edit=_newer),
        Story(name="theorem-unknown", edit=_unknown_theorem),
    )
}
"""Nothing is wrong with them, but they ask for more than a verifier may have."""


@cache
def logged() -> Mapping[str, bytes]:
    """All of them as entries of one log, under one checkpoint: by name, the file."""
    told = [*STORIES.values(), *UNDECIDED.values()]
    entries = [story.entry(story.envelope()) for story in told]
    bundles = {story.name: story.among(entries, place) for place, story in enumerate(told)}
    bundles["witnessed"]["tlogProof"] += cosignatures(bundles["witnessed"], WITNESSES[:2])
    return {name: dumps(bundle) for name, bundle in bundles.items()}


def cosignatures(bundle: Json, witnesses: Sequence[LogKey], moment: datetime = NOW) -> str:
    """Lines by which witnesses sign the checkpoint of a bundle."""
    text = parse_note(parse_tlog_proof(bundle["tlogProof"]).checkpoint).text
    return "".join(cosign(text, one, moment + timedelta(days=10)) for one in witnesses)


def bundles() -> dict[str, bytes]:
    """Name of the file -> content."""
    return {f"{name}.json": logged()[name] for name in STORIES}


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
