"""The trust file: what it may say, and that a doubtful one is not believed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mbd.canonical.digest import b64encode, sha256_hex
from mbd.errors import UsageError
from mbd.ledger.note import VerifierKey
from mbd.signing.keys import generate_key
from mbd.verify.trust import load_trust, render_trust
from tests.verify.world import ORIGIN, make_world

WORLD = make_world()
VKEY = VerifierKey(ORIGIN, WORLD.log_signer.public_key)
TEXT = render_trust({"Example Clinic": WORLD.issuer.public}, ORIGIN, VKEY)
LOW = Ed25519PublicKey.from_public_bytes(bytes(32)).public_bytes(
    Encoding.DER, PublicFormat.SubjectPublicKeyInfo
)


def load(tmp_path, text: str):
    path = tmp_path / "trust.toml"
    path.write_text(text, "utf-8")
    return load_trust(path)


def test_what_is_rendered_is_what_is_believed(tmp_path):
    assert load(tmp_path, TEXT) == WORLD.trust


@pytest.mark.parametrize("name", ['a "quoted" name', "back\\slash", "Klinik Ü", "tab\t\x7f\n"])
def test_any_name_survives_the_file(tmp_path, name):
    text = render_trust({name: WORLD.issuer.public}, ORIGIN, VKEY)

    assert load(tmp_path, text).issuers[0].name == name


def test_limits_and_an_end_of_trust_are_read(tmp_path):
    text = TEXT.replace("[log]", "distrustedFrom = 7\n\n[log]")

    policy = load(tmp_path, text + "[limits]\nepsilon = 8\ndelta = 1e-5\n")

    assert (policy.max_epsilon, policy.max_delta) == (8.0, 1e-5)
    assert policy.issuers[0].distrusted_from == 7


def test_the_published_example_is_a_trust_file():
    policy = load_trust(Path(__file__).parents[2] / "certs" / "trust.example.toml")

    assert policy.issuers
    assert policy.log


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not toml",
        TEXT + "\n[surprise]\nx = 1\n",
        TEXT.replace("keyId", "keyID"),
        TEXT.replace(WORLD.issuer.key_id, generate_key().key_id),
        TEXT.replace(b64encode(WORLD.issuer.public.der), "AAAA"),
        TEXT.replace(b64encode(WORLD.issuer.public.der), b64encode(LOW)).replace(
            WORLD.issuer.key_id, sha256_hex(LOW)
        ),
        TEXT.replace(str(VKEY), str(VerifierKey(ORIGIN, bytes(32)))),
        TEXT.replace(str(VKEY), str(VKEY)[:-4]),
        TEXT + "[limits]\nepsilon = 0\n",
        TEXT + "[limits]\nepsilon = nan\n",
        TEXT + "[limits]\ndelta = inf\n",
        TEXT + "[limits]\nepsilon = '8'\n",
        TEXT + "[limits]\nepsilon = " + "9" * 400 + "\n",
        TEXT + "[limits]\nepsilon = " + "9" * 5000 + "\n",
        TEXT + "[limits]\nepsilon = 0x" + "f" * 9000 + "\n",
        TEXT.replace("[log]", "distrustedFrom = " + "9" * 4000 + "\n[log]"),
        "a = " + "[" * 100_000,
        "a = " + "{x=" * 50_000,
        "a = 07:99:99",
        "\x00",
        TEXT + TEXT[TEXT.index("[[issuer]]") : TEXT.index("[log]")],
    ],
)
def test_a_doubtful_trust_file_is_misuse(tmp_path, text):
    with pytest.raises(UsageError) as refusal:
        load(tmp_path, text)

    assert refusal.value.exit_code == 2


@pytest.mark.parametrize("name", ["pipe", "folder", "/dev/zero"])
def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()

    with pytest.raises(UsageError):
        load_trust(tmp_path / name)


def test_a_missing_trust_file_is_misuse(tmp_path):
    with pytest.raises(UsageError):
        load_trust(tmp_path / "absent.toml")
