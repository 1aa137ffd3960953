"""Promises of notes and checkpoints: only what a known key said is read."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbd.errors import DataError, IntegrityError, MbdError
from mbd.ledger.note import (
    Checkpoint,
    VerifierKey,
    open_checkpoint,
    open_note,
    parse_checkpoint,
    parse_note,
    parse_verifier_key,
    sign_checkpoint,
    sign_note,
)
from tests.ledger.keys import SeededSigner, signer
from tests.shared import shared_path

LOG = signer(1)
HEAD = Checkpoint(LOG.name, 7, bytes(range(32)))


@pytest.fixture(scope="module")
def vectors():
    return json.loads(shared_path("vectors/signed-note/vectors.json").read_text())


def test_signing_matches_the_published_note_byte_for_byte(vectors):
    case = vectors["signing"]
    name, _, seed = case["skey"].removeprefix("PRIVATE+KEY+").split("+", 2)
    key = SeededSigner(name, base64.b64decode(seed)[1:])
    assert str(key.verifier) == case["vkey"]
    assert sign_note(case["text"], key) == case["signed"]


def test_published_keys(vectors):
    good = vectors["signing"]["vkey"]
    assert str(parse_verifier_key(good)) == good
    shorter = [good[i:j] for i in range(len(good)) for j in range(i, len(good) + 1)]
    altered = [good[:i] + chr(ord(good[i]) + 1) + good[i + 1 :] for i in range(len(good))]
    for bad in [*vectors["vkeys_bad"], *(part for part in shorter if part != good), *altered]:
        with pytest.raises(DataError):
            parse_verifier_key(bad)


def test_published_notes_open_or_are_refused_as_they_say(vectors):
    for case in vectors["open"]:
        data = base64.b64decode(case["note_b64"])
        keys = [parse_verifier_key(key) for key in case["vkeys"]]
        if not case["ok"]:
            expected = DataError if case["error"] == "malformed" else IntegrityError
            with pytest.raises(expected):
                open_note(data, keys)
            continue
        opened = open_note(data, keys)
        assert opened.text == case["text"]
        assert [name_and_id(key) for key in opened.signers] == case["verified"]
        if "unverified" in case:
            assert [name_and_id(line) for line in opened.ignored] == case["unverified"]


def name_and_id(named):
    return f"{named.name}+{named.key_id.hex()}"


def test_a_checkpoint_is_read_back():
    note = sign_checkpoint(HEAD, LOG)
    assert open_checkpoint(note, LOG.verifier, LOG.name) == HEAD
    assert open_checkpoint(note.encode(), LOG.verifier, LOG.name) == HEAD


def test_every_altered_byte_of_a_checkpoint_is_refused():
    note = sign_checkpoint(HEAD, LOG).encode()
    for i in range(len(note)):
        altered = note[:i] + bytes([note[i] ^ 1]) + note[i + 1 :]
        with pytest.raises(MbdError):
            open_checkpoint(altered, LOG.verifier, LOG.name)


def test_another_log_or_key_does_not_pass():
    note = sign_checkpoint(HEAD, LOG)
    with pytest.raises(IntegrityError) as refused:
        open_checkpoint(note, signer(2).verifier, LOG.name)
    assert refused.value.code == "note.unknown_key"
    with pytest.raises(IntegrityError) as refused:
        open_checkpoint(note, LOG.verifier, "log.example/other")
    assert refused.value.code == "note.other_log"


def test_a_wrong_signature_of_a_known_key_refuses_the_note_beside_a_good_one():
    good, forged = sign_note("text\n", LOG), sign_note("other\n", signer(2, "b"))
    both = good + forged.rpartition("\n\n")[2]
    assert open_note(both, [LOG.verifier]).text == "text\n"
    with pytest.raises(IntegrityError):
        open_note(both, [LOG.verifier, signer(2, "b").verifier])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n1\n",
        "origin\n01\n" + base64.b64encode(bytes(32)).decode() + "\n",
        "origin\n-1\n" + base64.b64encode(bytes(32)).decode() + "\n",
        "origin\n１\n" + base64.b64encode(bytes(32)).decode() + "\n",
        "origin\n1\n" + base64.b64encode(bytes(31)).decode() + "\n",
        "\n1\n" + base64.b64encode(bytes(32)).decode() + "\n",
        "origin\n1\n" + base64.b64encode(bytes(32)).decode(),
        "origin\n1\n" + base64.b64encode(bytes(32)).decode() + "\n\n",
        "origin\n" + "9" * 30 + "\n" + base64.b64encode(bytes(32)).decode() + "\n",
    ],
)
def test_a_text_that_is_no_checkpoint_is_refused(text):
    with pytest.raises(DataError):
        parse_checkpoint(text)


def test_extension_lines_are_allowed():
    assert parse_checkpoint(HEAD.text + "extension\n") == HEAD


@given(st.binary(max_size=200))
def test_nonsense_is_a_data_error(data):
    with pytest.raises(DataError):
        parse_note(data)


@given(st.text(max_size=100))
def test_nonsense_is_no_key(text):
    with pytest.raises(DataError):
        parse_verifier_key(text)


def test_key_names_and_texts_that_would_be_ambiguous_are_refused():
    for name in ("", "two words", "a+b", "a\u2003b", "a\nb"):
        with pytest.raises(DataError):
            VerifierKey(name, bytes(32))
    for text in ("no newline", "tab\t\n"):
        with pytest.raises(DataError):
            sign_note(text, LOG)


def test_a_lone_surrogate_is_a_data_error():
    with pytest.raises(DataError):
        parse_note("\ud800\n\n— a b\n")
