"""A certificate as a page for a person who is no engineer: frozen values, no layout.

The first thing on it is whether the file was verified. What the file says comes after, in
sections; `page_text` and `page_html` show the same values. The certificate and the receipt are
other people's text: it is escaped where it is shown.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal

from mbd.certificate.page_words import (
    VERDICTS,
    WHOSE_WORD,
    Standing,
    channels,
    long_date,
    meaning,
    plain_claim,
    punctuality,
    what_changed,
)
from mbd.certificate.receipt import Receipt
from mbd.certificate.statement import Predicate

Trust = Literal["named", "found", "own", "none"]

_CAUTIONS: dict[Trust, str] = {
    "named": "",
    "found": (
        "The keys believed are those of a trust file that lay here and that nobody named: make "
        "sure that it did not come with the certificate."
    ),
    "own": (
        "The keys believed are those in the issuer's own workspace, so here the issuer vouches "
        "for itself: check again with keys that you compared yourself."
    ),
    "none": "",
}
_PAPER = "Paper can say anything: check the file, not this page."


@dataclass(frozen=True)
class Key:
    """A key that the check believed, or that the file names."""

    role: str
    name: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What verifying the file gave, in plain values."""

    standing: Standing
    reason: str = ""
    """Why it is not valid, as the verifier words it; quotes the file."""
    level: str | None = None
    checkpoint: str | None = None
    not_checked: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    trust: Trust = "none"
    keys: tuple[Key, ...] = ()
    checked_on: date


@dataclass(frozen=True)
class Fact:
    """A name and what the certificate says for it."""

    label: str
    value: str
    strong: bool = False


@dataclass(frozen=True)
class Point:
    """One line of a list: perhaps a lead, a sentence, perhaps a command to type."""

    text: str
    lead: str = ""
    command: str = ""


@dataclass(frozen=True)
class Listing:
    """A list, perhaps with a sentence before it."""

    points: tuple[Point, ...]
    intro: str = ""
    numbered: bool = False


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading with what belongs under it, in this order."""

    id: str
    title: str
    facts: tuple[Fact, ...] = ()
    paragraphs: tuple[str, ...] = ()
    listings: tuple[Listing, ...] = ()
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """The whole page."""

    certificate_id: str
    standing: Standing
    verdict: str
    sentences: tuple[str, ...]
    caution: str
    """What the reader has to know about the keys; empty if somebody named them."""
    reason: str
    """Why it is not valid, as the verifier words it."""
    sections: tuple[Section, ...]

    @property
    def good(self) -> bool:
        """Whether the page may look like one that can be relied on."""
        return self.standing == "valid"

    @property
    def mark(self) -> str:
        """What stands before every heading of a page that nobody should rely on."""
        return "" if self.good else self.verdict

    def to_json(self) -> dict[str, Any]:
        """The page as `mbd certificate show --json` prints it."""
        return {
            "certificateId": self.certificate_id,
            "standing": self.standing,
            "verdict": self.verdict,
            "sentences": list(self.sentences),
            "caution": self.caution or None,
            "reason": self.reason or None,
            "sections": [asdict(section) for section in self.sections],
        }


def make_page(predicate: Predicate, finding: Finding, receipt: Receipt | None = None) -> Page:
    """The page of a certificate.

    Args:
        predicate: What the file says.
        finding: What verifying it gave.
        receipt: The person's receipt, if it opened this certificate: the page names them then.
    """
    sections = [
        _removed(predicate, receipt),
        _in_time(predicate),
        _numbers(predicate, finding),
        _how_to_check(predicate, finding),
        _places(predicate),
        _stays(predicate),
        _not_covered(predicate),
        _word(predicate),
        _no_check(finding),
    ]
    if receipt is not None:
        sections.append(_erased(receipt))
    word, sentence = VERDICTS[finding.standing]
    checked = f"Checked on {long_date(finding.checked_on)} (UTC)."
    return Page(
        predicate.certificate_id,
        finding.standing,
        word,
        (sentence, f"{checked} {_PAPER}"),
        _CAUTIONS[finding.trust],
        finding.reason,
        tuple(sections),
    )


def _removed(predicate: Predicate, receipt: Receipt | None) -> Section:
    whose = "one person; this page does not name them, only their receipt does"
    facts = [
        Fact("Removed", channels(predicate.deletion.modalities), strong=True),
        Fact("Of", f"the person with the id {receipt.subject}" if receipt else whose),
        Fact("By", predicate.issuer),
        Fact("Because", predicate.request.basis),
    ]
    if predicate.supersedes is not None:
        facts.append(Fact("Replaces", predicate.supersedes))
    paragraphs = (what_changed(predicate),)
    return Section(
        id="removed", title="What was removed", facts=tuple(facts), paragraphs=paragraphs
    )


def _in_time(predicate: Predicate) -> Section:
    request = predicate.request
    days = {
        "Asked on": request.received_on,
        "Due by": request.due_by,
        "Completed on": request.completed_on,
    }
    facts = [Fact(name, long_date(date.fromisoformat(day))) for name, day in days.items()]
    _, sentence = punctuality(request)
    facts.append(Fact("Result", sentence, strong=True))
    return Section(id="in-time", title="Was it in time?", facts=tuple(facts))


def _numbers(predicate: Predicate, finding: Finding) -> Section:
    guarantee = predicate.guarantee
    facts = [Fact("Class", guarantee.guarantee_class, strong=True)]
    if guarantee.epsilon is not None and guarantee.delta is not None:
        facts += [Fact("epsilon", guarantee.epsilon), Fact("delta", guarantee.delta)]
    sentences = meaning(predicate)
    if finding.standing == "invalid":
        sentences = ("The file is invalid, so these numbers promise nothing.",)
    return Section(
        id="numbers", title="What the numbers mean", facts=tuple(facts), paragraphs=sentences
    )


def _places(predicate: Predicate) -> Section:
    """One sentence for the search, where it gave the same everywhere."""
    stores = predicate.deletion.stores
    scans = {store.scan for store in stores}
    once = len(scans) == 1
    points = [
        Point(store.action if once else f"{store.action}; {store.scan}", lead=store.store)
        for store in stores
    ]
    return Section(
        id="places",
        title="What was done with the data",
        listings=(Listing(tuple(points)),),
        after=(f"All of these, afterwards: {scans.pop()}.",) if once else (),
    )


def _stays(predicate: Predicate) -> Section:
    points = [Point(place.reason, lead=place.what) for place in predicate.deletion.out_of_scope]
    return Section(
        id="stays",
        title="What stays",
        paragraphs=(
            "Everything else that this person gave stays: other channels, labels, and what was "
            "learned from them.",
        ),
        listings=(Listing(tuple(points), "Erasing does not reach:"),),
    )


def _not_covered(predicate: Predicate) -> Section:
    return Section(
        id="not-covered",
        title="What this certificate does not cover",
        paragraphs=(
            "In its own words: the subject is the person, a modality is a channel, a release is a "
            "version of the model.",
        ),
        listings=(Listing(tuple(map(Point, predicate.guarantee.not_covered))),),
    )


def _word(predicate: Predicate) -> Section:
    points: dict[str, list[Point]] = {status: [] for status in WHOSE_WORD}
    points["asserted"].append(Point("The days above, and the reason for the request."))
    for claim in predicate.claims:
        points[claim.status].append(Point(plain_claim(claim)))
    listings = [Listing(tuple(points[s]), intro) for s, intro in WHOSE_WORD.items() if points[s]]
    return Section(id="word", title="Whose word it is", listings=tuple(listings))


def _how_to_check(predicate: Predicate, finding: Finding) -> Section:
    file = f"{predicate.certificate_id}.json"
    verify = f"mbd verify {file} --trust trust.toml"
    points = (
        Point(f"Get the file itself, {file}, and the program mbd. Nothing needs the network."),
        Point(
            "Get the issuer's keys, and compare them over a second channel, such as a call to a "
            "number that you knew before.",
            command="mbd trust add keys.json",
        ),
        Point("Check the file. The last line says VALID, INVALID or UNDECIDED.", command=verify),
        Point(
            "With the person's receipt: is it about them, and what was erased?",
            command=f"{verify} --receipt receipt.json",
        ),
        Point(
            "Whoever holds the data that was kept can build the model's state again and compare: "
            "this finds a program that did nothing.",
            command=f"{verify} --receipt receipt.json --reproduce WORKSPACE",
        ),
    )
    believed = "Believed here" if finding.trust != "none" else "Named in the file, not believed"
    return Section(
        id="check",
        title="How to check it yourself",
        listings=(Listing(points, numbered=True),),
        facts=tuple(
            Fact(f"{believed}: {key.role} key", f"{key.fingerprint} ({key.name})")
            for key in finding.keys
        ),
    )


def _no_check(finding: Finding) -> Section:
    reached = [Fact("Level reached", finding.level or "none")]
    if finding.checkpoint:
        reached.append(Fact("Log", finding.checkpoint))
    if finding.not_checked:
        reached.append(Fact("Not checked here", "; ".join(finding.not_checked)))
    return Section(
        id="limits",
        title="What no check can show",
        facts=tuple(reached),
        listings=(Listing(tuple(map(Point, finding.limits))),),
    )


def _erased(receipt: Receipt) -> Section:
    found: dict[str, list[str]] = {}
    for item in sorted(receipt.items, key=lambda one: (one.modality, one.record)):
        found.setdefault(item.modality, []).append(item.record)
    shown = f"{len(receipt.items)} of {receipt.tree_size} erased items"
    return Section(
        id="erased",
        title="What was erased",
        paragraphs=(
            f"From the receipt: {shown}, by record. This page names a person: keep it as private "
            "as the receipt.",
        ),
        listings=(
            Listing(tuple(Point(", ".join(records), name) for name, records in found.items())),
        ),
    )
