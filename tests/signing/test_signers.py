"""A signer is named by a URI; other packages may serve further schemes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mbd.errors import MbdError, UsageError
from mbd.signing.keys import check_signer, generate_key
from mbd.signing.signers import file_of, open_signer

MODULE = '''
from mbd.signing.keys import generate_key

class Cloud:
    """The least that signs: one method, and the public key."""
    def __init__(self, uri):
        self.uri, self._key = uri, generate_key()
        self.public = self._key.public
    def sign(self, data):
        return self._key.sign(data)

def connect(uri):
    return Cloud(uri)
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that serves `testcloud:` keys, and says so as packages do."""
    site = tmp_path / "site"
    info = site / "testcloud-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "testcloud_signer.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: testcloud\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[mbd.signers]\ntestcloud = testcloud_signer:connect\nbroken = testcloud_signer:nothing\n"
    )
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "testcloud_signer", raising=False)


@pytest.mark.usefixtures("installed")
def test_a_package_adds_a_scheme_through_its_entry_point(tmp_path):
    signer = open_signer("testcloud:europe/issuer", tmp_path)

    check_signer(signer)
    assert signer.uri == "testcloud:europe/issuer"


@pytest.mark.usefixtures("installed")
def test_a_package_that_cannot_be_loaded_is_named(tmp_path):
    with pytest.raises(MbdError, match="broken"):
        open_signer("broken:x", tmp_path)


def test_a_relative_file_is_one_of_the_folder_and_an_absolute_one_is_itself(tmp_path):
    key = generate_key()
    key.save(tmp_path / "a.pem")

    assert open_signer("file:a.pem", tmp_path).public == key.public
    assert open_signer(f"file:{tmp_path}/a.pem", Path("/nowhere")).public == key.public
    assert file_of("pkcs11:token=x", tmp_path) is None


@pytest.mark.parametrize("uri", ["", "a.pem", "file:", "nobody-serves-this:x"])
def test_what_names_no_signer_is_misuse(tmp_path, uri):
    with pytest.raises(UsageError):
        open_signer(uri, tmp_path)
