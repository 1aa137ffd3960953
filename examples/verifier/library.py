"""What is a library elsewhere: strict JSON, JSON Schema, notes and proofs of a log, rounding.

Of our own are only the `format`s that begin with `mbd-`, which certs/FORMAT.md defines.
"""

import base64
import decimal
import functools
import hashlib
import json
import math
import re
import unicodedata
from datetime import UTC, date, datetime
from decimal import Decimal


class Undecided(Exception):
    """A check cannot be made with what is at hand."""


def need(holds, words):
    """`holds`, or a refusal."""
    if not holds:
        raise ValueError(words)
    return holds


def match(pattern, text):
    """The match of a whole text, or a refusal."""
    return need(re.fullmatch(pattern, text), f"{text[:40]!r} does not match {pattern}")


def sha256(*parts):
    """Digest of the parts one after the other."""
    return hashlib.sha256(b"".join(parts)).digest()


def canonical(value):
    """RFC 8785, for values without fractions whose keys are ASCII."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def unbase64(text, size=None):
    """Bytes from base64 in its one spelling."""
    data = base64.b64decode(text, validate=True)
    need(base64.b64encode(data).decode() == text and size in (None, len(data)), "base64")
    return data


def read(data, size, marks):
    """The one value that a text can be read as; fractions and -0 become what fits no schema."""

    def unique(pairs):
        need(len(dict(pairs)) == len(pairs), "a key twice")
        return dict(pairs)

    def integer(text):
        return int(text) if text != "-0" else -0.0

    need(len(data) <= size, f"more than {size} bytes")
    need(sum(map(data.count, (b'"', b",", b":", b"[", b"{"))) <= marks, f"more than {marks} marks")
    return json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_int=integer)


def fits(value, schema, root=None):
    """Whether a value fits a schema; `root` holds the definitions."""
    return all(rule(value, schema[word], root) for word, rule in KEYWORDS.items() if word in schema)


def moment(text):
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def ulid_seconds(text):
    """Seconds since 1970 in a ULID (Crockford's base 32)."""
    digits = map("0123456789ABCDEFGHJKMNPQRSTVWXYZ".index, text[:10])
    return functools.reduce(lambda number, digit: number << 5 | digit, digits) / 1000


def tlog_proof(text):
    """Index, sibling hashes and checkpoint of a C2SP tlog-proof without extra data."""
    head, _, note = text.partition("\n\n")
    found = match(r"c2sp\.org/tlog-proof@v1\nindex (0|[1-9][0-9]{0,17})((\n.+){0,63})", head)
    return int(found[1]), [unbase64(one, 32) for one in found[2].split("\n")[1:]], note


def checkpoint(note, limits):
    """Text, origin, size, root and (name, key id and signature) of a C2SP checkpoint."""
    need(len(note.encode()) <= limits["noteBytes"], "a note too large")
    text, _, below = match(r"[\n\x20-\U0010ffff]+\n", note)[0][:-1].rpartition("\n\n")
    found = match(r"(.+)\n(0|[1-9][0-9]{0,17})\n(.+)(\n.+)*", text)
    lines = [match(r"\u2014 ([^\s+]+) (.+)", one).groups() for one in below.split("\n")]
    signatures = [(name, unbase64(one)) for name, one in lines]
    need(len(lines) <= limits["noteSignatures"], "too many signatures")
    need(all(len(one) > 4 for _, one in signatures), "a signature too short")
    return text + "\n", found[1], int(found[2]), unbase64(found[3], 32), signatures


def root_above(leaf, index, size, siblings):
    """The root that a proof leads to, and its left siblings, largest first (RFC 9162, 2.1.3.2)."""
    need(index < size, "no such entry")
    digest, position, last, lefts = leaf, index, size - 1, []
    for sibling in siblings:
        need(last, "too many hashes")
        if position % 2 or position == last:
            digest, lefts = sha256(b"\1", sibling, digest), [sibling, *lefts]
            while position and position % 2 == 0:
                position, last = position >> 1, last >> 1
        else:
            digest = sha256(b"\1", digest, sibling)
        position, last = position >> 1, last >> 1
    need(last == 0, "too few hashes")
    return digest, lefts


def up(value):
    """The smallest float that is not below an exact value."""
    nearest = float(value)
    rounded = nearest if nearest >= value else math.nextafter(nearest, math.inf)
    need(math.isfinite(rounded), "beyond binary64")
    return rounded


def epsilon_of(rho, delta):
    """Canonne, Kamath, Steinke 2020, corollary 13, at its best order 1 + x; rounded up."""
    with decimal.localcontext(decimal.Context(prec=80, Emin=-(10**17), Emax=10**17)):
        rho, rest = Decimal(rho), -Decimal(delta).ln()
        low, high = Decimal(0), min(rest.exp() - 1, (rest / rho).sqrt())
        for _ in range(250):  # it is best where rho x^2 + ln(1 + x) = ln(1 / delta)
            x = (low + high) / 2
            low, high = (x, high) if rho * x * x + (1 + x).ln() < rest else (low, x)
        x = max(high, Decimal("1e-20"))
        terms = [rho * (1 + x), rest / x, (x / (1 + x)).ln(), -(1 + x).ln() / x]
        return up(max(sum(terms) + sum(map(abs, terms)) * Decimal("1e-40"), 0))


def as_read(text):
    """Wide, mathematical and accented letters as the plain ones that people read them as."""
    letters = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def spelled(value):
    """ECMAScript's Number::toString, for numbers >= 0."""
    exact = Decimal(repr(value)).normalize()
    return f"{exact:f}" if not value or -7 < exact.adjusted() < 21 else f"{exact:e}"


FORMATS = {
    "mbd-day": date.fromisoformat,
    "mbd-time": moment,
    "mbd-text": str.isprintable,
    "mbd-number": lambda text: math.isfinite(float(text)) and spelled(float(text)) == text,
    "mbd-head": lambda name: sorted(set(name.split("+"))) == name.split("+"),
    "mbd-ascending": lambda names: sorted(set(names)) == names,
}
KINDS = {"object": dict, "array": list, "string": str, "integer": int, "null": type(None)}
KEYWORDS = {  # what others depend on comes first; objects are closed, every field is required
    "$ref": lambda v, path, root: fits(v, root["$defs"][path.rpartition("/")[2]], root),
    "anyOf": lambda v, schemas, root: any(fits(v, one, root) for one in schemas),
    "not": lambda v, schema, root: not fits(v, schema, root),
    "type": lambda v, kind, _: type(v) is KINDS[kind],
    "const": lambda v, one, _: v == one,
    "enum": lambda v, values, _: v in values,
    "minimum": lambda v, least, _: v >= least,
    "maximum": lambda v, most, _: v <= most,
    "minLength": lambda v, least, _: len(v) >= least,
    "maxLength": lambda v, most, _: len(v) <= most,
    "minItems": lambda v, least, _: len(v) >= least,
    "maxItems": lambda v, most, _: len(v) <= most,
    "pattern": lambda v, pattern, _: re.fullmatch(pattern, v, re.ASCII),
    "required": lambda v, names, _: v.keys() == set(names),
    "properties": lambda v, of, root: all(fits(v[name], of[name], root) for name in of),
    "prefixItems": lambda v, of, root: all(fits(*pair, root) for pair in zip(v, of, strict=True)),
    "items": lambda v, schema, root: all(fits(one, schema, root) for one in v),
    "format": lambda v, name, _: name not in FORMATS or FORMATS[name](v),
}
