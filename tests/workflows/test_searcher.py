"""A search that finds nothing proves something only if it would find what is there."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import io
import itertools
import json
import sqlite3
import unicodedata
import urllib.parse
import uuid
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.workflows.searcher import Searcher, contents
from tests.workflows.traces_of import DIGITS, SHORTEST, keyed, of_features, of_name, of_number

Form = Callable[[str], bytes]
Wrapping = Callable[[bytes], bytes]

ENCODINGS: dict[str, Form] = {
    "utf-8": str.encode,
    "utf-16": lambda name: name.encode("utf-16-le"),
    "utf-16-be": lambda name: name.encode("utf-16-be"),
    "lower": lambda name: name.lower().encode(),
    "upper": lambda name: name.upper().encode(),
    "composed": lambda name: unicodedata.normalize("NFC", name).encode(),
    "decomposed": lambda name: unicodedata.normalize("NFD", name).encode(),
    "backwards": lambda name: name[::-1].encode(),
    "JSON": lambda name: json.dumps(name).encode(),
    "percent": lambda name: urllib.parse.quote(name, safe="").encode(),
    "form": lambda name: urllib.parse.quote_plus(name).encode(),
    "Python": lambda name: ascii(name).encode(),
}
HASHES: dict[str, Form] = {
    "sha256": lambda name: hashlib.sha256(name.encode()).digest(),
    "sha256, digits": lambda name: hashlib.sha256(name.encode()).hexdigest().encode(),
    "sha256, first 16 digits": lambda name: hashlib.sha256(name.encode()).hexdigest()[:16].encode(),
    "md5": lambda name: hashlib.md5(name.encode()).digest(),
    "sha1, digits": lambda name: hashlib.sha1(name.encode()).hexdigest().upper().encode(),
    "blake2b": lambda name: hashlib.blake2b(name.encode()).digest(),
    "blake2b-256": lambda name: hashlib.blake2b(name.encode(), digest_size=32).digest(),
    "a line": lambda name: hashlib.sha256(f"{name}\n".encode()).digest(),
    "prefixed": lambda name: hashlib.sha256(f"user:{name}".encode()).digest(),
    "of lower": lambda name: hashlib.sha256(name.lower().encode()).digest(),
    "of JSON": lambda name: hashlib.sha256(json.dumps(name).encode()).digest(),
    "twice": lambda name: hashlib.sha256(hashlib.sha256(name.encode()).digest()).digest(),
    "no key": lambda name: hmac.new(b"", name.encode(), "sha256").digest(),
    "zero key": lambda name: hmac.new(bytes(32), name.encode(), "sha256").digest(),
    "uuid5": lambda name: str(uuid.uuid5(uuid.NAMESPACE_URL, name)).encode(),
}
WRAPPINGS: dict[str, Wrapping] = {
    "as it is": bytes,
    "hex": lambda content: content.hex().encode(),
    "HEX": lambda content: content.hex().upper().encode(),
    "hex with colons": lambda content: content.hex(":").encode(),
    "base64": base64.b64encode,
    "base64, second": lambda content: base64.b64encode(b"\x01" + content + b"\xff"),
    "base64, third": lambda content: base64.b64encode(b"\x01\x02" + content),
    "base64 without padding": lambda content: base64.b64encode(content).rstrip(b"="),
    "base64 for URLs": base64.urlsafe_b64encode,
    "base64 in lines": base64.encodebytes,
    "base64 after a path": lambda content: b"certs/x/" + base64.b64encode(content),
    "JSON": lambda content: json.dumps(content.decode("latin-1")).encode("latin-1"),
    "base64 in JSON": lambda content: json.dumps(
        {"a": base64.b64encode(content).decode()}
    ).encode(),
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "zip": lambda content: _zipped(content),
}

names = st.text(
    st.characters(exclude_categories=("C", "Z"), max_codepoint=0x2FFFF), min_size=1, max_size=40
).filter(str.isprintable)
noise = st.binary(max_size=40)


def _zipped(content: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside", content)
    return target.getvalue()


def found(searcher: Searcher, content: bytes) -> set[str]:
    return {str(hit) for hit in searcher.hits("here", content)}


@settings(max_examples=4, deadline=None)
@given(name=names, before=noise, after=noise)
@pytest.mark.parametrize("outer", WRAPPINGS)
def test_a_name_is_found_in_every_form(name: str, before: bytes, after: bytes, outer: str) -> None:
    searcher = Searcher(of_name(name))
    assume(not searcher.hits("noise", before) and not searcher.hits("noise", after))
    for form, made in {**ENCODINGS, **HASHES}.items():
        planted = made(name)
        if form in ENCODINGS and min(len(name.encode()), len(planted)) < SHORTEST:
            continue  # capital letters can be fewer bytes: of 'ı' it is 'I'
        content = b"\n".join((before, WRAPPINGS[outer](planted), after))
        assert found(searcher, content), (form, outer)


def test_wrappings_may_be_nested() -> None:
    name = "Žofie Ångström 81"
    searcher = Searcher(of_name(name))
    forms = {**ENCODINGS, "sha256": HASHES["sha256"], "digits": HASHES["sha256, digits"]}
    for (form, made), inner, outer in itertools.product(forms.items(), WRAPPINGS, WRAPPINGS):
        content = b"- " + WRAPPINGS[outer](WRAPPINGS[inner](made(name)))
        assert found(searcher, content), (form, inner, outer)


@settings(max_examples=60, deadline=None)
@given(value=st.integers(10**15, 3 * 10**15).map(lambda number: number / 1e15 - 1.5))
def test_a_number_is_found_in_bytes_and_digits(value: float) -> None:
    assume(len(repr(value).strip("-0.")) > DIGITS)
    searcher = Searcher(of_number(value, "label"))
    forms = [np.array(value, kind).tobytes() for kind in ("<f8", ">f8")]
    forms += [text.encode() for text in (repr(value), f"{value:.17g}", f"{value:.17e}")]
    forms += [hashlib.sha256(form).digest() for form in forms[:3]]
    for form in forms:
        for wrap in (WRAPPINGS["as it is"], WRAPPINGS["hex"], WRAPPINGS["base64, third"]):
            assert found(searcher, wrap(form)), form


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", ">f8", "<f2"])
def test_features_are_found_as_a_whole_and_in_pieces(kind: str) -> None:
    values = np.random.default_rng(7).normal(size=(5, 12)).astype(np.float32)
    searcher = Searcher(of_features(values, "voice"))
    content = values.astype(kind).tobytes()
    pieces = [content, content[3:], content[8:120], hashlib.sha256(content).hexdigest().encode()]
    pieces.append(json.dumps(values.reshape(-1).tolist()).encode())
    pieces.append(" ".join(str(one) for one in values.reshape(-1)).encode())
    for piece in pieces:
        for wrapping in ("as it is", "hex", "base64", "zlib"):
            assert found(searcher, WRAPPINGS[wrapping](piece)), wrapping


def test_a_number_that_looks_like_an_index_is_found_where_it_is_a_name() -> None:
    searcher = Searcher(of_name("41"))
    shown = [b'{"user":"41"}', b'{"a":1,"subject": "41","b":2}', b"no user '41' in here"]
    for content in (*shown, hashlib.sha256(b"41").digest(), hashlib.md5(b"41\n").digest()):
        assert found(searcher, content), content
    assert not found(searcher, b'{"size":41,"entries":[41,141],"time":"2026-11-20T20:57:41Z"}')


def test_hashes_under_public_values_are_found() -> None:
    salt = bytes(range(32))
    searcher = Searcher(keyed("ann", [salt]))
    assert found(searcher, hmac.new(salt, b"ann", "sha256").hexdigest().encode())
    assert found(searcher, hashlib.sha256(salt + b"ann").digest())


def test_a_database_is_read_by_rows_too(tmp_path: Path) -> None:
    """A long value lies on many pages, and a name may begin on one and end on another."""
    scratch, path, name = tmp_path / "scratch", tmp_path / "some.db", "Somebody Known " * 12
    scratch.mkdir()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (v)")
        for start in range(4000, 4200, 20):
            connection.execute("INSERT INTO t VALUES (?)", ("-" * start + name,))
        connection.commit()
        searcher = Searcher(of_name(name))
        hits = [hit for place, c in contents(path, scratch) for hit in searcher.hits(place, c)]
    assert {hit.place for hit in hits} >= {"some.db, rows"}
    assert list(scratch.iterdir()) == []


def test_what_is_not_there_is_not_found() -> None:
    generator = np.random.default_rng(3)
    searcher = Searcher(
        [
            *of_name("Žofie Ångström"),
            *of_features(generator.normal(size=(9, 9)).astype(np.float32), "voice"),
        ]
    )
    content = generator.bytes(1 << 18) + base64.b64encode(generator.bytes(1 << 16))
    assert found(searcher, content + generator.bytes(1 << 14).hex().encode()) == set()
