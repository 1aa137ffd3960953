"""What the log says of keys: events taken together, and bodies that say what they say."""

from __future__ import annotations

import json

import pytest

from mbd.canonical.digest import b64encode
from mbd.errors import DataError, IntegrityError, MbdError, NotFoundError
from mbd.ledger.key_events import EventType, KeyEvent, added, fold, parse_event
from mbd.signing.keys import generate_key
from mbd.signing.public import PublicKey

A, B, C = (generate_key().public for _ in range(3))
P256 = generate_key("ecdsa-p256").public


def ended(
    kind: EventType, key: PublicKey, index: int, successor: PublicKey | None = None
) -> KeyEvent:
    return KeyEvent(
        type=kind,
        role="issuer",
        key_id=key.key_id,
        algorithm=key.algorithm,
        key=key,
        from_index=index,
        successor=None if successor is None else successor.key_id,
    )


@pytest.mark.parametrize(
    "event",
    [
        added("issuer", A, 0),
        added("log", A, 1),
        added("issuer", P256, 7, standby=True),
        ended("key-retire", A, 8, B),
        ended("key-revoke", P256, 0),
    ],
)
def test_an_event_is_read_as_it_was_written(event):
    body = event.body()

    assert parse_event(event.type, 99, body) == event
    stated = json.loads(body)
    assert {"role", "keyId", "algorithm", "publicKey", "from"} <= stated.keys()


def test_the_first_entries_of_old_workspaces_named_the_id_alone():
    body = json.dumps({"algorithm": "ed25519", "keyId": A.key_id, "role": "issuer"}).encode()

    event = parse_event("key-add", 5, body)

    assert (event.key, event.key_id, event.from_index) == (None, A.key_id, 5)
    assert fold([event]).issuer == A.key_id


def test_a_rotation_keeps_the_old_key_for_what_came_before():
    history = fold([added("issuer", A, 0), added("issuer", B, 7), ended("key-retire", A, 8, B)])

    old, new = history.records[A.key_id], history.records[B.key_id]
    assert (old.valid_from, old.retired_from) == (0, 8)
    assert (new.valid_from, new.retired_from) == (7, None)
    assert history.issuer == B.key_id


def test_a_key_that_was_only_announced_does_not_sign_before_it_is_put_in_force():
    announced = [added("issuer", A, 0), added("issuer", B, 3, standby=True)]
    assert fold(announced).issuer == A.key_id

    assert fold([*announced, ended("key-retire", A, 9, B)]).issuer == B.key_id


def test_what_was_once_distrusted_is_never_believed_again():
    events = [added("issuer", A, 0), ended("key-revoke", A, 5), ended("key-revoke", A, 9)]

    assert fold(events).records[A.key_id].distrusted_from == 5


def test_a_key_that_was_never_announced_cannot_end():
    with pytest.raises(IntegrityError):
        fold([added("issuer", A, 0), ended("key-retire", B, 3)])


def altered(**changes) -> bytes:
    content = json.loads(added("issuer", A, 0).body())
    return json.dumps({**content, **changes}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        altered(role="janitor"),
        altered(algorithm="rsa"),
        altered(algorithm="ecdsa-p256"),
        altered(keyId=B.key_id),
        altered(publicKey="AAAA"),
        altered(**{"from": "3"}),
        altered(**{"from": None}),
        altered(**{"from": -1}),
        altered(**{"from": True}),
    ],
)
def test_a_body_that_contradicts_itself_is_refused(body):
    with pytest.raises(MbdError):
        parse_event("key-add", 0, body)


def test_a_key_is_found_by_the_beginning_of_its_id_if_that_is_enough():
    history = fold([added("issuer", A, 0), added("log", B, 1)])

    assert history.find(A.key_id[:8]).key == A
    assert history.find(B.fingerprint.upper()).key == B
    for reference in (A.key_id[:7], "", C.key_id, "zz" * 8):
        with pytest.raises(NotFoundError):
            history.find(reference)


def test_a_low_order_key_is_no_key_even_in_the_log():
    der = A.der[:-32] + bytes(32)
    with pytest.raises(DataError) as refusal:
        parse_event("key-add", 0, altered(publicKey=b64encode(der)))
    assert refusal.value.code == "key.low_order"
