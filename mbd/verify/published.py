"""What `certs/` publishes for other implementations, made from what the verifier itself uses.

Rules that depend on few facts (which claims belong to a class, which sentences a store may
have) are published as tables: every case is put to the rule and what it accepts is listed.
"""

from __future__ import annotations

import itertools
import math
import sys
from dataclasses import asdict
from datetime import timedelta
from typing import Any, get_args

from mbd.canonical.json import MAX_INTEGER, MAX_MARKS
from mbd.canonical.numbers import to_decimal
from mbd.certificate import (
    basis,
    bundle,
    characters,
    claims,
    days,
    envelope,
    guarantee_class,
    model_parts,
    receipt,
    scope,
    statement,
    theorems,
)
from mbd.certificate.schema import TIME, schemas, value_schemas
from mbd.errors import DataError
from mbd.ledger import entry, note, tlog_proof
from mbd.values import MAX_DELTA, GuaranteeClass
from mbd.verify import logged, trust
from mbd.verify.codes import CODES
from mbd.verify.report import BASE_LEVELS, EXIT_CODES, EXTRA_LEVELS, INTERNAL, WORST_FIRST
from mbd.verify.run import CHECKS

SCHEMA = "urn:mbd:registry:v1"
_DIGEST = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_LIMIT = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "number", "minimum": math.ulp(0.0), "maximum": sys.float_info.max},
    ]
}
"""What a trust file may accept at most."""
_TLOG_PROOF = (
    r"(?![\s\S]*[\x00-\x09\x0b-\x1f])c2sp\.org/tlog-proof@v1\n"
    rf"index (0|[1-9][0-9]{{0,17}})((?:\n[^\s=]{{43}}=){{0,{tlog_proof.MAX_HASHES}}})\n\n"
    r"(([^\n]+)\n(0|[1-9][0-9]{0,17})\n([^\s=]{43}=)\n(?:[^\n]+\n)*)\n"
    rf"((?:\u2014 [^\s+]+ [^\s=]{{7}}\S+\n){{1,{note.MAX_SIGNATURES}}})"
)
"""Index, hashes, text of the checkpoint, in it origin, size and root; signature lines.

Here base64 is only told by its length: 43 characters and `=` hold 32 bytes, 8 characters whose
first 7 are no padding hold 5 bytes or more.
"""


def published_schemas() -> dict[str, dict[str, Any]]:
    """JSON Schemas, by the name of their file under `certs/schema`."""
    return schemas(_entry_schema())


def registry() -> dict[str, Any]:
    """The content of `certs/registry.json`: fixed words, tables, limits, codes."""
    return {
        "schema": SCHEMA,
        "types": {
            "bundle": bundle.MEDIA_TYPE,
            "payload": statement.PAYLOAD_TYPE,
            "predicateFamily": statement.PREDICATE_FAMILY,
            "predicate": statement.PREDICATE_TYPE,
        },
        "limits": _limits(),
        "rules": _rules(),
        "theorems": _theorems(),
        "withoutTheorem": {"guarantee": _words(theorems.EMPIRICAL)},
        "retraining": theorems.RETRAINING.id,
        "claims": {name: asdict(words) for name, words in claims.REGISTRY.items()},
        "stores": scope.STORES,
        "scans": scope.SCANS,
        "outOfScope": scope.OUT_OF_SCOPE,
        "cases": _cases(),
        "levels": {"base": list(BASE_LEVELS), "extra": list(EXTRA_LEVELS)},
        "checks": [
            {"number": number, "name": name, "level": level}
            for number, (name, level, _) in enumerate(CHECKS, start=1)
        ],
        "codes": {name: asdict(code) for name, code in sorted(CODES.items())},
        "exitCodes": {**EXIT_CODES, "usage": 2, "internal error": INTERNAL},
        "worstFirst": list(WORST_FIRST),
    }


def _limits() -> dict[str, int]:
    """Sizes in bytes, depths in levels of nesting, numbers of things; all inclusive.

    Marks are the bytes `",:[{` of a JSON text, those inside strings included.
    """
    return {
        "integer": MAX_INTEGER,
        "bundleBytes": bundle.MAX_BUNDLE_BYTES,
        "bundleMarks": bundle._MAX_MARKS,
        "bundleDepth": 8,
        "envelopeSignatures": envelope.MAX_SIGNATURES,
        "statementBytes": statement.MAX_STATEMENT_BYTES,
        "statementMarks": MAX_MARKS,
        "statementDepth": statement._MAX_DEPTH,
        "entryBytes": entry.MAX_LEAF_BYTES,
        "entrySignatures": entry.MAX_SIGNATURES,
        "noteBytes": note.MAX_NOTE_BYTES,
        "noteSignatures": note.MAX_SIGNATURES,
        "proofHashes": tlog_proof.MAX_HASHES,
        "trustBytes": trust.MAX_TRUST_BYTES,
        "receiptBytes": receipt.MAX_RECEIPT_BYTES,
        "receiptDepth": 6,
    }


def _rules() -> dict[str, Any]:
    """Constants of the checks; durations in seconds."""
    seconds = timedelta(seconds=1)
    return {
        "reproduce": guarantee_class.REPRODUCE,
        "maxDelta": to_decimal(MAX_DELTA),
        "years": list(days.YEARS),
        "idWithinSeconds": days._ONE_MOMENT // seconds,
        "clockSkewSeconds": logged.CLOCK_SKEW // seconds,
        "longestDelaySeconds": logged.LONGEST_DELAY // seconds,
        "modelFiles": [model_parts.POLICY_FILE, *sorted(model_parts._CORE_FILES)],
        "headFiles": model_parts._HEAD_FILE.pattern,
        "basis": {
            "certified": basis._WHERE.pattern,
            "exact": basis._WHERE.pattern,
            "empirical": f"{basis._WHERE.pattern}|{basis._PROMISES.pattern}",
        },
        "readAs": characters.readings(),
        "textRefuses": [list(points) for points in characters.REFUSED],
        "tlogProof": _TLOG_PROOF,
        "trust": _trust_file(),
    }


def _trust_file() -> dict[str, Any]:
    """Tables of a trust file -> their names, each with the schema of its value."""
    forms = {name: get_args(field.annotation) or (field.annotation,)
             for name, field in trust._TrustForm.model_fields.items()}  # fmt: skip
    made = {name: value_schemas(form[0]) for name, form in forms.items()}
    return {**made, "limits": dict.fromkeys(made["limits"], _LIMIT)}


def _theorems() -> dict[str, Any]:
    """What a certificate that names a theorem says under `guarantee`, word for word."""
    return {
        name: {
            "statement": one.statement,
            "citation": one.citation,
            "guarantee": {"class": one.guarantee_class, **_words(one.wording)},
        }
        for name, one in theorems.THEOREMS.items()
    }


def _words(wording: theorems.Wording) -> dict[str, Any]:
    return {
        "comparator": wording.comparator,
        "neighbouring": wording.neighbouring,
        "arithmetic": wording.arithmetic,
        "notCovered": list(wording.not_covered),
    }


def _cases() -> list[dict[str, Any]]:
    """What a predicate holds beyond its form, for every case: a JSON Schema of some members."""
    classes = [one for one in get_args(GuaranteeClass) if one != "none"]
    found = []
    for kind, replaced, kept, retrained in itertools.product(classes, *[(False, True)] * 3):
        stores = _store_lists(replaced=replaced, retrained=retrained)
        if not stores or not _can_be(kind, replaced, kept, retrained):
            continue
        names = claims.claims_for(kind, replaced=replaced, kept=kept, retrained=retrained)
        deletion = {"stores": {"enum": stores}, "outOfScope": {"enum": _out_of_scope()}}
        members = {
            "guarantee": {"properties": _guarantee(kind, replaced, retrained)},
            "claims": {"const": [{"id": n, **asdict(claims.REGISTRY[n])} for n in names]},
            "deletion": {"properties": deletion},
        }
        case = {"class": kind, "replaced": replaced, "kept": kept, "retrained": retrained}
        found.append({**case, "predicate": {"properties": members}})
    return found


def _can_be(kind: str, replaced: bool, kept: bool, retrained: bool) -> bool:
    """Whether the rules about heads leave the case: a model has heads, a channel is read by one.

    Only class `exact` may select none, and retraining selects all.
    """
    if retrained:
        return kind == "exact" and replaced and not kept
    return replaced or (kind == "exact" and kept)


def _guarantee(kind: str, replaced: bool, retrained: bool) -> dict[str, Any]:
    """What the numbers of each class may be, and what the case is."""
    text, none, zero = {"type": "string"}, {"type": "null"}, {"const": "0"}
    empty, some, command = {"maxItems": 0}, {"minItems": 1}, {"const": guarantee_class.REPRODUCE}
    losses = ("rho", "epsilon", "delta")
    by_class: dict[str, dict[str, Any]] = {
        "certified": {
            **dict.fromkeys(("theorem", *losses), text),
            "parameters": some,
            "attempts": {"minimum": 1},
            "reproduce": command,
        },
        "exact": {
            "theorem": text,
            **dict.fromkeys(losses, zero),
            "parameters": empty,
            "attempts": {"const": 0},
            "reproduce": command,
        },
        "empirical": {
            **dict.fromkeys(("theorem", *losses), none),
            "parameters": empty,
            "reproduce": none,
        },
    }
    chosen = by_class[kind]
    if kind == "exact":
        name = theorems.RETRAINING.id
        other = {**text, "pattern": f"^(?!{name}$)[^\\n]*$"}
        chosen = {**chosen, "theorem": {"const": name} if retrained else other}
    touched = some if replaced or kind == "empirical" else empty
    return {"class": {"const": kind}, **chosen, "selectedHeads": touched}


def _out_of_scope() -> list[list[dict[str, str]]]:
    """Every list of what erasure cannot reach that a certificate may have."""
    topics = [
        [{"what": what, "reason": reason} for reason in known.values()]
        for what, known in scope.OUT_OF_SCOPE.items()
    ]
    return [list(chosen) for chosen in itertools.product(*topics)]


def _store_lists(*, replaced: bool, retrained: bool) -> list[list[dict[str, str]]]:
    """Every list of stores that a certificate may have; none if the case cannot be."""
    wanted = {*scope.ALWAYS, *(scope.IF_REPLACED if replaced else ())}
    rows = [
        [
            {"store": store, "action": action, "scan": scan}
            for action in known.values()
            for scan in scope.SCANS.values()
        ]
        for store, known in scope.STORES.items()
        if store in wanted
    ]
    every = [list(chosen) for chosen in itertools.product(*rows)]
    return [one for one in every if _accepted(one, replaced=replaced, retrained=retrained)]


def _accepted(stores: list[dict[str, str]], *, replaced: bool, retrained: bool) -> bool:
    rows = [(one["store"], one["action"], one["scan"]) for one in stores]
    try:
        scope.check_stores(rows, replaced=replaced, retrained=retrained)
    except DataError:
        return False
    return True


def _entry_schema() -> dict[str, Any]:
    """Of a leaf of the log, which `mbd.ledger.entry` reads by hand."""
    return {
        "title": "Entry",
        "description": "Content of the leaf: what the log says about the envelope.",
        "type": "object",
        "additionalProperties": False,
        "required": ["digest", "signatures", "time", "type"],
        "properties": {
            "digest": {**_DIGEST, "description": "SHA-256 of the bytes that were signed (PAE)."},
            "signatures": {
                "type": "array",
                "items": _DIGEST,
                "maxItems": entry.MAX_SIGNATURES,
                "description": "SHA-256 of each signature, in the order of the envelope.",
            },
            "time": {
                "type": "string",
                "format": "mbd-time",
                "pattern": TIME,
                "description": "When it was appended, UTC.",
            },
            "type": {"enum": list(entry.ENTRY_TYPES)},
        },
    }
