"""Envelopes, bundles and receipts: one spelling, signed as DSSE says, opened by the right key."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope as OtherEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from mbd.canonical import json as json_module
from mbd.canonical.json import dumps
from mbd.certificate.bundle import MAX_BUNDLE_BYTES, Bundle, parse_bundle
from mbd.certificate.envelope import parse_envelope, sign_statement
from mbd.certificate.issue import build_statement, openings
from mbd.certificate.receipt import make_receipt, open_commitments, parse_receipt
from mbd.errors import DataError, IntegrityError, MbdError
from mbd.signing.keys import generate_key
from tests.certificate.samples import (
    CERTIFICATE_ID,
    CONTENTS,
    SUBJECT,
    SUBJECT_KEY,
    altered,
    issuance,
    outcome,
)

KEY = generate_key()
STATEMENT = build_statement(outcome(), issuance())
ENVELOPE = sign_statement(STATEMENT, [KEY])
BUNDLE = Bundle(ENVELOPE, b'{"a":"b"}', "c2sp.org/tlog-proof@v1\n")
DATA = BUNDLE.to_bytes()


def other_key(key):
    return SSlibKey(key.key_id, "ed25519", "ed25519", {"public": key.public.raw.hex()})


def test_another_implementation_of_dsse_accepts_the_envelope():
    other = OtherEnvelope.from_dict(json.loads(DATA)["envelope"])

    accepted = other.verify([other_key(KEY)], 1)

    assert list(accepted) == [KEY.key_id]
    assert other.payload == STATEMENT.to_bytes()


def test_another_implementation_of_dsse_refuses_a_changed_payload():
    content = json.loads(DATA)["envelope"]
    content["payload"] = base64.b64encode(STATEMENT.to_bytes() + b" ").decode()

    with pytest.raises(VerificationError):
        OtherEnvelope.from_dict(content).verify([other_key(KEY)], 1)


def test_a_bundle_reads_back_as_it_was_written():
    assert parse_bundle(DATA) == BUNDLE
    assert parse_bundle(DATA).statement() == STATEMENT


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (DATA + b"\n", "bundle.canonical"),
        (b" " + DATA, "bundle.canonical"),
        (json.dumps(json.loads(DATA), indent=1).encode(), "bundle.canonical"),
        (DATA[:-1] + b',"mediaType":"x"}', "json.duplicate_key"),
        (DATA[:-1] + b',"key":"x"}', "bundle.schema"),
        (DATA[:-1], "json.syntax"),
        (b"", "json.syntax"),
        (b"[]", "bundle.schema"),
        (b"[" * 10_000, "json.depth"),
        (b"[" * 100_000, "json.size"),
        (b"\xff" * 10, "json.utf8"),
        (b"1" * (MAX_BUNDLE_BYTES + 1), "json.size"),
        (DATA.replace(b'"a":"b"', b'"a":NaN'), "json.number"),
        (DATA.replace(b"version=1", b"version=2"), "bundle.schema"),
    ],
)
def test_any_other_spelling_is_refused(data, code):
    with pytest.raises(DataError) as refusal:
        parse_bundle(data)

    assert refusal.value.code == code


@given(st.binary(max_size=200))
def test_nonsense_is_refused_with_our_error(data):
    with pytest.raises(DataError):
        parse_bundle(data)


@pytest.mark.parametrize(
    "change",
    [
        {"signatures": []},
        {"signatures": [{"keyid": KEY.key_id, "sig": "AB=="}]},
        {"signatures": [{"keyid": KEY.key_id, "sig": "AA=="}] * 2},
        {"signatures": [{"sig": "AA=="}]},
        {"payload": "e30"},
        {"payload": "e30=\n"},
        {"payloadType": 1},
        {"publicKey": "x"},
    ],
)
def test_an_envelope_has_one_reading(change):
    with pytest.raises(DataError):
        parse_envelope({**ENVELOPE.to_json(), **change})


def test_a_statement_needs_a_signer_and_takes_each_key_once():
    with pytest.raises(DataError):
        sign_statement(STATEMENT, [])
    with pytest.raises(DataError):
        sign_statement(STATEMENT, [KEY, KEY])
    assert len(sign_statement(STATEMENT, [KEY, generate_key()]).signatures) == 2


def receipt():
    return make_receipt(
        STATEMENT.predicate,
        subject=SUBJECT,
        subject_key=SUBJECT_KEY,
        salts=issuance().salts.named(),
        digests=openings(outcome()),
        **CONTENTS,
    )


def test_a_receipt_opens_its_certificate_and_reads_back():
    assert parse_receipt(receipt().to_bytes()) == receipt()
    open_commitments(receipt(), STATEMENT.predicate)


@pytest.mark.parametrize(
    ("path", "value", "error"),
    [
        ("certificateId", CERTIFICATE_ID[:-1] + "1", DataError),
        ("subject", "43", IntegrityError),
        ("subjectKey", "0" * 64, IntegrityError),
        ("modalities", ["text"], IntegrityError),
        ("openings.datasetBefore.salt", "0" * 64, IntegrityError),
        ("openings.datasetAfter.digest", "0" * 64, IntegrityError),
        ("openings.stateAfter.digest", "0" * 64, IntegrityError),
        ("openings.deletedSet.salt", "0" * 64, IntegrityError),
    ],
)
def test_a_receipt_opens_nothing_else(path, value, error):
    changed = dumps(altered(json.loads(receipt().to_bytes()), path, value))

    with pytest.raises(error):
        open_commitments(parse_receipt(changed), STATEMENT.predicate)


def test_a_receipt_that_would_not_open_is_never_made():
    with pytest.raises(MbdError):
        make_receipt(
            STATEMENT.predicate,
            subject="43",
            subject_key=SUBJECT_KEY,
            salts=issuance().salts.named(),
            digests=openings(outcome()),
            **CONTENTS,
        )


def spliced(start: int, length: int, insert: bytes) -> bytes:
    return DATA[:start] + insert + DATA[start + length :]


PLACES = st.integers(0, len(DATA)) | st.sampled_from(
    [place for place, char in enumerate(DATA) if char in b'{}[]",:']
)


@given(
    st.builds(
        spliced,
        PLACES,
        st.integers(0, 3),
        st.sampled_from([b"", b" ", b'"', b",", b"{", b"\\", b"\\u0041", b"\xc3\xa9", b"1", b"[]"])
        | st.binary(max_size=2),
    )
)
@example(DATA)
@example(DATA[:-1] + b',"tlogProof":"x"}')
@example(DATA.replace(b'"a":"b"', b'"a":-0'))
@example(DATA.replace(b'"a":"b"', b'"a":0'))
@example(DATA.replace(b'"a":"b"', b'"a":[[]]'))
@example(DATA.replace(b'"a":"b"', b'"a":' + b"[" * 9 + b"]" * 9))
@example(DATA.replace(b'"a":"b"', b'"a":"\\ud800"'))
@example(DATA.replace(b'"a":"b"', b'"a":"b","a":"b"'))
def test_the_quick_way_accepts_and_refuses_what_the_strict_way_does(data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_module, "loads_written_back", refuse)
        strict = result_of(data)

    assert result_of(data) == strict


def test_the_quick_way_is_taken(monkeypatch):
    monkeypatch.setattr(json_module, "loads_strict", refuse)

    assert parse_bundle(DATA) == BUNDLE


def refuse(*_, **__):
    raise ValueError


def result_of(data):
    try:
        return parse_bundle(data)
    except DataError as refusal:
        return refusal.code, refusal.message
