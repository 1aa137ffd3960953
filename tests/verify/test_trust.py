"""The trust file: what it may say, and that a doubtful one is not believed."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mbd.canonical.digest import b64encode, sha256_hex
from mbd.errors import UsageError
from mbd.ledger.cosignature import COSIGNATURE
from mbd.ledger.note import VerifierKey
from mbd.signing.keys import generate_key
from mbd.verify.trust import load_trust
from mbd.verify.trust_text import render_trust
from tests.verify.histories import Witness
from tests.verify.world import ORIGIN, make_world

WORLD = make_world()
VKEY = VerifierKey(ORIGIN, WORLD.log_signer.public_key)
TEXT = render_trust(WORLD.trust)
WATCH = f'[[witness]]\nname = "w"\nvkey = "{Witness("witness.example/w").vkey}"\n'
LOG_AS_WITNESS = VerifierKey("w", WORLD.log_signer.public_key, COSIGNATURE)
LOW_WITNESS = VerifierKey("w", bytes(32), COSIGNATURE)
QUORUM = "[witnesses]\nquorum = "
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
    issuer = dataclasses.replace(WORLD.trust.issuers[0], name=name)
    text = render_trust(dataclasses.replace(WORLD.trust, issuers=(issuer,)))

    assert load(tmp_path, text).issuers[0].name == name


def test_bounds_and_limits_survive_the_file(tmp_path):
    bounds = {"valid_from": 3, "retired_from": 5, "distrusted_from": 7}
    issuer = dataclasses.replace(WORLD.trust.issuers[0], **bounds)
    policy = dataclasses.replace(WORLD.trust, issuers=(issuer,), max_epsilon=8.0, max_delta=1e-5)

    assert load(tmp_path, render_trust(policy)) == policy


def test_a_file_may_name_a_log_or_an_issuer_alone(tmp_path):
    for part in ({"log": None}, {"issuers": ()}):
        policy = dataclasses.replace(WORLD.trust, **part)
        assert load(tmp_path, render_trust(policy)) == policy


def test_witnesses_survive_the_file(tmp_path):
    watchers = tuple(Witness(f"witness.example/{name}").trusted for name in ("a", "b"))
    policy = dataclasses.replace(WORLD.trust, witnesses=watchers, quorum=1)

    assert load(tmp_path, render_trust(policy)) == policy


def test_the_published_example_is_a_trust_file():
    policy = load_trust(Path(__file__).parents[2] / "certs" / "trust.example.toml")

    assert policy.issuers
    assert policy.log
    assert (len(policy.witnesses), policy.quorum) == (1, 1)


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
        TEXT.replace("[log]", "retiredFrom = -1\n[log]"),
        TEXT.replace("[log]", "validFrom = '3'\n[log]"),
        TEXT.replace("[log]", "validFrom = true\n[log]"),
        TEXT.replace("[log]", "validFrom = 7\nretiredFrom = 7\n[log]"),
        TEXT.replace("[log]", "retiredfrom = 7\n[log]"),
        "[limits]\nepsilon = 8\n",
        TEXT + WATCH,
        TEXT + WATCH + QUORUM + "0\n",
        TEXT + WATCH + QUORUM + "2\n",
        TEXT + WATCH + QUORUM + "'1'\n",
        TEXT + QUORUM + "1\n",
        TEXT + WATCH + WATCH.replace('"w"', '"v"') + QUORUM + "1\n",
        TEXT + f'[[witness]]\nname = "w"\nvkey = "{VKEY}"\n' + QUORUM + "1\n",
        TEXT + f'[[witness]]\nname = "w"\nvkey = "{LOG_AS_WITNESS}"\n' + QUORUM + "1\n",
        TEXT + f'[[witness]]\nname = "w"\nvkey = "{LOW_WITNESS}"\n' + QUORUM + "1\n",
        TEXT.replace(str(VKEY), str(Witness(ORIGIN).vkey)),
        WATCH + QUORUM + "1\n",
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
