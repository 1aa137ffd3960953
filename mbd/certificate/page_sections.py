"""From a certificate, and what verifying it gave, to the sections of its page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from mbd.certificate.deadline import days_allowed
from mbd.certificate.page import Fact, Finding, Listing, Page, Point, Section, Trust
from mbd.certificate.page_words import (
    VERDICTS,
    WHOSE_WORD,
    channels,
    long_date,
    long_deadline,
    meaning,
    plain_claim,
    punctuality,
    reached_levels,
    what_changed,
)
from mbd.certificate.receipt import Receipt
from mbd.certificate.statement import Predicate

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
_OWN_WORDS = "the issuer's own words, unchecked"
"""Before the one sentence that an issuer is free to write: nothing in it can come first."""
_PAPER = "Paper can say anything: check the file, not this page."


def make_page(predicate: Predicate, finding: Finding, receipt: Receipt | None = None) -> Page:
    """The page of a certificate.

    Args:
        predicate: What the file says.
        finding: What verifying it gave.
        receipt: The person's receipt, if it opened this certificate: the page names them then.
    """
    sections = [
        _removed(predicate, receipt),
        _in_time(predicate, finding),
        _numbers(predicate, finding),
        _how_to_check(predicate, finding),
        _places(predicate),
        *([_erased(receipt)] if receipt is not None else []),
        _stays(predicate),
        _here(finding),
        _not_covered(predicate),
        _word(predicate),
        _no_check(finding),
    ]
    word, sentence = VERDICTS[finding.standing]
    return Page(
        predicate.certificate_id,
        finding.standing,
        word,
        (sentence, _checked(finding)),
        tuple(_cautions(predicate, finding)),
        finding.reason,
        tuple(sections),
    )


def _cautions(predicate: Predicate, finding: Finding) -> Iterator[str]:
    if predicate.guarantee.guarantee_class == "empirical":
        yield "It makes no promise about what the model still holds."
    in_time, sentence = punctuality(predicate.request)
    if not in_time:
        yield sentence
    long = long_deadline(predicate.request)
    if long is not None:
        yield long
    if _CAUTIONS[finding.trust]:
        yield _CAUTIONS[finding.trust]


def _checked(finding: Finding) -> str:
    return f"Checked on {long_date(finding.checked_on)} (UTC). {_PAPER}"


def _removed(predicate: Predicate, receipt: Receipt | None) -> Section:
    whose = "one person; this page does not name them, only their receipt does"
    facts = [
        Fact("Removed", channels(predicate.deletion.modalities), strong=True),
        Fact("Of", f"the person with the id {receipt.subject}" if receipt else whose),
        Fact("By", predicate.issuer),
        Fact("Because", f"{_OWN_WORDS}: {predicate.request.basis}"),
    ]
    if predicate.supersedes is not None:
        facts.append(Fact("Replaces", predicate.supersedes))
    paragraphs = (what_changed(predicate),)
    return Section(
        id="removed", title="What was removed", facts=tuple(facts), paragraphs=paragraphs
    )


def _in_time(predicate: Predicate, finding: Finding) -> Section:
    """The days are the issuer's word; on a page that is not valid they do not stand out."""
    request = predicate.request
    days = {
        "Asked on": request.received_on,
        "Due by": request.due_by,
        "Completed on": request.completed_on,
    }
    facts = [Fact(name, long_date(date.fromisoformat(day))) for name, day in days.items()]
    _, sentence = punctuality(request)
    long = long_deadline(request)
    if long is not None:
        sentence += f" It gave itself {days_allowed(request)} days."
    facts.append(Fact("Result", sentence, strong=finding.standing == "valid" and long is None))
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
            f"This certificate is about {channels(predicate.deletion.modalities)} alone. It says "
            "nothing about what else this person gave: by this request it stays, another one may "
            "have removed it.",
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
            "Get the issuer's keys: keys.json is what `mbd key export --json` prints there. "
            "Compare them over a second channel, such as a call to a number that you knew before.",
            command="mbd trust add keys.json",
        ),
        Point(
            "Check the file. The last line says VALID, INVALID or UNDECIDED; with VALID, it says "
            "NOT CURRENT too if the key was distrusted later.",
            command=verify,
        ),
        Point(
            "With the receipt, the issuer's word: is it about them, and all that they gave?",
            command=f"{verify} --receipt receipt.json",
        ),
        Point(
            "Whoever holds the data that was kept can build the model's state again and compare: "
            "this finds a program that did nothing.",
            command=f"{verify} --receipt receipt.json --reproduce WORKSPACE",
        ),
    )
    return Section(
        id="check",
        title="How to check it yourself",
        listings=(Listing(points, numbered=True),),
        facts=tuple(
            Fact(
                f"{key.role.capitalize()} key, {'believed' if key.believed else 'not believed'}",
                f"{key.fingerprint} ({key.name})",
            )
            for key in finding.keys
        ),
    )


def _here(finding: Finding) -> Section:
    """What this check found, and what another one could."""
    facts = [Fact("Reached", reached_levels(finding.levels))]
    if finding.checkpoint:
        facts.append(Fact("Log", finding.checkpoint))
    left = (*finding.not_checked, "whether a later certificate replaces this one")
    listings = [Listing((Point("; ".join(left)),), "Not checked here:")]
    if finding.failed:
        listings.insert(0, Listing(tuple(map(Point, finding.failed)), "Checks that failed:"))
    return Section(
        id="here", title="What was checked here", facts=tuple(facts), listings=tuple(listings)
    )


def _no_check(finding: Finding) -> Section:
    return Section(
        id="limits",
        title="What no check can show",
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
