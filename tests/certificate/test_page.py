"""The page for a person who is no engineer: true, plain, and never good-looking if it is not."""

from __future__ import annotations

import base64
import html
import json
import math
import re
import shutil
import stat
import subprocess
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbd.canonical.json import dumps
from mbd.canonical.numbers import to_decimal
from mbd.certificate.claims import REGISTRY
from mbd.certificate.page import Finding, Key, Page
from mbd.certificate.page_html import page_html
from mbd.certificate.page_numbers import read_loss
from mbd.certificate.page_sections import make_page
from mbd.certificate.page_text import page_text
from mbd.certificate.page_words import PLAIN_CLAIMS, VERDICTS, WHOSE_WORD, Standing
from mbd.certificate.statement import Statement
from mbd.cli.main import invoke
from mbd.verify.report import LIMITS
from mbd.verify.trust_text import render_trust
from tests.certificate.samples import (
    CERTIFICATE_ID,
    ITEMS,
    SUBJECT,
    empirical_outcome,
    exact_outcome,
    retrained_outcome,
)
from tests.verify.world import World, make_world

WORLD = make_world()
CHROMIUM = shutil.which("chromium")
OUTCOMES = {
    "certified": None,
    "exact": exact_outcome(),
    "nothing": exact_outcome(selected_heads=()),
    "retrained": retrained_outcome(),
    "empirical": empirical_outcome(),
}
NOT_GOOD: tuple[Standing, ...] = ("not-current", "invalid", "undecided", "unchecked")
HOSTILE = "<script>alert(1)</script><img src=//evil.example/x> &amp; \"'`mbd`} </style> VALID"


def finding(standing: Standing = "valid", **changes) -> Finding:
    values = {
        "limits": LIMITS,
        "trust": "named",
        "keys": (Key("issuer", "Example Clinic", "abcd " * 15 + "abcd"),),
        "checked_on": date(2026, 5, 20),
        "levels": ("LOGGED", "SUBJECT"),
        "checkpoint": "ledger.example/1@7",
        "not_checked": ("consistency", "witnesses"),
    }
    return Finding(standing=standing, **{**values, **changes})


def page_of(world: World = WORLD, standing: Standing = "valid", receipt=None, **changes) -> Page:
    return make_page(world.statement.predicate, finding(standing, **changes), receipt)


class _Words(HTMLParser):
    """The words of a page, without its style, and every tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self._skipped = 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._skipped += tag in ("style", "title")

    def handle_endtag(self, tag):
        self._skipped -= tag in ("style", "title")

    def handle_data(self, data):
        if not self._skipped:
            self.words += [data]


def words(text: str) -> str:
    """Letters and digits alone: what is left when layout is taken away."""
    return re.sub(r"[^A-Za-z0-9.%]", "", text)


def facts_of(page: Page) -> list[str]:
    """Every text of a page, in any order."""
    found = [page.verdict, page.certificate_id, page.reason, *page.cautions, *page.sentences]
    for section in page.sections:
        found += [section.title, *section.paragraphs, *section.after]
        found += [text for fact in section.facts for text in (fact.label, fact.value)]
        for listing in section.listings:
            found.append(listing.intro)
            found += [t for p in listing.points for t in (p.lead, p.text, p.command)]
    return [text for text in found if text]


def section(page: Page, identity: str):
    return next(one for one in page.sections if one.id == identity)


def said(page: Page, identity: str) -> str:
    return " ".join(section(page, identity).paragraphs)


# What the numbers mean


@given(st.floats(0, 30), st.floats(0, 0.01))
def test_the_reading_of_a_loss_never_understates_it(epsilon, delta):
    found = read_loss(to_decimal(epsilon), to_decimal(delta))

    true = math.exp(epsilon)
    if not found.factor.startswith("more than"):
        assert float(found.factor.replace(",", "")) >= true * (1 - 1e-12)
    assert float(found.most) >= 100 * true / (1 + true) * (1 - 1e-12)
    assert float(found.least) <= 100 / (1 + true) * (1 + 1e-12) + 1e-9
    assert float(found.hits) >= min(100, true + 100 * delta) * (1 - 1e-12)
    if found.failure != "none":
        assert 1 / int(found.failure.removeprefix("1 in ").replace(",", "")) >= delta * (1 - 1e-12)
    else:
        assert delta == 0


def test_the_reading_of_one_and_one_in_a_million():
    found = read_loss("1", "0.000001")

    assert (found.factor, found.most, found.least) == ("2.72", "73.2", "26.8")
    assert (found.hits, found.failure, found.wide) == ("2.72", "1 in 1,000,000", False)
    assert read_loss("8", "0").wide


def test_certified_says_how_much_can_be_told_and_under_what():
    text = said(page_of(), "numbers")

    assert "at most a factor of 1.46" in text
    assert "1 in 1,000,000 (delta)" in text
    assert "rests on the issuer's word" in text
    assert "there was a request is no secret" in text


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("exact", "never entered"),
        ("nothing", "there was nothing to subtract"),
        ("retrained", "trained again"),
    ],
)
def test_exact_says_nothing_of_it_and_under_which_conditions(kind, sentence):
    page = page_of(make_world(OUTCOMES[kind]))

    text = said(page, "numbers")
    assert "epsilon = 0 and delta = 0" in text
    assert sentence in text
    assert "conditions that the issuer declares and that no signature shows" in text


def test_a_theorem_that_is_not_known_here_is_given_no_meaning():
    found = WORLD.statement.predicate
    other = found.guarantee.model_copy(update={"theorem": "urn:mbd:theorem:later:v9"})
    page = make_page(found.model_copy(update={"guarantee": other}), finding("undecided"))

    assert said(page, "numbers").startswith("It rests on a theorem that this version")
    assert "at most a factor" not in page_text(page)


def test_empirical_promises_nothing():
    page = page_of(make_world(OUTCOMES["empirical"]))

    text = said(page, "numbers")
    assert "There are no numbers" in text
    assert "makes no promise" in text
    assert not any(fact.label in ("epsilon", "delta") for fact in section(page, "numbers").facts)
    assert not re.search(r"certif(?:y|ie)|guarant|proof|prove", " ".join(facts_of(page)), re.I)


@pytest.mark.parametrize("kind", OUTCOMES)
@pytest.mark.parametrize("standing", VERDICTS)
def test_no_page_says_forgotten_or_that_copies_are_gone(kind, standing):
    page = page_of(make_world(OUTCOMES[kind]), standing)

    text = " ".join(facts_of(page))
    assert not re.search(r"forgot|forget|unlearn|100 ?%|completely|permanently", text, re.I)
    assert "No signature shows that copies elsewhere are gone." in text


def test_every_claim_and_every_status_has_plain_words():
    assert set(PLAIN_CLAIMS) == set(REGISTRY)
    assert {one.status for one in REGISTRY.values()} <= set(WHOSE_WORD)


def test_what_stays_and_what_is_not_covered_are_the_certificates_own():
    predicate = WORLD.statement.predicate
    text = facts_of(page_of())

    for place in predicate.deletion.out_of_scope:
        assert {place.what, place.reason} <= set(text)
    assert set(predicate.guarantee.not_covered) <= set(text)


def test_what_the_issuer_only_asserts_is_under_that_heading():
    listings = section(page_of(), "word").listings

    asserted = {p.text for p in listings[0].points}
    assert "nothing in this certificate shows it" in listings[0].intro
    assert {PLAIN_CLAIMS["provenance"], PLAIN_CLAIMS["noise"]} <= asserted
    assert PLAIN_CLAIMS["privacy-arithmetic"] not in asserted


# In time


@pytest.mark.parametrize(
    ("due", "sentence"),
    [
        (date(2026, 6, 14), "IN TIME by the issuer's dates: completed 28 days before it was due."),
        (date(2026, 5, 18), "IN TIME by the issuer's dates: completed 1 day before it was due."),
        (date(2026, 5, 17), "IN TIME by the issuer's dates: completed on the last day."),
        (date(2026, 5, 16), "LATE by the issuer's dates: completed 1 day after it was due."),
        (date(2026, 5, 15), "LATE by the issuer's dates: completed 2 days after it was due."),
    ],
)
def test_in_time_or_late_is_said_plainly(due, sentence):
    page = page_of(make_world(due_by=due))
    facts = {fact.label: fact for fact in section(page, "in-time").facts}

    assert facts["Result"].value == sentence
    assert facts["Result"].strong
    assert sentence.startswith("LATE") == (sentence in page.cautions)
    assert facts["Due by"].value == f"{due.day} {'June' if due.month == 6 else 'May'} 2026"


@pytest.mark.parametrize(("due", "long"), [(date(2026, 8, 15), False), (date(2026, 8, 16), True)])
def test_a_last_day_more_than_three_months_away_is_pointed_out(due, long):
    """16 May and 92 days: a request is never late if its last day is in ten years."""
    page = page_of(make_world(received_on=date(2026, 5, 15), due_by=due))
    (result,) = (one for one in section(page, "in-time").facts if one.label == "Result")

    assert any("LONG: the issuer gave itself 93 days" in one for one in page.cautions) == long
    assert ("gave itself 93 days" in result.value) == long
    assert result.strong != long


def test_the_reason_is_shown_as_words_that_nobody_checked():
    """Whatever it says, it is the issuer who says it."""
    page = page_of(make_world(basis="checked and found to be gone"))
    (fact,) = (one for one in section(page, "removed").facts if "gone" in one.value)

    assert fact.value.startswith("the issuer's own words, unchecked: ")


@pytest.mark.parametrize("standing", NOT_GOOD)
def test_in_time_does_not_stand_out_on_a_page_that_is_not_good(standing):
    facts = {fact.label: fact for fact in section(page_of(standing=standing), "in-time").facts}

    assert not facts["Result"].strong


@pytest.mark.parametrize("kind", OUTCOMES)
def test_no_page_says_that_other_requests_left_anything(kind):
    """Of one batch, each page speaks for its own request alone."""
    page = page_of(make_world(OUTCOMES[kind]))

    assert "another one may have removed it" in said(page, "stays")
    assert not re.search(r"everything else|left the other|alone\.$", said(page, "removed"), re.I)
    if page.sections[0].paragraphs[0].count("did not replace"):
        assert "another request may have" in said(page, "removed")


# Valid, or not


@pytest.mark.parametrize("standing", NOT_GOOD)
def test_a_page_that_is_not_good_says_so_first_and_before_every_heading(standing):
    page = page_of(standing=standing, reason="signature: it does not hold (sig.invalid)")
    word = VERDICTS[standing][0]

    lines = page_text(page).splitlines()
    assert lines[1].strip() == word
    assert lines[0] == lines[2] == "!" * 80
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", page_html(page))
    assert len(headings) == len(page.sections)
    for heading, one in zip(headings, page.sections, strict=True):
        assert word in html.unescape(heading)
        assert f"{word}: {one.title}" in lines
    body = page_html(page).partition("<main>")[2]
    assert body.index(f"{word}</h1>") < body.index("<section")
    assert f'content: "{word}: certificate {CERTIFICATE_ID}"' in page_html(page)


def test_only_a_valid_page_looks_like_one():
    shown = {standing: page_html(page_of(standing=standing)) for standing in VERDICTS}

    assert [s for s, text in shown.items() if '<body class="valid">' in text] == ["valid"]
    assert [s for s, text in shown.items() if "\u2713" in text] == ["valid"]
    style = shown["valid"]
    borders = [re.search(rf"\.{s} \.verdict[^{{]*{{([^}}]*)}}", style) for s in VERDICTS]
    assert len({found.group(1).strip() for found in borders if found}) >= 4


def test_an_invalid_page_draws_no_meaning_from_its_numbers():
    text = page_text(page_of(standing="invalid"))

    assert "these numbers promise nothing" in text
    assert "at most a factor" not in text


def test_every_check_that_failed_is_listed_in_plain_words():
    page = page_of(standing="invalid", failed=("one thing (a.b)", "another (c.d)"))

    (failed, _) = section(page, "here").listings
    assert failed.intro == "Checks that failed:"
    assert [one.text for one in failed.points] == ["one thing (a.b)", "another (c.d)"]


def test_what_was_not_checked_is_not_what_no_check_can_show():
    page = page_of(not_checked=("witnesses",))

    (left,) = section(page, "here").listings
    assert left.intro == "Not checked here:"
    assert left.points[0].text.startswith("witnesses")
    limits = section(page, "limits")
    assert {one.text for one in limits.listings[0].points} == set(LIMITS)
    assert not limits.facts


@pytest.mark.parametrize(("trust", "word"), [("own", "vouches for itself"), ("found", "nobody")])
def test_keys_that_nobody_compared_are_said_to_be_so(trust, word):
    page = page_of(trust=trust)

    assert word in page.cautions[-1]
    assert word in page_html(page)
    assert word in " ".join(page_text(page).split())


# The same in every form


@pytest.mark.parametrize("kind", OUTCOMES)
def test_text_and_html_say_the_same(kind):
    page = page_of(make_world(OUTCOMES[kind]), receipt=WORLD.receipt, trust="own", reason="why?")

    in_text, in_html = words(page_text(page)), words("".join(_Words(page_html(page)).words))
    for fact in facts_of(page):
        assert words(fact) in in_text, fact
        assert words(fact) in in_html, fact
    assert json.loads(json.dumps(page.to_json()))["sections"][0]["facts"][0]["value"] == "audio"


def test_text_stays_within_its_width():
    lines = page_text(page_of(receipt=WORLD.receipt), 72).splitlines()

    assert [line for line in lines if len(line) > 72 and "mbd verify" not in line] == []


# Other people's text


def hostile(statement: Statement) -> Statement:
    """Everything that is free text in a statement, or would be in one that breaks the rules."""
    found = statement.predicate
    request = found.request.model_copy(update={"basis": HOSTILE})
    claims = tuple(one.model_copy(update={"text": HOSTILE}) for one in found.claims)
    guarantee = found.guarantee.model_copy(update={"not_covered": (HOSTILE,)})
    places = tuple(
        one.model_copy(update={"what": HOSTILE, "reason": HOSTILE})
        for one in found.deletion.out_of_scope
    )
    stores = tuple(
        one.model_copy(update={"store": HOSTILE, "action": HOSTILE, "scan": HOSTILE})
        for one in found.deletion.stores
    )
    deletion = found.deletion.model_copy(update={"out_of_scope": places, "stores": stores})
    update = {
        "issuer": HOSTILE,
        "request": request,
        "claims": claims,
        "guarantee": guarantee,
        "deletion": deletion,
    }
    return statement.model_copy(update={"predicate": found.model_copy(update=update)})


def hostile_page() -> Page:
    item = WORLD.receipt.items[0].model_copy(update={"record": HOSTILE + "\x1b[2J\u202e\n"})
    receipt = WORLD.receipt.model_copy(update={"subject": HOSTILE + "\x07", "items": (item,)})
    found = finding("undecided", reason=HOSTILE + "\r", keys=(Key("log", HOSTILE, "00"),))
    return make_page(hostile(WORLD.statement).predicate, found, receipt)


def test_hostile_text_is_shown_and_does_nothing():
    plain = [tag for tag, _ in _Words(page_html(page_of(receipt=WORLD.receipt))).tags]
    parsed = _Words(page_html(hostile_page()))

    assert {tag for tag, _ in parsed.tags} <= {*plain, "code"}
    assert "script" not in plain
    assert words(HOSTILE) in words("".join(parsed.words))
    for text in (page_html(hostile_page()), page_text(hostile_page())):
        assert not [c for c in text if not c.isprintable() and c != "\n"]
    assert page_text(hostile_page()).splitlines()[1].strip() == "UNDECIDED"


@pytest.mark.parametrize("page", [page_of(receipt=WORLD.receipt), hostile_page()])
def test_the_html_loads_nothing_and_runs_nothing(page):
    text = page_html(page)
    parsed = _Words(text)

    assert not {tag for tag, _ in parsed.tags} & {"script", "link", "img", "iframe", "a", "form"}
    names = {name for _, found in parsed.tags for name in found}
    assert not {name for name in names if name.startswith("on") or name in ("src", "href", "style")}
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert not re.search(r"url\(|@import|expression|//", style)
    assert "default-src 'none'" in text


def test_the_html_is_readable_by_those_who_hear_it():
    parsed = _Words(page_html(page_of()))
    tags = dict(parsed.tags)

    assert tags["html"]["lang"] == "en"
    levels = [tag for tag, _ in parsed.tags if re.fullmatch(r"h\d", tag)]
    assert levels == ["h1"] + ["h2"] * len(page_of().sections)
    ids = [found["id"] for _, found in parsed.tags if "id" in found]
    assert len(ids) == len(set(ids))
    named = {found["aria-labelledby"] for tag, found in parsed.tags if tag == "section"}
    assert named <= set(ids)


# The command


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MBD_TRUST", raising=False)
    monkeypatch.delenv("MBD_WORKSPACE", raising=False)
    (tmp_path / "cert.json").write_bytes(WORLD.data)
    (tmp_path / "mine.toml").write_text(render_trust(WORLD.trust))
    (tmp_path / "receipt.json").write_bytes(WORLD.receipt.to_bytes())
    return tmp_path


def show(capsys, *arguments: str) -> dict:
    assert invoke(["certificate", "show", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_verdict_is_that_of_verify(folder, capsys):
    (folder / "foreign.toml").write_text(render_trust(make_world().trust))
    distrusting = WORLD.distrusting_from(5)
    (folder / "later.toml").write_text(render_trust(distrusting))
    tampered = make_world(logged_after=date(2026, 9, 1) - date(2026, 5, 17))
    (folder / "bad.json").write_bytes(tampered.data)
    (folder / "bad.toml").write_text(render_trust(tampered.trust))
    cases = {
        ("cert.json", "mine.toml"): "valid",
        ("cert.json", "foreign.toml"): "undecided",
        ("cert.json", "later.toml"): "not-current",
        ("bad.json", "bad.toml"): "invalid",
    }
    for (file, trust), standing in cases.items():
        found = show(capsys, file, "--trust", trust)
        code = invoke(["verify", file, "--trust", trust])
        capsys.readouterr()
        assert (found["standing"], found["verifyExitCode"]) == (standing, code)
        assert bool(found["reason"]) == (standing in ("undecided", "invalid"))


def test_without_a_trust_file_it_was_not_checked(folder, capsys):
    found = show(capsys, "cert.json")

    assert (found["verdict"], found["verifyExitCode"]) == ("NOT CHECKED", 3)
    (folder / "trust.toml").write_text(render_trust(WORLD.trust))
    assert show(capsys, "cert.json")["standing"] == "valid"


def test_without_a_trust_file_what_is_plainly_invalid_is_invalid(folder, capsys):
    tampered = make_world(
        before_signing=lambda s: s.model_copy(
            update={"predicate": s.predicate.model_copy(update={"claims": ()})}
        )
    )
    (folder / "bad.json").write_bytes(tampered.data)

    assert show(capsys, "bad.json")["verdict"] == "INVALID"


def test_without_the_receipt_nobody_and_no_record_is_named(folder, capsys):
    found = json.dumps(show(capsys, "cert.json", "--trust", "mine.toml"))

    assert not [item.record for item in ITEMS if f'"{item.record}"' in found]
    assert f"id {SUBJECT}" not in found
    assert "this page does not name them" in found


def test_with_the_receipt_it_lists_what_was_erased(folder, capsys):
    found = show(capsys, "cert.json", "--trust", "mine.toml", "--receipt", "receipt.json")

    assert found["verdict"] == "VALID"
    (erased,) = [one for one in found["sections"] if one["id"] == "erased"]
    (point,) = erased["listings"][0]["points"]
    assert point["lead"] == "audio"
    assert point["text"].split(", ") == sorted(item.record for item in ITEMS)
    assert f"the person with the id {SUBJECT}" in json.dumps(found)


def test_the_receipt_of_another_certificate_is_refused(folder, capsys):
    other = WORLD.receipt.model_copy(update={"certificate_id": "01KRTWXDG0DEFGHJKMNPQRSTVX"})
    (folder / "other.json").write_bytes(other.to_bytes())

    assert invoke(["certificate", "show", "cert.json", "--receipt", "other.json", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "receipt.other"


def refusal(capsys, *arguments: str) -> dict:
    assert invoke(["certificate", "show", *arguments, "--json"]) == 1
    return json.loads(capsys.readouterr().out)["error"]


def test_a_receipt_at_fault_says_nothing_against_the_certificate(folder, capsys):
    forged = WORLD.receipt.model_copy(update={"subject": "Mallory"})
    contents = {
        "forged.json": (forged.to_bytes(), "receipt.subject"),
        "cut.json": (WORLD.receipt.to_bytes()[:-9], "json.syntax"),
        "other.json": (WORLD.data, "receipt.schema"),
    }
    for name, (content, code) in contents.items():
        (folder / name).write_bytes(content)
        found = refusal(capsys, "cert.json", "--trust", "mine.toml", "--receipt", name)
        assert found["code"] == code
        assert found["message"].startswith(f"{name}: ")
        assert "receipt" in found["message"] + found["hint"]
        assert "Mallory" not in json.dumps(found)
        assert "INVALID" not in json.dumps(found)


def test_an_invalid_certificate_stays_invalid_beside_a_receipt_at_fault(folder, capsys):
    late = make_world(logged_after=date(2026, 9, 1) - date(2026, 5, 17))
    forged = late.receipt.model_copy(update={"subject": "Mallory"})
    (folder / "bad.json").write_bytes(late.data)
    (folder / "bad.toml").write_text(render_trust(late.trust))
    (folder / "forged.json").write_bytes(forged.to_bytes())

    found = show(capsys, "bad.json", "--trust", "bad.toml", "--receipt", "forged.json")
    assert found["verdict"] == "INVALID"
    assert "Mallory" not in json.dumps(found)


def test_an_altered_file_is_first_of_all_altered(folder, capsys):
    """Its numbers fail too; but they are nobody's, and the page must not argue with them."""
    bundle = json.loads(WORLD.data)
    payload = json.loads(base64.b64decode(bundle["envelope"]["payload"]))
    payload["predicate"]["guarantee"]["epsilon"] = "0.01"
    bundle["envelope"]["payload"] = base64.b64encode(dumps(payload)).decode()
    (folder / "altered.json").write_bytes(dumps(bundle))

    found = show(capsys, "altered.json", "--trust", "mine.toml")
    assert found["reason"].endswith("(sig.invalid)")
    (here,) = [one for one in found["sections"] if one["id"] == "here"]
    failed = [point["text"] for point in here["listings"][0]["points"]]
    assert failed[0] == found["reason"]
    assert any(text.endswith("(claim.epsilon)") for text in failed)


def test_what_is_no_certificate_is_named(folder, capsys):
    """People mix up the files that they were handed."""
    keys = b'{"schema":"urn:mbd:cli:key-export:v1"}'
    contents = {
        "receipt.json": (WORLD.receipt.to_bytes(), "a receipt"),
        "keys.json": (keys, "keys"),
        "lines.json": (WORLD.data + b"\n", "line ends"),
    }
    for name, (content, words_of_it) in contents.items():
        (folder / name).write_bytes(content)
        found = refusal(capsys, name)
        assert found["message"].startswith(f"{name}: ")
        assert words_of_it in found["message"]


@pytest.mark.parametrize(
    ("content", "code"), [(None, 2), (b"{}", 1), (WORLD.data[:-1], 1), (b"\xff" * 9, 1)]
)
def test_what_cannot_be_read_is_an_error_and_no_page(folder, content, code):
    if content is not None:
        (folder / "broken.json").write_bytes(content)

    assert invoke(["certificate", "show", "broken.json", "--html", "page.html"]) == code
    assert not (folder / "page.html").exists()


def test_the_page_is_written_whole_and_replaces_nothing(folder, capsys):
    arguments = ["certificate", "show", "cert.json", "--trust", "mine.toml", "--html"]

    assert invoke([*arguments, "page.html"]) == 0
    assert capsys.readouterr().out == "VALID: page.html\n"
    written = (folder / "page.html").read_text()
    assert written.startswith("<!doctype html>")
    assert invoke([*arguments, "page.html"]) == 6
    assert invoke([*arguments, "cert.json"]) == 6
    assert (folder / "cert.json").read_bytes() == WORLD.data
    capsys.readouterr()
    assert invoke([*arguments, "-"]) == 0
    assert capsys.readouterr().out == written


def test_a_page_that_names_a_person_is_for_its_owner_alone(folder):
    arguments = ["--receipt", "receipt.json", "--html", "page.html"]

    assert invoke(["certificate", "show", "cert.json", *arguments]) == 0
    assert stat.S_IMODE((folder / "page.html").stat().st_mode) == 0o600


def test_it_is_shown_without_torch_or_a_database(folder):
    program = (
        "import sys; from mbd.cli.main import invoke; invoke(['certificate', 'show', 'cert.json'])"
        "; print(sorted({'torch', 'scipy', 'numpy', 'sqlalchemy'} & set(sys.modules)))"
    )
    import sys

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


# In a real browser


def _browser(folder: Path, *arguments: str) -> str:
    """What the browser says of itself, e.g. about scripts and styles that it refused."""
    flags = (
        "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --enable-logging=stderr --no-pdf-header-footer"
    )
    profile = f"--user-data-dir={folder / 'profile'}"
    done = subprocess.run(
        [str(CHROMIUM), *flags.split(), profile, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stderr


def _printed(folder: Path, page: Page, size: str) -> tuple[int, str]:
    """How many sheets a page takes, and what the browser complained about."""
    source = page_html(page).replace("@page {", f"@page {{ size: {size};", 1)
    (folder / "page.html").write_text(source)
    out, address = folder / "page.pdf", (folder / "page.html").as_uri()
    log = _browser(folder, f"--print-to-pdf={out}", address)
    return len(re.findall(rb"/Type\s*/Page\b", out.read_bytes())), log


in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here to print with")


@in_a_browser
@pytest.mark.parametrize("size", ["A4", "letter"])
@pytest.mark.parametrize("standing", ["valid", "undecided"])
def test_it_prints_on_two_sheets(tmp_path, size, standing):
    """Late, with every caution, a long reason and a receipt."""
    reason = "" if standing == "valid" else "no key in the trust file signed this " * 4
    late = make_world(due_by=date(2026, 5, 15), issuer="urn:mbd:workspace:" + CERTIFICATE_ID)
    keys = (*finding().keys, Key("log", "mbd.local/" + CERTIFICATE_ID, "abcd " * 15 + "abcd"))
    page = page_of(late, standing, WORLD.receipt, trust="own", reason=reason, keys=keys)

    sheets, log = _printed(tmp_path, page, size)
    assert sheets == 2
    assert "CONSOLE" not in log


@in_a_browser
def test_hostile_text_makes_a_browser_load_and_run_nothing(tmp_path):
    _, log = _printed(tmp_path, hostile_page(), "A4")
    assert "CONSOLE" not in log

    (tmp_path / "run.html").write_text(
        page_html(page_of()).replace("<main>", "<main><script>alert(1)</script>")
    )
    refused = _browser(
        tmp_path, f"--print-to-pdf={tmp_path / 'run.pdf'}", (tmp_path / "run.html").as_uri()
    )
    assert "CONSOLE" in refused  # it would have been seen, and the page's own policy refuses it
