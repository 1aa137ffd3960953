"""The pre-authentication encoding: published vectors, and no two inputs alike."""

from __future__ import annotations

import base64
import json

from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from mbd.signing.dsse import pae
from mbd.signing.public import public_key, verify_signature
from tests.shared import shared_path


def test_pae_equals_the_published_vectors():
    vectors = json.loads(shared_path("vectors/dsse/vectors.json").read_text())

    for case in vectors["pae"]:
        body = base64.b64decode(case["body_b64"])
        assert pae(case["type"], body) == base64.b64decode(case["pae_b64"])


def test_the_envelope_of_the_specification_verifies():
    vector = json.loads(shared_path("vectors/dsse/vectors.json").read_text())["envelope_p256"]
    numbers = ec.EllipticCurvePublicNumbers(
        int(vector["key"]["x"]), int(vector["key"]["y"]), ec.SECP256R1()
    )
    der = numbers.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    raw = base64.b64decode(vector["envelope"]["signatures"][0]["sig"])
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    payload = base64.b64decode(vector["envelope"]["payload"])

    message = pae(vector["envelope"]["payloadType"], payload)

    verify_signature(public_key(der), message, utils.encode_dss_signature(r, s))


@given(st.text(max_size=8), st.binary(max_size=8), st.text(max_size=8), st.binary(max_size=8))
def test_different_inputs_never_encode_alike(kind, body, other_kind, other_body):
    same = (kind, body) == (other_kind, other_body)

    assert (pae(kind, body) == pae(other_kind, other_body)) == same
