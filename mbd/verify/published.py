"""What `certs/` publishes for other implementations, made from what the verifier itself uses.

Rules that depend on few facts (which claims belong to a class, which sentences a store may
have) are published as tables: every case is put to the rule and what it accepts is listed.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict
from datetime import timedelta
from typing import Any, get_args

from mbd.canonical.json import MAX_INTEGER
from mbd.canonical.numbers import to_decimal
from mbd.certificate import bundle, claims, envelope, receipt, rules, scope, statement, theorems
from mbd.certificate.schema import schemas
from mbd.errors import DataError
from mbd.ledger import entry, note, tlog_proof
from mbd.values import MAX_DELTA, GuaranteeClass
from mbd.verify import logged
from mbd.verify.codes import CODES
from mbd.verify.report import BASE_LEVELS, EXIT_CODES, EXTRA_LEVELS, WORST_FIRST
from mbd.verify.run import CHECKS

SCHEMA = "urn:mbd:registry:v1"
_DIGEST = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


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
        "theorems": {name: asdict(one) for name, one in theorems.THEOREMS.items()},
        "withoutTheorem": asdict(theorems.EMPIRICAL),
        "retraining": theorems.RETRAINING.id,
        "claims": {name: asdict(words) for name, words in claims.REGISTRY.items()},
        "claimSets": _claim_sets(),
        "stores": scope.STORES,
        "scans": scope.SCANS,
        "storeSets": _store_sets(),
        "outOfScope": {what: list(known.values()) for what, known in scope.OUT_OF_SCOPE.items()},
        "levels": {"base": list(BASE_LEVELS), "extra": list(EXTRA_LEVELS)},
        "checks": [
            {"number": number, "name": name, "level": level}
            for number, (name, level, _) in enumerate(CHECKS, start=1)
        ],
        "codes": {name: asdict(code) for name, code in sorted(CODES.items())},
        "exitCodes": {**EXIT_CODES, "usage": 2, "internal error": 70},
        "worstFirst": list(WORST_FIRST),
    }


def _limits() -> dict[str, int]:
    """Sizes in bytes, depths in levels of nesting, numbers of things; all inclusive."""
    return {
        "integer": MAX_INTEGER,
        "bundleBytes": bundle.MAX_BUNDLE_BYTES,
        "bundleDepth": 8,
        "envelopeSignatures": envelope.MAX_SIGNATURES,
        "statementBytes": statement.MAX_STATEMENT_BYTES,
        "statementDepth": 16,
        "entryBytes": entry.MAX_LEAF_BYTES,
        "entrySignatures": entry.MAX_SIGNATURES,
        "noteBytes": note.MAX_NOTE_BYTES,
        "noteSignatures": note.MAX_SIGNATURES,
        "proofHashes": tlog_proof.MAX_HASHES,
        "receiptBytes": receipt.MAX_RECEIPT_BYTES,
        "receiptDepth": 6,
    }


def _rules() -> dict[str, Any]:
    """Constants of the checks; durations in seconds."""
    seconds = timedelta(seconds=1)
    return {
        "reproduce": rules.REPRODUCE,
        "maxDelta": to_decimal(MAX_DELTA),
        "years": list(rules.YEARS),
        "idWithinSeconds": rules._ONE_MOMENT // seconds,
        "clockSkewSeconds": logged.CLOCK_SKEW // seconds,
        "longestDelaySeconds": logged.LONGEST_DELAY // seconds,
        "modelFiles": [rules.POLICY_FILE, *sorted(rules._CORE_FILES)],
        "headFiles": rules._HEAD_FILE.pattern,
        "promises": rules._PROMISES.pattern,
        "places": rules._WHERE.pattern,
    }


def _claim_sets() -> list[dict[str, Any]]:
    """Which claims a certificate makes, for every case: order counts."""
    classes = [one for one in get_args(GuaranteeClass) if one != "none"]
    return [
        {
            "class": kind,
            "replaced": replaced,
            "kept": kept,
            "retrained": retrained,
            "claims": list(
                claims.claims_for(kind, replaced=replaced, kept=kept, retrained=retrained)
            ),
        }
        for kind in classes
        for replaced, kept, retrained in itertools.product((False, True), repeat=3)
    ]


def _store_sets() -> list[dict[str, Any]]:
    """Which stores a certificate lists, in this order, and what each may say, for every case."""
    sets = []
    for replaced, retrained in itertools.product((False, True), repeat=2):
        wanted = {*scope.ALWAYS, *(scope.IF_REPLACED if replaced else ())}
        stores = [store for store in scope.STORES if store in wanted]
        accepted = [
            chosen
            for chosen in itertools.product(*(scope.STORES[store].values() for store in stores))
            if _accepted(stores, chosen, replaced=replaced, retrained=retrained)
        ]
        if accepted:
            actions = [sorted(set(column)) for column in zip(*accepted, strict=True)]
            allowed = dict(zip(stores, actions, strict=True))
            sets.append({"replaced": replaced, "retrained": retrained, "stores": allowed})
    return sets


def _accepted(
    stores: list[str], actions: tuple[str, ...], *, replaced: bool, retrained: bool
) -> bool:
    scan = next(iter(scope.SCANS.values()))
    rows = [(store, action, scan) for store, action in zip(stores, actions, strict=True)]
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
                "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$",
                "description": "When it was appended, UTC.",
            },
            "type": {"enum": list(entry.ENTRY_TYPES)},
        },
    }
