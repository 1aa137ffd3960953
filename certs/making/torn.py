"""Refused for their bytes: the container, the envelope, the spelling of the statement."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode

from making.defects import Defect, change, drop, flip_last_bit, put, story, swap, torn
from making.story import Json
from making.valid import HONEST
from mbd.canonical.json import dumps


def _spelled(name: str, code: str, old: bytes, new: bytes) -> Defect:
    """The statement is spelled so that it could be read in two ways, then signed."""

    def spell(payload: bytes) -> bytes:
        assert old in payload
        return payload.replace(old, new, 1)

    return Defect(name, code, story(name, spell=spell).data())


def _indented(data: bytes) -> bytes:
    return json.dumps(json.loads(data), indent=1, sort_keys=True).encode()


def _keys_reversed(data: bytes) -> bytes:
    content = json.loads(data)
    ordered = {key: content[key] for key in sorted(content, reverse=True)}
    return json.dumps(ordered, ensure_ascii=False, separators=(",", ":")).encode()


def defects() -> list[Defect]:
    whole = HONEST.data()
    marks = b',"x":"' + b":" * 20_000 + b'"}'
    doubled = change("signatures", lambda rows: rows * 2)
    once = change("signatures", lambda rows: rows[:1])
    twice = story("envelope-with-a-key-twice", edit_envelope=doubled, edit_entry=once)
    return [
        Defect("json-with-too-many-marks", "json.size", whole[:-1] + marks),
        Defect("json-cut-short", "json.syntax", whole[:-1]),
        Defect("json-not-utf-8", "json.utf8", whole.replace(b"proof@", b"pro\xfff@")),
        Defect("json-too-deep", "json.depth", b'{"a":' * 9 + b"0" + b"}" * 9),
        Defect("json-key-twice", "json.duplicate_key", whole[:-1] + b',"mediaType":"x"}'),
        Defect("json-fraction", "json.number", whole[:-1] + b',"x":1.5}'),
        Defect("json-integer-too-large", "json.number", whole[:-1] + b',"x":9007199254740992}'),
        Defect("json-half-a-character", "json.string", whole[:-1] + b',"x":"\\ud800"}'),
        Defect("line-end-after-the-bundle", "bundle.canonical", whole + b"\n"),
        Defect("bundle-indented", "bundle.canonical", _indented(whole)),
        Defect("bundle-keys-in-other-order", "bundle.canonical", _keys_reversed(whole)),
        Defect(
            "bundle-with-escapes",
            "bundle.canonical",
            whole.replace(b"mediaType", b"media\\u0054ype", 1),
        ),
        torn(
            "bundle-of-a-newer-version",
            "bundle.schema",
            change("mediaType", swap("version=1", "version=2")),
        ),
        torn("bundle-with-a-key-inside", "bundle.schema", put("publicKey", "AA==")),
        torn("bundle-without-proof", "bundle.schema", drop("tlogProof")),
        torn("envelope-with-a-key-inside", "envelope.schema", put("envelope.publicKey", "AA==")),
        torn("envelope-without-signature", "envelope.schema", put("envelope.signatures", [])),
        Defect("envelope-with-a-key-twice", "envelope.schema", twice.data()),
        torn(
            "envelope-with-upper-case-key",
            "envelope.schema",
            change("envelope.signatures.0.keyid", str.upper),
        ),
        torn(
            "base64-without-padding",
            "base64",
            change("envelope.signatures.0.sig", lambda text: text.rstrip("=")),
        ),
        torn(
            "base64-with-loose-bits",
            "base64",
            change("envelope.signatures.0.sig", _loose),
        ),
        torn("statement-changed-after-signing", "sig.invalid", _put_basis),
        torn(
            "signature-changed", "sig.invalid", change("envelope.signatures.0.sig", flip_last_bit)
        ),
        Defect(
            "payload-of-another-type",
            "envelope.type",
            story("payload-of-another-type", payload_type="application/json").data(),
        ),
        _spelled(
            "statement-key-twice",
            "json.duplicate_key",
            b'"attempts":1',
            b'"attempts":2,"attempts":1',
        ),
        _spelled("statement-not-json", "json.syntax", b"}", b""),
        _spelled(
            "statement-number-as-number", "json.number", b'"delta":"0.000001"', b'"delta":0.000001'
        ),
    ]


def _loose(text: str) -> str:
    """The same bytes with other unused bits before the padding."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = text.rstrip("=")[-1]
    assert text.endswith("==")
    return text.replace(last + "==", alphabet[alphabet.index(last) + 1] + "==")


def _put_basis(bundle: Json) -> None:
    """Other words in the payload; the signature stays."""
    payload = json.loads(b64decode(bundle["envelope"]["payload"]))
    payload["predicate"]["request"]["basis"] = "an order of the court"
    bundle["envelope"]["payload"] = b64encode(dumps(payload)).decode()
