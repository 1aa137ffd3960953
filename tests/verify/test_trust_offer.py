"""What an offer does to a trust file: new keys are listed, known ones only get narrower."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mbd.canonical.digest import b64encode
from mbd.errors import ConflictError, MbdError, UsageError
from mbd.ledger.cosignature import COSIGNATURE
from mbd.ledger.note import VerifierKey
from mbd.signing.keys import generate_key
from mbd.verify.trust_offer import NewKey, read_offer, take
from mbd.verify.trust_text import render_trust
from mbd.verify.trusted import TrustedIssuer, TrustedLog, TrustedWitness, TrustPolicy, witness_key
from tests.verify.histories import Witness

NAME, ORIGIN = "Example Clinic", "ledger.example/1"
KEY, OTHER, LOG_KEY = (generate_key().public for _ in range(3))
VKEY = VerifierKey(ORIGIN, LOG_KEY.raw)
LOG = TrustedLog(ORIGIN, VKEY)
ISSUER = TrustedIssuer(NAME, KEY)
POLICY = TrustPolicy((ISSUER,), LOG, max_epsilon=2.0)


def exported(**changes) -> dict:
    """What `mbd key export` prints, changed in its first key."""
    issuer = {
        "role": "issuer",
        "state": "current",
        "keyId": KEY.key_id,
        "algorithm": "ed25519",
        "publicKey": b64encode(KEY.der),
        "validFrom": 0,
        **changes,
    }
    log = {
        "role": "log",
        "state": "current",
        "keyId": LOG_KEY.key_id,
        "algorithm": "ed25519",
        "publicKey": b64encode(LOG_KEY.der),
        "vkey": str(VKEY),
        "validFrom": 1,
    }
    return {
        "schema": "urn:mbd:cli:key-export:v1",
        "issuer": NAME,
        "origin": ORIGIN,
        "keys": [issuer, log],
    }


def encoded(content: dict) -> bytes:
    return json.dumps(content).encode()


def test_the_same_keys_are_read_from_every_form():
    assert read_offer(encoded(exported())) == TrustPolicy((ISSUER,), LOG)
    assert read_offer(render_trust(POLICY).encode()) == POLICY
    assert read_offer(KEY.pem.encode(), name=NAME) == TrustPolicy((ISSUER,))
    assert read_offer(f"{VKEY}\n".encode()) == TrustPolicy(log=LOG)


def test_new_keys_are_listed_and_limits_stay_ones_own():
    second = TrustedIssuer(NAME, OTHER, valid_from=9)
    offer = TrustPolicy((replace(ISSUER, retired_from=10), second), LOG, max_epsilon=99.0)

    addition = take(POLICY, offer)

    assert [one.key for one in addition.new] == [OTHER]
    assert addition.narrowed == (replace(ISSUER, retired_from=10),)
    assert addition.policy == TrustPolicy((*addition.narrowed, second), LOG, max_epsilon=2.0)
    assert [one.role for one in take(TrustPolicy(), offer).new] == ["issuer", "issuer", "log"]


def test_that_a_known_key_began_later_is_to_be_confirmed():
    """It would turn certificates invalid that were good; a key that ends is taken over."""
    ended, later = replace(ISSUER, retired_from=10), replace(ISSUER, valid_from=5)

    assert take(POLICY, TrustPolicy((ended,), LOG)).later == ()
    assert take(POLICY, TrustPolicy((later,), LOG)).later == (NewKey("issuer", NAME, KEY),)
    assert take(TrustPolicy(), TrustPolicy((later,), LOG)).later == ()


def test_an_offer_never_widens_what_is_believed():
    tight = replace(ISSUER, valid_from=5, retired_from=8, distrusted_from=7)
    policy = replace(POLICY, issuers=(tight,))

    addition = take(policy, TrustPolicy((ISSUER,), LOG))

    assert addition.policy == policy
    assert (addition.new, addition.narrowed) == ((), ())


def test_a_known_key_under_another_name_or_another_log_is_a_conflict():
    impostor = TrustPolicy((TrustedIssuer("Somebody Else", KEY),))
    other_log = TrustPolicy(log=TrustedLog(ORIGIN, VerifierKey(ORIGIN, OTHER.raw)))

    for offer in (impostor, other_log):
        with pytest.raises(ConflictError):
            take(POLICY, offer)


LOW = KEY.der[:-32] + bytes(32)


DOUBTFUL = [
    b"",
    b"nonsense",
    b"{}",
    b"\xff\xfe",
    encoded({**exported(), "surprise": 1}),
    encoded({**exported(), "schema": "urn:mbd:cli:key-list:v1"}),
    encoded({**exported(), "keys": []}),
    encoded(exported(keyId=OTHER.key_id)),
    encoded(exported(publicKey=b64encode(LOW))),
    encoded(exported(retiredFrom=-1)),
    encoded(exported(role="witness")),
    encoded(exported(privateKey="x")),
    KEY.pem.encode(),  # of nobody in particular
    str(VKEY)[:-4].encode(),
    str(VerifierKey(ORIGIN, bytes(32))).encode(),
    b"x" * (2 << 20),
]


@pytest.mark.parametrize("data", DOUBTFUL, ids=range(len(DOUBTFUL)))
def test_what_is_no_offer_is_refused(data):
    with pytest.raises(MbdError):
        read_offer(data)


def test_a_private_key_is_no_offer(tmp_path):
    key = generate_key()
    with pytest.raises(MbdError):
        read_offer(key.pem(), name=NAME)


def test_a_witness_is_a_new_key_and_the_quorum_stays_ones_own():
    first, second = (Witness(f"witness.example/{name}") for name in "ab")
    alone = read_offer(f"{first.vkey}\n".encode(), name="Example Watch")
    both = TrustPolicy((ISSUER,), LOG, witnesses=(first.trusted, second.trusted), quorum=1)

    addition = take(POLICY, alone)
    again = take(addition.policy, both)

    assert [(one.role, one.name) for one in addition.new] == [("witness", "Example Watch")]
    assert addition.policy.quorum == 1
    assert [one.name for one in again.new] == [second.trusted.name]
    assert [one.name for one in again.policy.witnesses] == ["Example Watch", second.trusted.name]
    assert again.policy.quorum == 1
    assert take(POLICY, both).policy.quorum == 2  # the first ones are all required
    assert take(again.policy, both).policy == again.policy


@pytest.mark.parametrize("key", [LOG_KEY, KEY], ids=["log", "issuer"])
def test_who_is_watched_is_no_witness(key):
    own = TrustedWitness("w", witness_key(str(VerifierKey("w", key.raw, COSIGNATURE))))

    with pytest.raises(UsageError) as caught:
        take(POLICY, TrustPolicy(witnesses=(own,), quorum=1))

    assert caught.value.code == "trust.witness"
