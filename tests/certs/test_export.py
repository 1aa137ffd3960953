"""Certificates leave for tools of others: DSSE, and Sigstore bundles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey
from sigstore_models.bundle.v1 import Bundle

from mbd.certificate.bundle import parse_bundle
from mbd.certificate.sigstore import sigstore_bundle
from mbd.cli.main import invoke
from mbd.errors import NotFoundError, UsageError
from mbd.signing.dsse import pae
from mbd.signing.public import PublicKey
from mbd.verify.trust import load_trust
from tests.certs.places import EXAMPLES

KEYS = {one.key.key_id: one.key for one in load_trust(EXAMPLES / "trust.toml").issuers}
VALID = sorted((EXAMPLES / "valid").glob("*.json"))
CERTIFIED, TWO = EXAMPLES / "valid/certified.json", EXAMPLES / "valid/two-keys.json"


def names(path: Path) -> str:
    return path.stem


def other_key(key: PublicKey) -> SSlibKey:
    """The same key as securesystemslib knows it."""
    if key.algorithm == "ed25519":
        return SSlibKey(key.key_id, "ed25519", "ed25519", {"public": key.raw.hex()})
    return SSlibKey(key.key_id, "ecdsa", "ecdsa-sha2-nistp256", {"public": key.pem})


@pytest.mark.parametrize("path", VALID, ids=names)
def test_another_implementation_of_dsse_accepts_every_valid_example(path):
    envelope = Envelope.from_dict(json.loads(path.read_bytes())["envelope"])
    signers = [other_key(KEYS[one]) for one in envelope.signatures if one in KEYS]

    assert signers
    assert list(envelope.verify(signers, len(signers))) == [one.keyid for one in signers]


def test_it_refuses_what_we_refuse():
    path = EXAMPLES / "refused/statement-changed-after-signing.json"
    envelope = Envelope.from_dict(json.loads(path.read_bytes())["envelope"])

    with pytest.raises(VerificationError):
        envelope.verify([other_key(key) for key in KEYS.values()], 1)


def check_signature(bundle: Bundle) -> None:
    """As a reader of Sigstore bundles does who has our public key."""
    envelope = bundle.dsse_envelope
    (signature,) = envelope.signatures
    message = pae(envelope.payload_type, envelope.payload)
    key = load_der_public_key(KEYS[bundle.verification_material.public_key.hint].der)
    ecdsa = [] if hasattr(key, "public_bytes_raw") else [ECDSA(SHA256())]
    key.verify(signature.sig, message, *ecdsa)


@pytest.mark.parametrize("path", VALID, ids=names)
def test_sigstores_own_model_reads_the_export_and_its_signature_holds(path, tmp_path):
    signed = [one.key_id for one in parse_bundle(path.read_bytes()).envelope.signatures]
    for key_id in (one for one in signed if one in KEYS):
        out = tmp_path / f"{key_id}.sigstore.json"
        line = ["export", str(path), "--sigstore-bundle", "--key", key_id[:12], "-o", str(out)]

        assert invoke(line) == 0
        bundle = Bundle.from_json(out.read_bytes())
        assert bundle.verification_material.tlog_entries == []
        assert bundle.verification_material.public_key.hint == key_id
        check_signature(bundle)


def test_the_export_is_shown_where_no_file_is_named(capsys):
    assert invoke(["export", str(CERTIFIED), "--sigstore-bundle"]) == 0

    shown = capsys.readouterr()
    check_signature(Bundle.from_json(shown.out))
    assert "Rekor" in shown.err


def test_as_json_the_export_is_a_member(capsys):
    assert invoke(["export", str(CERTIFIED), "--sigstore-bundle", "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "urn:mbd:cli:export:v1"
    check_signature(Bundle.from_json(json.dumps(document["bundle"])))


def test_one_of_two_signatures_has_to_be_chosen(capsys):
    assert invoke(["export", str(TWO), "--sigstore-bundle"]) == 2
    told = capsys.readouterr().err

    assert "--key" in told
    assert all(key_id in told for key_id in parse_keys(TWO))


def parse_keys(path: Path) -> list[str]:
    return [one.key_id for one in parse_bundle(path.read_bytes()).envelope.signatures]


def test_a_key_that_did_not_sign_or_says_too_little_is_refused():
    envelope = parse_bundle(TWO.read_bytes()).envelope

    with pytest.raises(NotFoundError):
        sigstore_bundle(envelope, "0" * 64)
    with pytest.raises(UsageError):
        sigstore_bundle(envelope, parse_keys(TWO)[0][:7])


def test_the_form_is_named_and_only_certificates_are_exported(tmp_path, capsys):
    (tmp_path / "other.json").write_bytes(b"{}")

    assert invoke(["export", str(CERTIFIED)]) == 2
    assert "--sigstore-bundle" in capsys.readouterr().err
    assert invoke(["export", str(tmp_path / "other.json"), "--sigstore-bundle"]) == 1
    assert invoke(["export", str(tmp_path / "none.json"), "--sigstore-bundle"]) == 2
