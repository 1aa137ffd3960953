"""Tables of FORMAT.md that follow from the registry, between markers in the text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

_LIMITS = {
    "integer": "largest integer in a JSON text",
    "bundleBytes": "bundle, bytes",
    "bundleMarks": "bundle, marks",
    "bundleDepth": "bundle, depth",
    "envelopeSignatures": "signatures of an envelope",
    "statementBytes": "statement, bytes",
    "statementMarks": "statement, marks",
    "statementDepth": "statement, depth",
    "entryBytes": "entry, bytes",
    "entrySignatures": "signatures of an entry",
    "noteBytes": "checkpoint, bytes",
    "noteSignatures": "signature lines of a checkpoint",
    "proofHashes": "hashes of a proof",
    "trustBytes": "trust file, bytes",
    "receiptBytes": "receipt, bytes",
    "receiptDepth": "receipt, depth",
}
_EXITS = {
    "valid": "nothing failed, what is needed holds; whether superseded later is not checked",
    "invalid": "a check failed",
    "usage": "no such file, a trust file that says nothing one could believe",
    "undecided": "a level that is needed does not hold",
    "not-current": "valid, but each key that signed is distrusted from a later entry on",
    "internal error": "a defect of the verifier",
}


def fill(text: str, registry: dict[str, Any]) -> str:
    """The text with every marked table made anew."""
    made = {
        "limits": _table(
            ("`limits` of the registry", "of what", "at most"),
            ((f"`{key}`", _LIMITS[key], value) for key, value in registry["limits"].items()),
        ),
        "checks": _table(
            ("number", "check", "level"),
            ((one["number"], one["name"], one["level"]) for one in registry["checks"]),
        ),
        "exits": _table(
            ("exit code", "verdict", "when"),
            sorted((code, name, _EXITS[name]) for name, code in registry["exitCodes"].items()),
        ),
        "codes": _table(
            ("code", "gives", "meaning"),
            (
                (f"`{name}`", one["outcome"], one["sentence"])
                for name, one in registry["codes"].items()
            ),
        ),
    }
    return _MARKED.sub(lambda found: found[1] + made[found[2]] + found[3], text)


def _table(head: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)
