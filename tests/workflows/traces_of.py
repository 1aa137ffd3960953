"""Traces of planted values: the forms in which a name or a number may lie in a file or an output.

Encodings of the value, and plain hashes of it, which anybody could guess and compare. What those
may be wrapped in (hexadecimal, base64, escapes, compression) is for `searcher` to unwrap.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import unicodedata
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

SHORTEST = 8
"""Bytes of a trace at least: shorter ones lie in any file by chance."""
DIGITS = 12
"""Significant digits of a number written out, at least; for the same reason."""

_KEPT = 8  # of a digest: whoever stores the beginning of one is caught as well
_ALGORITHMS = (
    "md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha3_256", "blake2b", "blake2s",
)  # fmt: skip
_PREFIXES = ("", "user:", "user=", "subject:", "subject=", "record:", "id:", "mbd:", "urn:mbd:")
_SUFFIXES = ("", "\n", "\0", "\r\n")


@dataclass(frozen=True)
class Trace:
    """Bytes that must not be there."""

    of: str
    """The value that was planted."""
    form: str
    content: bytes


def of_name(name: str, *, thorough: bool = True) -> Iterator[Trace]:
    """The id of a person or a record: itself in any spelling and encoding, and its hashes.

    Args:
        name: The id.
        thorough: Otherwise it is hashed as it is, by the usual algorithms: for many names.
    """
    if not thorough:
        yield from _encodings("raw", name, name)
        yield from _hashes(name, "utf-8", name.encode(), long=True)
        yield from _quoted(name)
        return
    for spelled, text in _spellings(name).items():
        yield from _encodings(spelled, text, name)
        for form, content in _preimages(text):
            yield from _hashes(name, f"{spelled} {form}", content)
    yield from _quoted(name)
    if name.isdecimal() and int(name) >= 1 << 24:
        yield from _integers(name, int(name))
    for space in (uuid.NAMESPACE_DNS, uuid.NAMESPACE_URL, uuid.NAMESPACE_OID, uuid.UUID(int=0)):
        for made in (uuid.uuid5(space, name), uuid.uuid3(space, name)):
            yield Trace(name, "UUID", made.bytes)
            yield Trace(name, "UUID in text", str(made).encode())


def of_number(value: float, what: str) -> Iterator[Trace]:
    """A label, or one feature: its bytes as a double, its digits, and hashes of both."""
    for order in "<>":
        content = np.array(value, f"{order}f8").tobytes()
        yield Trace(what, f"{order}f8", content)
        yield from _hashes(what, f"{order}f8", content)
    yield from _hashes(what, "<f4", np.array(value, "<f4").tobytes())
    yield from _digits(value, what)
    for text in {repr(value), f"{value:.17g}", json.dumps(value)}:
        yield from _hashes(what, "decimal", text.encode())


def of_features(values: npt.NDArray[np.float32], what: str, every: int = 5) -> Iterator[Trace]:
    """One channel of a record: pieces of its bytes and some numbers of it; hashes of the whole.

    Args:
        values: (steps, width).
        what: Says whose they are.
        every: How far apart the pieces begin; all of them would be many.
    """
    for kind in ("<f4", ">f4", "<f8", ">f8", "<f2"):
        whole = values.astype(kind)
        yield from _hashes(what, kind, whole.tobytes(), long=True)
        yield from _hashes(what, f"{kind} transposed", whole.T.copy().tobytes(), long=True)
        for row in whole:
            yield from _hashes(what, f"{kind} row", row.tobytes(), long=True)
        size = max(2, SHORTEST // whole.itemsize)  # one double of a float has zeros at its end
        flat = whole.reshape(-1)
        for start in range(0, flat.size - size + 1, every):
            piece = flat[start : start + size]
            if np.count_nonzero(piece) == piece.size:
                yield Trace(what, kind, piece.tobytes())
    for number in values.reshape(-1)[::every].tolist():
        yield from _digits(number, what)
    flat = values.reshape(-1)
    for start in range(0, flat.size - 1, every):
        pair = [str(one) for one in flat[start : start + 2]]
        for between in (",", ", ", " ", "\t", ";", "\n"):
            yield Trace(what, "two in decimal", between.join(pair).encode())


def _encodings(spelled: str, text: str, of: str) -> Iterator[Trace]:
    for encoding in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "latin-1"):
        content = text.encode(encoding, errors="ignore")
        long = min(len(content), len(text.encode())) >= SHORTEST
        if long and content.decode(encoding) == text:
            yield Trace(of, f"{spelled} {encoding}", content)


def _spellings(name: str) -> Mapping[str, str]:
    """Different texts that a reader would take for the name."""
    made = {
        "raw": name,
        "NFC": unicodedata.normalize("NFC", name),
        "NFD": unicodedata.normalize("NFD", name),
        "lower": name.lower(),
        "upper": name.upper(),
        "folded": name.casefold(),
        "stripped": "".join(name.split()),
        "reversed": name[::-1],
        "repr": repr(name),
    }
    first: dict[str, str] = {}
    for spelled, text in made.items():
        first.setdefault(text, spelled)
    return {spelled: text for text, spelled in first.items()}


def _preimages(text: str) -> Iterator[tuple[str, bytes]]:
    """What somebody may have hashed."""
    for before, after in itertools.product(_PREFIXES, _SUFFIXES):
        yield f"with {before + after!r}" if before + after else "", (before + text + after).encode()
    for quoted in (json.dumps(text), json.dumps(text, ensure_ascii=False), json.dumps([text])):
        yield "in JSON", quoted.encode()
    content = text.encode()
    yield "utf-16", text.encode("utf-16-le")
    yield "after its length", len(content).to_bytes(8, "big") + content
    yield "after its length", len(content).to_bytes(4, "big") + content
    yield "as a leaf", b"\0" + content
    yield "in hexadecimal", content.hex().encode()
    yield "in base64", base64.b64encode(content)


def _hashes(of: str, form: str, content: bytes, *, long: bool = False) -> Iterator[Trace]:
    """Digests that need no secret; `long` ones are of more than a guess, and get fewer."""
    for algorithm in ("md5", "sha1", "sha256", "blake2b") if long else _ALGORITHMS:
        digest = hashlib.new(algorithm, content).digest()
        yield Trace(of, f"{algorithm} of {form}", digest[:_KEPT])
    short = hashlib.blake2b(content, digest_size=32).digest()
    yield Trace(of, f"blake2b-256 of {form}", short[:_KEPT])
    once = hashlib.sha256(content)
    yield Trace(of, f"sha256 twice of {form}", hashlib.sha256(once.digest()).digest()[:_KEPT])
    again = hashlib.sha256(once.hexdigest().encode()).digest()
    yield Trace(of, f"sha256 of the digits of sha256 of {form}", again[:_KEPT])
    for key in (b"", bytes(32), b"\0", b"key", b"mbd"):
        keyed = hmac.new(key, content, "sha256").digest()
        yield Trace(of, f"HMAC-SHA256 under {key!r} of {form}", keyed[:_KEPT])


def keyed(name: str, keys: Iterable[bytes]) -> Iterator[Trace]:
    """Hashes of a name with keys or salts that are known to everybody."""
    content = name.encode()
    framed = len(content).to_bytes(8, "big") + content
    for key in keys:
        for made in (content, framed):
            yield Trace(name, "HMAC under a public value", hmac.new(key, made, "sha256").digest())
            for salted in (key + made, made + key):
                yield Trace(name, "salted in public", hashlib.sha256(salted).digest())


def _quoted(name: str) -> Iterator[Trace]:
    """A short name is told from anything else by what is around it."""
    if len(name.encode()) >= SHORTEST:
        return
    for before, after in ((":", ","), (": ", ","), (":", "}"), ("user", ""), ("subject", "")):
        text = f'{before}"{name}"{after}'
        if len(text) >= SHORTEST:
            yield Trace(name, "quoted", text.encode())
    for key in ("user", "subject", "record", "id", "who"):
        for text in (f'{key}":"{name}"', f'{key}": "{name}"', f"{key} '{name}'", f"{key}={name};"):
            if len(text) >= SHORTEST:
                yield Trace(name, "quoted", text.encode())


def _integers(of: str, value: int) -> Iterator[Trace]:
    if value < 1 << 64:
        yield Trace(of, "little-endian", value.to_bytes(8, "little"))
        yield Trace(of, "big-endian", value.to_bytes(8, "big"))


def _digits(value: float, what: str) -> Iterator[Trace]:
    """A number written out, wherever the point is."""
    exact = format(Decimal(value), "f")
    rounded = format(value, ".17e").partition("e")[0]
    for text in (repr(value), exact, rounded, f"{value:.15g}"):
        digits = text.partition("e")[0].replace(".", "").lstrip("-0")
        if len(digits) >= DIGITS:
            yield Trace(what, "digits", digits[:DIGITS].encode())
            yield Trace(what, "digits", f"{digits[0]}.{digits[1:DIGITS]}".encode())
            yield Trace(what, "digits", f"{digits[:2]}.{digits[2:DIGITS]}".encode())
    mantissa = value.hex().removeprefix("-").partition("p")[0]
    if len(mantissa.rstrip("0")) >= DIGITS:
        yield Trace(what, "hexadecimal float", mantissa.rstrip("0").encode())
