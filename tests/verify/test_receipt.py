"""A receipt proves what was erased, item by item; an excerpt shows one and hides the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mbd.canonical.json import dumps
from mbd.certificate.receipt import excerpt, parse_receipt
from mbd.errors import DataError, NotFoundError
from mbd.verify.report import Report
from mbd.verify.run import verify_bundle
from mbd.verify.summary import summary
from tests.certificate.samples import ITEMS, NOW, altered
from tests.verify.world import make_world

WORLD = make_world()
RECEIPT = WORLD.receipt
CONTENT: dict[str, Any] = json.loads(RECEIPT.to_bytes())


def judge(receipt: bytes) -> Report:
    return verify_bundle(WORLD.data, WORLD.trust, receipt=receipt, require="SUBJECT", now=NOW)


def refusal(receipt: bytes) -> str:
    return next(check.code for check in judge(receipt).checks if check.number == 20)


def test_every_item_is_proved_by_the_whole_and_by_its_excerpt():
    assert judge(RECEIPT.to_bytes()).exit_code == 0
    for item in ITEMS:
        one = excerpt(RECEIPT, item.record, item.modality)
        report = judge(one.to_bytes())
        assert report.exit_code == 0
        assert "1 erased item proved (an excerpt)" in report.checks[19].reason
        assert parse_receipt(one.to_bytes()) == one


def test_an_excerpt_shows_nothing_of_the_other_items():
    shown = excerpt(RECEIPT, "r1", "audio").to_bytes().decode()

    for item in ITEMS:
        for secret in (item.record, item.features, item.salt):
            assert (secret in shown) == (item.record == "r1")
    for kind in ("datasetBefore", "datasetAfter", "stateAfter"):
        assert CONTENT["openings"][kind]["salt"] not in shown
    assert json.loads(shown)["traces"] is None
    with pytest.raises(NotFoundError):
        excerpt(RECEIPT, "r1", "text")


@pytest.mark.parametrize("field", ["record", "cohort", "split", "label", "steps", "features",
                                   "salt", "index", "proof"])  # fmt: skip
def test_an_item_altered_anywhere_was_not_in_the_deleted_set(field):
    old = CONTENT["items"][0][field]
    new = {"steps": 77, "index": 4, "proof": old[::-1] if field == "proof" else None}.get(
        field, "0" * 64 if field in ("features", "salt") else "other"
    )
    path = f"items.0.{field}"
    one = json.loads(excerpt(RECEIPT, CONTENT["items"][0]["record"], "audio").to_bytes())

    assert refusal(dumps(altered(one, path, new))) == "receipt.item"
    assert refusal(dumps(altered(CONTENT, path, new))) in ("receipt.item", "receipt.items")


def test_each_hash_of_each_proof_counts():
    for number, item in enumerate(CONTENT["items"]):
        for step in range(len(item["proof"])):
            wrong = altered(CONTENT, f"items.{number}.proof.{step}", "0" * 64)
            assert refusal(dumps(wrong)) == "receipt.item"


def test_items_of_another_channel_subject_or_size_are_refused():
    assert refusal(dumps(altered(CONTENT, "items.0.modality", "text"))) == "receipt.items"
    assert refusal(dumps(altered(CONTENT, "items.0", CONTENT["items"][1]))) == "receipt.items"
    assert refusal(dumps({**CONTENT, "subject": "43"})) == "receipt.subject"
    one = json.loads(excerpt(RECEIPT, "r1", "audio").to_bytes())
    assert refusal(dumps({**one, "treeSize": 1})) == "receipt.item"


@pytest.mark.parametrize(
    "change",
    [
        {"items": []},
        {"items": [], "treeSize": 0, "traces": None},
        {"traces": None},
        {"treeSize": 4},
        {"receipt": "urn:mbd:receipt-excerpt:v1"},
        {"openings": {**CONTENT["openings"], "datasetBefore": None}},
    ],
)
def test_a_receipt_is_whole_or_says_that_it_is_an_excerpt(change):
    with pytest.raises(DataError):
        parse_receipt(dumps({**CONTENT, **change}))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (WORLD.data, "this is a certificate"),
        (b'{"schema":"urn:mbd:cli:key-export:v1"}', "this is an export of keys"),
        (b"", "the file is empty"),
        (RECEIPT.to_bytes()[:-5], "--receipt: "),
        (b'{"escrow":"urn:mbd:escrow:v1"}', "this is an escrow: give it with --escrow"),
    ],
)
def test_what_is_no_receipt_says_nothing_against_the_certificate(given, words):
    """The mistake is the auditor's: a good certificate is not invalid for it, and not valid."""
    report = judge(given)

    found = report.checks[19]
    assert (found.code, found.result, report.exit_code) == ("receipt.schema", "skipped", 3)
    assert found.reason.startswith("--receipt: ")
    assert words in found.reason


def test_a_receipt_that_does_not_open_is_named_as_the_fault():
    """Anyone can forge one of a good certificate."""
    last = summary(judge(dumps({**CONTENT, "subject": "43"}))).splitlines()[-1]

    assert last.startswith("INVALID: receipt.subject: the receipt and the certificate do not")
    assert "says nothing against the certificate by itself; level LOGGED" in last


def test_a_receipt_without_items_opens_no_deleted_set_that_has_some():
    empty = {**CONTENT, "items": [], "treeSize": 0}

    assert refusal(dumps(empty)) == "receipt.items"
