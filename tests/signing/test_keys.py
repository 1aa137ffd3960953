"""Keys: only good signatures verify, only good keys are accepted, secrets stay private."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from mbd.errors import ConflictError, DataError, IntegrityError, NotFoundError
from mbd.signing.keys import SigningKey, check_signer, generate_key, load_key
from mbd.signing.passphrase import LockedError
from mbd.signing.public import SignatureError, ed25519_key, public_key, verify_signature
from tests.shared import shared_path

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


def test_wycheproof_ed25519():
    groups = json.loads(shared_path("vectors/wycheproof/ed25519_test.json").read_text())

    for group in groups["testGroups"]:
        key = ed25519_key(bytes.fromhex(group["publicKey"]["pk"]))
        for case in group["tests"]:
            message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
            if case["result"] == "valid":
                verify_signature(key, message, signature)
            else:
                with pytest.raises(SignatureError):
                    verify_signature(key, message, signature)


def add(one: tuple[int, int], two: tuple[int, int]) -> tuple[int, int]:
    """Twisted Edwards addition, RFC 8032 section 5.1.4 in affine coordinates."""
    (x1, y1), (x2, y2) = one, two
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P)
    return x % P, y % P


def torsion() -> set[tuple[int, int]]:
    """The eight points whose order divides 8, as multiples of one of order 8."""
    y = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if x * x % P == square else x * pow(2, (P - 1) // 4, P) % P
    assert x * x % P == square
    points, point = set(), (0, 1)
    for _ in range(8):
        points.add(point)
        point = add(point, (x, y))
    assert point == (0, 1)
    return points


def test_every_point_of_low_order_is_refused():
    points = torsion()
    assert len(points) == 8

    for x, y in points:
        raw = (y | (x & 1) << 255).to_bytes(32, "little")
        with pytest.raises(DataError):
            ed25519_key(raw)


@pytest.mark.parametrize("y", [P, P + 1, P - 1, 0, 1])
@pytest.mark.parametrize("sign", [0, 1])
def test_unreduced_spellings_are_refused(y, sign):
    with pytest.raises(DataError):
        ed25519_key((y | sign << 255).to_bytes(32, "little"))


def test_a_saved_key_is_private_and_signs_as_before(tmp_path):
    key = generate_key()
    key.save(tmp_path / "issuer.pem")

    again = load_key(tmp_path / "issuer.pem")

    assert (tmp_path / "issuer.pem").stat().st_mode & 0o777 == 0o600
    assert again.key_id == key.key_id
    assert again.sign(b"x") == key.sign(b"x")
    assert (tmp_path / "issuer.pem").read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")


def test_a_key_is_never_overwritten(tmp_path):
    generate_key().save(tmp_path / "issuer.pem")
    before = (tmp_path / "issuer.pem").read_bytes()

    with pytest.raises(ConflictError):
        generate_key().save(tmp_path / "issuer.pem")

    assert (tmp_path / "issuer.pem").read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_key_that_others_can_reach_is_refused(tmp_path, mode):
    path = tmp_path / "issuer.pem"
    generate_key().save(path)
    path.chmod(mode)

    with pytest.raises(IntegrityError) as refusal:
        load_key(path)

    assert refusal.value.code == "key.permissions"


def test_ecdsa_p256_signs_and_another_message_does_not_verify(tmp_path):
    path = tmp_path / "p256.pem"
    SigningKey(ec.generate_private_key(ec.SECP256R1())).save(path)
    key = load_key(path)
    signature = key.sign(b"message")

    verify_signature(key.public, b"message", signature)
    with pytest.raises(SignatureError):
        verify_signature(key.public, b"massage", signature)
    with pytest.raises(DataError):
        _ = key.public.raw


@pytest.mark.parametrize(
    "private", [ed448.Ed448PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())]
)
def test_other_algorithms_are_refused(tmp_path, private):
    path = tmp_path / "other.pem"
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)

    with pytest.raises(IntegrityError):
        load_key(path)
    with pytest.raises(DataError):
        public_key(
            private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\n", b"\x00" * 100])
def test_what_is_not_a_key_is_refused(tmp_path, content):
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(IntegrityError):
        load_key(path)
    with pytest.raises(NotFoundError):
        load_key(tmp_path / "absent.pem")


PASSPHRASE = "a long one: Ünïcode and spaces"


@pytest.fixture(params=["ed25519", "ecdsa-p256"])
def locked(request, tmp_path) -> tuple[Path, SigningKey]:
    """An encrypted key file, and the key in it."""
    key, path = generate_key(request.param), tmp_path / "locked.pem"
    key.save(path, PASSPHRASE.encode())
    return path, key


def test_an_encrypted_key_says_who_it_is_without_the_passphrase_and_signs_only_with_it(
    locked, monkeypatch
):
    path, key = locked
    assert path.stat().st_mode & 0o777 == 0o600
    found = load_key(path)
    assert found.public == key.public
    with pytest.raises(LockedError) as refusal:
        found.sign(b"x")
    assert (refusal.value.code, refusal.value.exit_code) == ("key.locked", 5)

    monkeypatch.setenv("MBD_KEY_PASSPHRASE", PASSPHRASE)
    key.public.verify(b"x", load_key(path).sign(b"x"))


def test_a_passphrase_file_may_end_with_one_newline(locked, monkeypatch, tmp_path):
    path, key = locked
    (tmp_path / "secret").write_text(PASSPHRASE + "\n", "utf-8")
    monkeypatch.setenv("MBD_KEY_PASSPHRASE_FILE", str(tmp_path / "secret"))

    key.public.verify(b"x", load_key(path).sign(b"x"))


@pytest.mark.parametrize("wrong", ["another", "", "x" * 2000])
def test_a_wrong_passphrase_is_said_to_be_wrong(locked, monkeypatch, wrong):
    monkeypatch.setenv("MBD_KEY_PASSPHRASE", wrong)
    with pytest.raises(LockedError) as refusal:
        check_signer(load_key(locked[0]))
    assert refusal.value.code == "key.passphrase"


def test_neither_passphrase_nor_private_key_is_in_any_repr(locked, monkeypatch):
    monkeypatch.setenv("MBD_KEY_PASSPHRASE", PASSPHRASE)
    found = load_key(locked[0])
    found.sign(b"x")
    assert "PRIVATE" not in repr(found)
    assert PASSPHRASE not in repr(found)


def test_a_public_half_of_another_key_is_found_out_at_the_first_signature(locked, monkeypatch):
    path, key = locked
    content = path.read_text().replace(key.public.pem, generate_key().public.pem)
    path.write_text(content)
    monkeypatch.setenv("MBD_KEY_PASSPHRASE", PASSPHRASE)
    with pytest.raises(IntegrityError) as refusal:
        load_key(path).sign(b"x")
    assert refusal.value.code == "key.mismatch"


def test_other_tools_read_the_encrypted_file_and_theirs_is_read_here(locked, tmp_path, monkeypatch):
    path, key = locked
    block = path.read_bytes().replace(key.public.pem.encode(), b"")
    theirs = load_pem_private_key(block, PASSPHRASE.encode())
    assert key.public == SigningKey(theirs).public

    foreign = tmp_path / "foreign.pem"
    secret = BestAvailableEncryption(PASSPHRASE.encode())
    foreign.write_bytes(theirs.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))
    foreign.chmod(0o600)
    monkeypatch.setenv("MBD_KEY_PASSPHRASE", PASSPHRASE)
    assert load_key(foreign).public == key.public


def test_guessing_a_passphrase_is_made_expensive(locked):
    """The number of rounds stands in the file: 02 03 09 27 C0 is INTEGER 600000 in DER."""
    block = locked[0].read_bytes().split(b"ENCRYPTED PRIVATE KEY-----")[1].split(b"-----")[0]
    assert bytes.fromhex("02030927c0") in base64.b64decode(block)


def test_a_fingerprint_is_read_in_groups_of_four():
    key = generate_key().public
    groups = key.fingerprint.split(" ")
    assert [len(group) for group in groups] == [4] * 16
    assert "".join(groups) == key.key_id


def test_the_key_id_is_the_digest_of_the_der_and_the_private_key_stays_out_of_repr():
    key = generate_key()

    assert public_key(key.public.der) == key.public
    assert ed25519_key(key.public.raw) == key.public
    assert key.public.der[-32:] == key.public.raw
    assert repr(key) == f"SigningKey({key.key_id})"
