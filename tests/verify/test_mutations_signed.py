"""What a trusted issuer can sign and log, and still not get past the rules and the arithmetic.

Every member of a good statement is bent as in `test_mutations`, and then signed by the trusted
issuer and logged by the trusted log, so that no signature protects anybody. What is accepted must
be in `CHOICES`: the table is the list of what an issuer asserts and nobody can check from the
bundle alone.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import pytest

from mbd.canonical.json import dumps
from mbd.canonical.numbers import to_decimal
from mbd.certificate.scope import OUT_OF_SCOPE
from mbd.privacy.accountant import account, sensitivity_of
from mbd.values import HeadParameters
from tests.certificate.samples import altered
from tests.verify.kinds import STATEMENTS, Good, donors, good
from tests.verify.mutations import Edit, edits, plain, read

SAMPLE = 11

Rule = Callable[[Any, dict[str, Any]], bool]
"""Whether an issuer may say this, in a statement with this predicate."""


@dataclass(frozen=True)
class Choice:
    """A member that an issuer is free to choose."""

    words: str
    may_be: Rule


def _digest(new: Any, predicate: dict[str, Any]) -> bool:
    return isinstance(new, str) and re.fullmatch(r"[0-9a-f]{64}", new, re.ASCII) is not None


def _one_line(new: Any, predicate: dict[str, Any]) -> bool:
    return isinstance(new, str) and 0 < len(new) <= 2000 and new.isprintable() and "/" not in new


def _in_order(new: Any, predicate: dict[str, Any]) -> bool:
    request, issued = predicate["request"], predicate["issuedAt"]
    days = [request["receivedOn"], request["completedOn"], issued[:10]]
    return (
        days == sorted(days)
        and request["dueBy"] >= request["receivedOn"]
        and all(re.fullmatch(r"20\d\d-\d\d-\d\d", day, re.ASCII) for day in days)
    )


def _of_this_minute(new: Any, predicate: dict[str, Any]) -> bool:
    """Id and time of issuing are made together; the id's first characters are its time."""
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    number = 0
    for letter in predicate["certificateId"][:10]:
        number = number * 32 + alphabet.index(letter)
    noon = 1779019200  # 2026-05-17T12:00:00Z in seconds since 1970
    clock = re.fullmatch(r"2026-05-17T(\d\d):(\d\d):(\d\d)Z", predicate["issuedAt"], re.ASCII)
    if clock is None or len(predicate["certificateId"]) != 26:
        return False
    hours, minutes, seconds = map(int, clock.groups())
    issued = noon + (hours - 12) * 3600 + minutes * 60 + seconds
    return abs(number / 1000 - issued) <= 60


def _costs_no_more_than_stated(new: Any, predicate: dict[str, Any]) -> bool:
    """The arithmetic once more, in plain floats, to one part in a million."""
    stated = predicate["guarantee"]
    rho = 0.0
    for head in stated["parameters"]:
        names = ("strongConvexity", "tolerance", "sensitivity", "sigma", "grid")
        convexity, tolerance, sensitivity, sigma, grid = (float(head[name]) for name in names)
        steps = sigma / grid
        if math.frexp(grid)[0] != 0.5 or not (math.isinf(steps) or steps == int(steps) > 0):
            return False
        if min(head["dimension"], head["outputs"]) < 1:
            return False
        if 2 * tolerance / convexity > sensitivity * (1 + 1e-6):
            return False
        rho += (sensitivity / sigma) ** 2 / 2
    rho *= stated["attempts"]
    delta = float(stated["delta"])
    enough = 1 + 1e-6
    return (
        0 < delta <= 0.01
        and rho <= float(stated["rho"]) * enough
        and plain_epsilon(rho, delta) <= float(stated["epsilon"]) * enough
    )


def plain_epsilon(rho: float, delta: float) -> float:
    """Canonne, Kamath, Steinke 2020, corollary 13, at the best of many orders."""

    def at(order: float) -> float:
        rest = math.log(1 / delta) - math.log(order)
        return rho * order + rest / (order - 1) + math.log1p(-1 / order)

    coarse = min((1 + math.exp(step / 50) for step in range(-400, 4000)), key=at)
    fine = (1 + (coarse - 1) * math.exp(step / 20000) for step in range(-400, 401))
    return max(0.0, min(map(at, fine)))


def _before_the_entry(new: Any, predicate: dict[str, Any]) -> bool:
    return 0 <= predicate["guarantee"]["policyEntry"]["index"] < predicate["ledger"]["size"] <= 3


def _not_shown_by_the_proof(new: Any, predicate: dict[str, Any]) -> bool:
    """The proof of entry 3 gives away the roots of sizes 0, 2 and 3, and not that of size 1."""
    return bool(new == 1)


def _older(new: Any, predicate: dict[str, Any]) -> bool:
    return new is None or (
        isinstance(new, str)
        and re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", new, re.ASCII) is not None
        and new < predicate["certificateId"]
    )


def _labels(new: Any, predicate: dict[str, Any]) -> bool:
    reasons = {row["what"]: row["reason"] for row in predicate["deletion"]["outOfScope"]}
    return list(reasons) == list(OUT_OF_SCOPE) and all(
        reason in OUT_OF_SCOPE[what].values() for what, reason in reasons.items()
    )


def _nothing_follows_from_it(new: Any, predicate: dict[str, Any]) -> bool:
    """No head was selected, or all were: then the heads do not show which channel it was."""
    guarantee = predicate["guarantee"]
    names = predicate["deletion"]["modalities"]
    read_by_a_head = {name for head in guarantee["heads"] for name in head.split("+")}
    selected = guarantee["selectedHeads"]
    free = guarantee["class"] == "exact" and selected in ([], guarantee["heads"])
    return free and names == sorted(set(names)) != [] and set(names) <= read_by_a_head


def _any_count(new: Any, predicate: dict[str, Any]) -> bool:
    return predicate["guarantee"]["class"] == "empirical" and type(new) is int and new >= 0


_COMMITTED = Choice("hides a digest; only the salt, in the receipt, opens it", _digest)
_DAY = Choice("the issuer's calendar, as long as the days are in order", _in_order)
_CONSTANT = Choice(
    "a constant of the run, as long as the loss does not exceed what is stated; the policy, which "
    "the model holds, has it too (check 19)",
    _costs_no_more_than_stated,
)
_BOUND = Choice("an upper bound: it may be larger", _costs_no_more_than_stated)
_MOMENT = Choice("of one minute, and within the log's time", _of_this_minute)
_CHANNEL = Choice("which channel it was, where no head tells", _nothing_follows_from_it)

CHOICES: dict[str, Choice] = {
    "predicate.certificateId": _MOMENT,
    "predicate.issuedAt": _MOMENT,
    "predicate.salt": Choice("random", _digest),
    "predicate.subjectCommitment": Choice("whom it is about; the receipt opens it", _digest),
    "predicate.supersedes": Choice("any older certificate, or none", _older),
    "predicate.request.receivedOn": _DAY,
    "predicate.request.completedOn": _DAY,
    "predicate.request.dueBy": _DAY,
    "predicate.request.basis": Choice("one plain line in the issuer's own words", _one_line),
    "predicate.deletion.commitments.datasetBefore": _COMMITTED,
    "predicate.deletion.commitments.datasetAfter": _COMMITTED,
    "predicate.deletion.commitments.stateAfter": _COMMITTED,
    "predicate.deletion.commitments.deletedSet": _COMMITTED,
    "predicate.deletion.modalities.*": _CHANNEL,
    "predicate.deletion.outOfScope.*.reason": Choice(
        "whether labels were declared as derived; the policy says it too (check 19)", _labels
    ),
    "predicate.guarantee.policyEntry.index": Choice(
        "where the policy was logged; its digest is checked", _before_the_entry
    ),
    "predicate.guarantee.policyEntry.leafHash": Choice(
        "what its leaf hashed to; its digest is checked", _digest
    ),
    "predicate.guarantee.parameters.*.dimension": _CONSTANT,
    "predicate.guarantee.parameters.*.outputs": _CONSTANT,
    "predicate.guarantee.parameters.*.strongConvexity": _CONSTANT,
    "predicate.guarantee.parameters.*.tolerance": Choice(
        "how near its optimum a head was before its noise, which no file shows; only the retained "
        "data bounds it (check 21)",
        _costs_no_more_than_stated,
    ),
    "predicate.guarantee.parameters.*.sigma": _CONSTANT,
    "predicate.guarantee.parameters.*.grid": _CONSTANT,
    "predicate.guarantee.rho": _BOUND,
    "predicate.guarantee.epsilon": _BOUND,
    "predicate.guarantee.delta": _BOUND,
    "predicate.guarantee.attempts": Choice("without a stated loss, any count", _any_count),
    "predicate.ledger.size": Choice(
        "an earlier size whose root the proof does not show", _not_shown_by_the_proof
    ),
}
"""Place -> what an issuer may say there. Everything else has one value that is accepted."""


def accepted(found: Good, step: int = 1) -> Iterator[Edit]:
    """The edits, or a sample of them, that the verifier takes; none may end in another way."""
    others = [payload for payload in donors() if payload != found.payload]
    for number, edit in enumerate(edits(found.payload, others)):
        if number % step:
            continue
        report = found.judge(found.signed_anew(edit.text.encode()))
        assert report.exit_code in (0, 1, 3), (edit.place, edit.words)
        if report.exit_code == 0:
            yield edit


def differences(old: Any, new: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Where two statements differ: every value, with dots and `*`; None for what is gone."""
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        for key in old:
            yield from differences(old[key], new[key], f"{place}.{key}" if place else key)
    elif isinstance(old, list) and isinstance(new, list):
        for one, other in zip_longest(old, new):
            yield from differences(one, other, f"{place}.*")
    elif old != new:
        yield place, new


def choices_in(found: Good, edit: Edit) -> set[str]:
    """The lines of the table that explain why an edit was accepted; fails if there is none.

    The spelling of what an issuer signs is its own, and it may say what another statement says.
    """
    content = plain(read(edit.text))
    if content in [json.loads(payload) for payload in (found.payload, *donors())]:
        return set()
    changed = dict(differences(json.loads(found.payload), content))
    for place, new in changed.items():
        assert place in CHOICES, (place, edit.words, new)
        assert CHOICES[place].may_be(new, content["predicate"]), (place, edit.words, new)
    return set(changed)


@pytest.mark.parametrize("kind", STATEMENTS)
def test_some_of_what_an_issuer_signs_is_accepted_only_if_it_may_say_so(kind):
    for edit in accepted(good(kind), SAMPLE):
        choices_in(good(kind), edit)


@pytest.mark.slow
def test_all_that_an_issuer_signs_is_accepted_only_if_it_may_say_so():
    """And every line of the table is needed."""
    used = {
        place
        for kind in STATEMENTS
        for edit in accepted(good(kind))
        for place in choices_in(good(kind), edit)
    }
    assert used == set(CHOICES)


# --- several members at once ---------------------------------------------------------------


def judged(kind: str, **members: Any) -> int:
    """The exit code of a statement with other members (dots written as `__`), signed anew."""
    content = json.loads(good(kind).payload)
    for path, value in members.items():
        content = altered(content, path.replace("__", "."), value)
    return good(kind).judge(good(kind).signed_anew(dumps(content))).exit_code


def test_a_second_attempt_costs_as_much_again():
    content = json.loads(good("certified").payload)
    twice = account([_head(one) for one in content["predicate"]["guarantee"]["parameters"]],
                    1e-6, attempts=2)  # fmt: skip

    assert judged("certified", predicate__guarantee__attempts=2) == 1
    assert judged(
        "certified",
        predicate__guarantee__attempts=2,
        predicate__guarantee__rho=to_decimal(twice.rho),
        predicate__guarantee__epsilon=to_decimal(twice.epsilon),
    ) == 0  # fmt: skip


def _head(stated: dict[str, Any]) -> HeadParameters:
    return HeadParameters(
        head=stated["head"],
        dimension=stated["dimension"],
        outputs=stated["outputs"],
        strong_convexity=float(stated["strongConvexity"]),
        tolerance=float(stated["tolerance"]),
        sensitivity=float(stated["sensitivity"]),
        sigma=float(stated["sigma"]),
        grid=float(stated["grid"]),
    )


def test_a_sensitivity_goes_with_its_tolerance():
    where = "predicate__guarantee__parameters__0__"
    half = to_decimal(sensitivity_of(2.0**-21, 0.25))

    assert judged("certified", **{where + "sensitivity": half}) == 1
    assert judged("certified", **{where + "sensitivity": half, where + "tolerance": to_decimal(2.0**-21)}) == 0  # fmt: skip # noqa: E501


@pytest.mark.parametrize(
    "basis",
    ["this certifies it", "guaranteed", "a proof", "it was proven", "PROVED",
     "\uff43\uff45\uff52\uff54\uff49\uff46\uff49\uff45\uff44", "gu\u0301aranteed",
     "ce\u0301rtified", "guarant\u00e9ed", "g\U0001d42earanteed",
     "\u0441\u0435rt\u0456fied", "gu\u03b1r\u03b1nteed", "\u0440r\u03bf\u03bff", "pro\u03bdes",
     "\u0441\u0435\u0433\u0442\u0456\u0192\u0443", "\u0261\u03c5\u03b1\u0433\u03b1\u03b7\u03c4ee",
     "\u0421ERTIFIED", "c\u200bertified", "guar\u00adanteed", "\u0450 c\u0450rtified"],
)  # fmt: skip
def test_an_empirical_certificate_promises_nothing_in_any_script(basis):
    assert judged("empirical", predicate__request__basis=basis) == 1


@pytest.mark.parametrize(
    "basis",
    [
        "запрос, проведено",
        "αίτηση, προφορικά",
        "договор и/или запрос",
    ],
)
def test_plain_words_of_other_alphabets_are_no_promise(basis):
    """A request, carried out; a request by word of mouth; contract and/or request."""
    assert judged("empirical", predicate__request__basis=basis) == 0


@pytest.mark.parametrize(
    "basis",
    ["/home/anna/x", "\uff0fhome/anna", "see http\u200b://x", "https://x.example", "C:\\data",
     "\uff43\uff1a\uff3cdata"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["certified", "exact", "empirical"])
def test_no_place_is_named_in_any_script(kind, basis):
    assert judged(kind, predicate__request__basis=basis) == 1


@pytest.mark.parametrize("word", ["\u2028", "\u202e", "\u200b", "\n", "\x1b[2J", "\x85", "\u00ad"])
@pytest.mark.parametrize("place", ["predicate__request__basis", "predicate__issuer"])
def test_nothing_that_a_terminal_acts_on_or_hides_is_accepted(place, word):
    assert judged("certified", **{place: f"a{word}b"}) == 1


def test_heads_are_left_out_only_together_with_their_files():
    """Another model may have fewer heads; then its digest, heads and parameters all say so."""
    content = json.loads(good("certified").payload)
    guarantee = content["predicate"]["guarantee"]
    fewer = {**guarantee, "heads": guarantee["heads"][1:]}
    assert judged("certified", predicate__guarantee=fewer) == 1
    fewer = {
        **guarantee,
        "selectedHeads": guarantee["selectedHeads"][1:],
        "parameters": guarantee["parameters"][1:],
    }
    assert judged("certified", predicate__guarantee=fewer) == 1
