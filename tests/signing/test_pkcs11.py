"""Keys in a token sign for the workspace and never leave it. SoftHSM2 stands for the hardware."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mbd.errors import NotFoundError, UsageError
from mbd.signing.keys import SigningKey, check_signer
from mbd.signing.pkcs11 import open_token_key
from mbd.signing.public import public_key
from tests.workspaces import TrainedWorkspace, must_run, spawn_mbd

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so")
TOKEN, PIN = "mbd test", "1234-5678"
EDWARDS25519 = b"\x13\x0cedwards25519"
"""CKA_EC_PARAMS: the curve's name as a PrintableString."""


@dataclass(frozen=True)
class SoftToken:
    """A token of its own, in a folder of its own."""

    folder: Path
    module: str

    def uri(self, label: str) -> str:
        return f"pkcs11:token=mbd%20test;object={label}?module-path={self.module}"

    def make_key(self, label: str, *, edwards: bool = False) -> None:
        """A key pair made in the token, with the attributes that tokens give by themselves."""
        import pkcs11
        from pkcs11.util.ec import encode_named_curve_parameters

        kind = pkcs11.KeyType.EC_EDWARDS if edwards else pkcs11.KeyType.EC
        curve = EDWARDS25519 if edwards else encode_named_curve_parameters("secp256r1")
        token = pkcs11.lib(self.module).get_token(token_label=TOKEN)
        try:
            opened = token.open(rw=True, user_pin=PIN)
        except pkcs11.exceptions.UserAlreadyLoggedIn:  # by a signer of an earlier test
            opened = token.open(rw=True)
        with opened as session:
            parameters = session.create_domain_parameters(
                kind, {pkcs11.Attribute.EC_PARAMS: curve}, local=True
            )
            parameters.generate_keypair(store=True, label=label)


@pytest.fixture(scope="session")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftToken]:
    """One for this process: the library reads its settings once."""
    module = next((path for path in MODULES if Path(path).is_file()), None)
    if module is None or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM2 is not installed (Debian: apt install softhsm2)")
    if importlib.util.find_spec("pkcs11") is None:
        pytest.skip("the extra pkcs11 is not installed")
    folder = tmp_path_factory.mktemp("hsm")
    tokens, settings = folder / "tokens", folder / "softhsm2.conf"
    tokens.mkdir()
    settings.write_text(f"directories.tokendir = {tokens}\nlog.level = ERROR\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(settings))
        command = ["softhsm2-util", "--init-token", "--free", "--label", TOKEN]
        pins = ["--pin", PIN, "--so-pin", "87654321"]
        subprocess.run([*command, *pins], check=True, capture_output=True)
        yield SoftToken(tokens, module)


@pytest.mark.parametrize("edwards", [False, True])
def test_a_key_in_a_token_signs_and_the_public_half_needs_no_pin(token, monkeypatch, edwards):
    label = f"sign-{edwards}"
    token.make_key(label, edwards=edwards)
    signer = open_token_key(token.uri(label))

    public = signer.public
    assert public.algorithm == ("ed25519" if edwards else "ecdsa-p256")
    assert public_key(public.der) == public

    monkeypatch.setenv("MBD_PKCS11_PIN", PIN)
    for message in (b"", b"x", bytes(100_000)):
        public.verify(message, signer.sign(message))


def test_the_private_key_cannot_be_read_out_of_the_token(token, monkeypatch):
    import pkcs11

    token.make_key("kept")
    monkeypatch.setenv("MBD_PKCS11_PIN", PIN)
    signer = open_token_key(token.uri("kept"))
    check_signer(signer)

    key = signer._private
    assert key[pkcs11.Attribute.SENSITIVE]
    assert not key[pkcs11.Attribute.EXTRACTABLE]
    assert key[pkcs11.Attribute.NEVER_EXTRACTABLE]
    with pytest.raises(pkcs11.exceptions.PKCS11Error):
        _ = key[pkcs11.Attribute.VALUE]
    assert not any(isinstance(value, SigningKey) for value in vars(signer).values())


def test_several_keys_of_one_token_sign_in_one_process(token, monkeypatch):
    monkeypatch.setenv("MBD_PKCS11_PIN", PIN)
    signers = []
    for label in ("one", "two"):
        token.make_key(label)
        signers.append(open_token_key(token.uri(label)))
    for signer in [*signers, *signers]:
        check_signer(signer)


def test_a_missing_key_or_token_is_named(token):
    with pytest.raises(NotFoundError):
        _ = open_token_key(token.uri("nothing")).public
    other = token.uri("x").replace("mbd%20test", "another")
    with pytest.raises(NotFoundError):
        _ = open_token_key(other).public


@pytest.mark.parametrize(
    "uri",
    [
        "pkcs11:object=a?module-path=/m.so",
        "pkcs11:token=a?module-path=/m.so",
        "pkcs11:token=a;object=b",
        "pkcs11:token=a;object=b;object=c?module-path=/m.so",
        "pkcs11:token=a;slot-id=1;object=b?module-path=/m.so",
        "pkcs11:token=a;object=b?module-path=/m.so&pin-value=1234",
    ],
)
def test_a_uri_that_says_too_little_or_a_pin_is_misuse(uri):
    if importlib.util.find_spec("pkcs11") is None:
        pytest.skip("the extra pkcs11 is not installed")
    with pytest.raises(UsageError):
        open_token_key(uri)


def test_a_workspace_moves_its_issuer_key_into_a_token(
    token, trained_workspace: TrainedWorkspace, monkeypatch: pytest.MonkeyPatch
):
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    token.make_key("issuer")
    settings = root / "mbd.toml"
    settings.write_text(f'issuer_key = "{token.uri("issuer")}"\n' + settings.read_text())
    size = len(must_run(root, "ledger", "list", "--json").json["entries"])
    request = ["revoke", "--user", user, "--modality", "audio", "--json"]

    assert spawn_mbd(root, *request).code == 1  # in no trust file yet
    locked = spawn_mbd(root, "key", "rotate", "--json")
    assert (locked.code, locked.json["error"]["code"]) == (5, "key.locked")
    monkeypatch.setenv("MBD_PKCS11_PIN", "0000-wrong")
    wrong = spawn_mbd(root, "key", "rotate", "--json")
    assert (wrong.code, wrong.json["error"]["code"]) == (5, "key.passphrase")
    assert len(must_run(root, "ledger", "list", "--json").json["entries"]) == size

    monkeypatch.setenv("MBD_PKCS11_PIN", PIN)
    made = spawn_mbd(root, "key", "rotate", "--json").json
    assert (made["algorithm"], made["state"]) == ("ecdsa-p256", "current")
    bundle = spawn_mbd(root, *request).json["bundle"]
    monkeypatch.delenv("MBD_PKCS11_PIN")
    assert must_run(root, "verify", bundle, "--json").json["verdict"] == "valid"
    assert must_run(root, "doctor", "--json").json["ok"]
    monkeypatch.setenv("MBD_PKCS11_PIN", PIN)
    again = spawn_mbd(root, "key", "rotate", "--json")
    assert (again.code, again.json["error"]["code"]) == (6, "key.current")
