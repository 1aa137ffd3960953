"""Digests and base64 have one spelling."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbd.canonical.digest import b64decode_strict, b64encode, files_root, sha256_file, sha256_hex
from mbd.errors import DataError, NotFoundError, StorageError
from mbd.values import FileDigest


def file(path: str, content: bytes = b"x") -> FileDigest:
    return FileDigest(path=path, sha256=sha256_hex(content))


@given(st.binary(max_size=100))
def test_base64_reads_what_it_writes(data):
    assert b64decode_strict(b64encode(data)) == data


@pytest.mark.parametrize(
    "text",
    [
        "QQ",
        "QR==",
        "QQ==\n",
        " QQ==",
        "QQ=",
        "Q-_=",
        "é",
        "QQ==QQ==",
        "Q-_QAAAA",
        "Q-QQAAAA",
        "Q_QQAAAA",
    ],
)
def test_another_spelling_of_base64_is_refused(text):
    with pytest.raises(DataError):
        b64decode_strict(text)


@given(st.text("AQRSghwz01+/=-\n", max_size=14) | st.binary(max_size=9).map(b64encode))
def test_the_last_characters_tell_whether_base64_is_canonical(text):
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = None
    canonical = data is not None and b64encode(data) == text

    try:
        assert b64decode_strict(text) == data
        assert canonical
    except DataError:
        assert not canonical


def test_file_digest_is_the_digest_of_its_bytes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 100_000)
    assert sha256_file(path) == hashlib.sha256(b"abc" * 100_000).hexdigest()
    with pytest.raises(NotFoundError):
        sha256_file(tmp_path / "absent")
    with pytest.raises(StorageError):
        sha256_file(tmp_path)


def test_the_root_of_a_model_is_the_hash_of_its_sorted_manifest():
    digest = sha256_hex(b"x")
    manifest = f'[{{"path":"a","sha256":"{digest}"}},{{"path":"b","sha256":"{digest}"}}]'
    assert files_root([file("b"), file("a")]) == sha256_hex(manifest.encode())


@pytest.mark.parametrize(
    "changed",
    [
        [file("a"), file("c")],
        [file("a", b"y"), file("b")],
        [file("a")],
    ],
)
def test_any_change_of_a_file_moves_the_root(changed):
    assert files_root(changed) != files_root([file("a"), file("b")])


@pytest.mark.parametrize("files", [[], [file("a"), file("a", b"y")]])
def test_a_manifest_without_files_or_with_one_path_twice_is_refused(files):
    with pytest.raises(DataError):
        files_root(files)
