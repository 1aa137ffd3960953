"""What a verifier is given beside the bundle, bent: receipts and trust files.

A bent receipt opens nothing, but for what `UNBOUND` lists; a bent trust file is refused by name, or
believes the same keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from mbd.certificate.receipt import excerpt, parse_receipt
from mbd.errors import UsageError
from mbd.verify import Report, TrustPolicy, load_trust, render_trust, verify_bundle
from tests.certificate.samples import ITEMS
from tests.verify.mutations import bent_bytes, bent_lines, edits
from tests.verify.world import LATER, make_world

WORLD = make_world()
DATA = WORLD.data
WHOLE = WORLD.receipt
ONE = excerpt(WHOLE, "r1", "audio")
RECEIPTS = {"whole": WHOLE.to_bytes(), "excerpt": ONE.to_bytes()}

UNBOUND = {
    "spelling": "a receipt is read as JSON, not as bytes: nothing is signed or hashed over it",
    "order of items": "each carries its own place in the tree",
    "traces": "fingerprints for a later search by the subject: they prove nothing and are listed "
    "as nothing proved",
    "treeSize of an excerpt": "one path fits trees of several sizes; how many items there were, "
    "only the whole receipt shows",
}
"""What a receipt may have otherwise and still open its certificate."""

SAMPLE = 19


def judge(receipt: bytes) -> Report:
    return verify_bundle(DATA, WORLD.trust, receipt=receipt, require="SUBJECT", now=LATER)


def bound(data: bytes) -> object:
    """A receipt without what is unbound."""
    receipt = parse_receipt(data)
    items = tuple(sorted(receipt.items, key=lambda one: one.index))
    size = receipt.tree_size if receipt.whole else 0
    return receipt.model_copy(update={"items": items, "traces": None, "tree_size": size})


TRUE = [
    bound(one.to_bytes()) for one in (WHOLE, *(excerpt(WHOLE, i.record, "audio") for i in ITEMS))
]
"""The receipt, and the excerpt of each of its items."""


def check(words: str, data: bytes) -> None:
    """What opens is a true receipt, whole or an excerpt, but for what is unbound."""
    report = judge(data)
    subject = report.checks[19]
    assert report.exit_code in (0, 1, 3), words
    assert (report.exit_code == 0) == (subject.result == "pass"), words
    if subject.result == "pass":
        assert bound(data) in TRUE, words


def bent(name: str, step: int) -> Iterator[tuple[str, bytes]]:
    text, other = (RECEIPTS[name].decode(), RECEIPTS["excerpt" if name == "whole" else "whole"])
    others = [other.decode(), make_world().receipt.to_bytes().decode()]
    for number, edit in enumerate(edits(text, others)):
        if number % step == 0:
            yield f"{edit.place}: {edit.words}", edit.text.encode()
    yield from bent_bytes(RECEIPTS[name], seed=2, every=step)


@pytest.mark.parametrize("name", RECEIPTS)
def test_some_bent_receipts_open_nothing(name):
    for words, data in bent(name, SAMPLE):
        check(words, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECEIPTS)
def test_no_bent_receipt_opens_anything(name):
    for words, data in bent(name, 1):
        check(words, data)


def test_an_excerpt_does_not_show_how_many_items_there_were():
    content = json.loads(RECEIPTS["excerpt"])
    sizes = {
        size
        for size in range(1, 20)
        if judge(json.dumps({**content, "treeSize": size}).encode()).exit_code == 0
    }

    assert 5 in sizes
    assert len(sizes) > 1
    assert "(an excerpt)" in judge(RECEIPTS["excerpt"]).checks[19].reason


def test_the_whole_receipt_has_all_items_and_no_other_number_of_them():
    content = json.loads(RECEIPTS["whole"])
    for size in range(20):
        for items in (content["items"], content["items"][:size], content["items"] * 2):
            offered = {**content, "treeSize": size, "items": items[:size]}
            report = judge(json.dumps(offered).encode())
            assert (report.exit_code == 0) == (size == 5), size


# --- trust files ---------------------------------------------------------------------------

TRUST = render_trust(WORLD.trust) + "\n[limits]\nepsilon = 8\ndelta = 1e-5\n"


def load(content: bytes, tmp_path) -> TrustPolicy | None:
    """The policy in a file; None if the file is refused, by its name and with the one code."""
    path = tmp_path / "trust.toml"
    path.write_bytes(content)
    try:
        return load_trust(path)
    except UsageError as error:
        refused = error
    assert str(path) in refused.message
    assert refused.code == "trust.invalid"
    return None


def believed(policy: TrustPolicy) -> object:
    issuers = {(one.name, one.key.der) for one in policy.issuers}
    return issuers, policy.log


def check_trust(words: str, content: bytes, tmp_path) -> None:
    """What is still valid is believed on the word of the same key, for the same name and log."""
    policy = load(content, tmp_path)
    if policy is None:
        return
    report = verify_bundle(DATA, policy, now=LATER)
    assert report.exit_code in (0, 1, 3, 9), words
    if report.exit_code in (0, 9):
        assert believed(policy) == believed(WORLD.trust), words
    true_keys = {one.key.der for one in WORLD.trust.issuers}
    assert {one.key.der for one in policy.issuers} <= true_keys, words


@pytest.mark.parametrize("every", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_every_bent_trust_file_is_refused_or_believes_the_same_keys(every, tmp_path):
    for words, content in bent_bytes(TRUST.encode(), seed=4, every=every):
        check_trust(words, content, tmp_path)
    for words, text in bent_lines(TRUST):
        check_trust(words, text.encode(), tmp_path)


VALUES = ["0", "-1", "-0", "9223372036854775808", "1" * 5000, "1e400", "nan", "inf", "-inf", "true",
          '""', '"x"', "[]", "{}", "[[]]", "1979-05-27", "07:32:00", "0x1", "1.5", "'''a\nb'''",
          "[" * 3000 + "]" * 3000]  # fmt: skip


LINES = {line.split(" = ")[0]: line for line in TRUST.splitlines() if " = " in line}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES.keys())  # keys are new in each run
def test_values_of_any_kind_in_a_trust_file_are_judged(line, tmp_path):
    for value in VALUES:
        content = TRUST.replace(line, f"{line.split(' = ')[0]} = {value}")
        check_trust(value, content.encode(), tmp_path)


@pytest.mark.parametrize("field", ["validFrom", "retiredFrom", "distrustedFrom", "unknown"])
def test_bounds_of_any_kind_in_a_trust_file_are_judged(field, tmp_path):
    for value in [*VALUES, "3", "4"]:
        content = TRUST.replace("[log]", f"{field} = {value}\n\n[log]")
        check_trust(value, content.encode(), tmp_path)


def test_a_key_id_in_capitals_names_nobody(tmp_path):
    key_id = WORLD.issuer.key_id
    assert load(TRUST.replace(key_id, key_id.upper()).encode(), tmp_path) is None
