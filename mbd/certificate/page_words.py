"""The sentences of the page for a person who is no engineer.

They say in plain words what the registries (`claims`, `theorems`, `scope`) say exactly, and never
more. None says that something is forgotten, or that copies are gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Literal

from mbd.certificate.claims import REGISTRY
from mbd.certificate.deadline import LONGEST_DAYS, days_allowed, days_late
from mbd.certificate.page_numbers import read_loss
from mbd.certificate.statement import Claim, Guarantee, Predicate, Request
from mbd.certificate.theorems import THEOREMS
from mbd.certificate.wording import is_retrained

Standing = Literal["valid", "not-current", "invalid", "undecided", "unchecked"]

VERDICTS: dict[Standing, tuple[str, str]] = {
    "valid": (
        "VALID",
        "The paperwork holds: the issuer's signature, the entry in the log, and what is computed "
        "from the constants. What paper cannot show stands under Whose word it is.",
    ),
    "not-current": (
        "VALID, BUT NOT CURRENT",
        "The signature holds, and was logged while its key was trusted; later that key was "
        "distrusted. Ask the issuer why, and what this means for you.",
    ),
    "invalid": (
        "INVALID",
        "This file failed a check. Do not rely on anything below; ask the issuer for the file "
        "again, and why if it fails again.",
    ),
    "undecided": (
        "UNDECIDED",
        "It could not be decided whether this file is what it says. Anybody could have written "
        "what follows.",
    ),
    "unchecked": (
        "NOT CHECKED",
        "No trust file was found, so no signature was checked. Anybody could have written what "
        "follows.",
    ),
}
"""The word that comes first on the page, and what it means."""

PLAIN_CLAIMS = {
    "state-subtracted": (
        "What the heads are computed from (the state) is exactly what the data that was kept gives."
    ),
    "provenance": (
        "Everything in the model but the heads was made without this channel of this person."
    ),
    "privacy-arithmetic": "epsilon follows from the constants in this certificate.",
    "near-optimum": (
        "Before noise was added, each new head was as close to its target as this certificate says."
    ),
    "noise": "Noise was drawn as often as stated, and no head without it was kept or shown.",
    "recomputed": "The new heads follow from that state by a fixed program, without noise.",
    "retrained": (
        "Training again by the same recipe, on the records that were kept, gives every file of "
        "this model; on the same machine, with the same build."
    ),
    "others-untouched": (
        "The other heads are bit for bit what they were, unless another request that was carried "
        "out together with this one replaced them."
    ),
    "erased": "The places above were treated as stated, then searched for the erased values.",
}
"""Id of a claim -> the same in plain words."""

WHOSE_WORD = {
    "asserted": "The issuer's word alone; nothing in this certificate shows it:",
    "checked": "Checked by the issuer's own program while it ran:",
    "measured": "Measured by the issuer's own program while it ran:",
    "reproducible": "Can be done again by others:",
}
"""Status of a claim -> how far a reader has to believe it, in the order of the page."""


REACHED = {
    "SIGNED": "signed by a key believed here",
    "LOGGED": "signed, and entered in the log believed here",
    "SUBJECT": "about the person who holds the receipt",
}
"""Levels of verification that a page can tell of, in plain words."""


def reached_levels(levels: Sequence[str]) -> str:
    """The levels with their meaning, or 'none'."""
    named = [f"{level} ({REACHED[level]})" if level in REACHED else level for level in levels]
    return ", ".join(one for one in named if one) or "none"


def channels(modalities: Sequence[str]) -> str:
    """'audio', 'audio and text', 'audio, text and vision'."""
    *others, last = modalities
    return f"{', '.join(others)} and {last}" if others else last


def long_date(day: date) -> str:
    """Like '15 May 2026', in English whatever the machine speaks."""
    months = "January February March April May June July August September October November December"
    return f"{day.day} {months.split()[day.month - 1]} {day.year}"


def punctuality(request: Request) -> tuple[bool, str]:
    """Whether it was completed in time, and the sentence for it."""
    days = -days_late(request)
    if days < 0:
        return False, f"LATE by the issuer's dates: completed {_days(-days)} after it was due."
    if days == 0:
        return True, "IN TIME by the issuer's dates: completed on the last day."
    return True, f"IN TIME by the issuer's dates: completed {_days(days)} before it was due."


def long_deadline(request: Request) -> str | None:
    """The sentence for a last day so late that no request could ever be; None for a usual one."""
    days = days_allowed(request)
    if days <= LONGEST_DAYS:
        return None
    return f"LONG: the issuer gave itself {days} days; GDPR, article 12(3): three months at most."


def what_changed(predicate: Predicate) -> str:
    """Which heads of the model were replaced."""
    guarantee = predicate.guarantee
    selected, rest = len(guarantee.selected_heads), len(guarantee.heads)
    rest -= selected
    start = f"The model has {_heads(selected + rest)}: parts that learn from everybody's data, "
    start += "one for each combination of channels. "
    if not selected:
        return start + "This request replaced none of them."
    if not rest:
        return start + "This request replaced all of them."
    left = "the other one" if rest == 1 else f"the other {rest}"
    names = _named(guarantee.selected_heads)
    return start + (
        f"This request replaced {selected} ({names}). It did not replace {left}; another request "
        "may have."
    )


def meaning(predicate: Predicate) -> tuple[str, ...]:
    """What the class and the numbers mean for the person, in a few sentences."""
    guarantee, channel = predicate.guarantee, channels(predicate.deletion.modalities)
    if guarantee.theorem is not None and guarantee.theorem not in THEOREMS:
        return ("It rests on a theorem that this version of the program does not know.",)
    if guarantee.guarantee_class == "certified":
        return _certified(guarantee, channel)
    if guarantee.guarantee_class == "empirical":
        return (
            "There are no numbers. What the removal achieved was only measured, by attacks on the "
            "released model. A failed attack bounds nothing: this certificate makes no promise "
            f"about how much of {channel} the model still holds.",
        )
    return _exact(guarantee, channel)


def plain_claim(claim: Claim) -> str:
    """A claim in plain words; one that is not in the registry's words, as it stands."""
    known = REGISTRY.get(claim.id)
    if known is None or (known.status, known.text) != (claim.status, claim.text):
        return claim.text
    return PLAIN_CLAIMS[claim.id]


def _certified(guarantee: Guarantee, channel: str) -> tuple[str, ...]:
    epsilon, delta = guarantee.epsilon or "0", guarantee.delta or "0"
    found = read_loss(epsilon, delta)
    sentences = [
        f"The new heads were released with random noise. It limits what they can tell anybody "
        f"about one question: was {channel} of this person ever among what they learned from? "
        f"epsilon ({epsilon}) and delta ({delta}) say how tight the limit is.",
        f"Whatever somebody knew or guessed before, seeing the new heads is worth no more to them "
        f"than this game: with a probability of at most {found.failure} (delta) the answer is "
        f"given away; otherwise their odds change by at most a factor of {found.factor}, up or "
        f"down (e to the power of epsilon, rounded up). So 50% becomes at most {found.most}% and "
        f"at least {found.least}%.",
        f"Or: a test that looks at the new heads alone, and wrongly says yes in 1 of 100 cases "
        f"where it never was there, rightly says yes in at most {found.hits} of 100 cases where "
        f"it was.",
    ]
    if found.wide:
        sentences.append("This is a wide limit: it promises little.")
    sentences.append(
        "The limit is about the new heads alone, and rests on the issuer's word (see below). "
        "That there was a request is no secret: this certificate shows it."
    )
    return tuple(sentences)


def _exact(guarantee: Guarantee, channel: str) -> tuple[str, ...]:
    if is_retrained(guarantee):
        what = (
            f"The whole model was trained again without {channel} of this person. It is, bit for "
            "bit, what the same recipe gives on the same machine where that never was."
        )
    elif guarantee.selected_heads:
        what = (
            f"The new heads are, bit for bit, what the same program computes from a state that "
            f"{channel} of this person never entered. No noise was needed."
        )
    else:
        what = (
            f"No head was replaced, because there was nothing to subtract: no training row of this "
            f"person used {channel}."
        )
    return (
        f"epsilon = 0 and delta = 0: as far as the conditions below hold, nothing of it is in what "
        f"this request released. {what}",
        "This holds under conditions that the issuer declares and that no signature shows: that "
        "everything in the model but the heads was computed without it, and that program and "
        "arithmetic are as described."
        if not is_retrained(guarantee)
        else "This holds under conditions that the issuer declares and that no signature shows: "
        "that the records are what they are said to be, and that program and arithmetic are as "
        "described.",
    )


def _named(heads: Sequence[str]) -> str:
    shown = heads if len(heads) <= 8 else (*heads[:7], f"and {len(heads) - 7} more")
    return ", ".join(shown)


def _heads(count: int) -> str:
    return "1 head" if count == 1 else f"{count} heads"


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"
