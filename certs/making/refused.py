"""The examples that a verifier refuses, each named after its one defect."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from making import lies, torn, unlogged
from making.defects import Defect, drop, flip_last_bit, put
from making.keys import WITNESSES
from making.valid import STORIES, cosignatures, logged
from mbd.canonical.json import dumps


def defects() -> list[Defect]:
    return [*torn.defects(), *lies.defects(), *unlogged.defects()]


def receipts() -> dict[str, tuple[bytes, str]]:
    """Receipts that do not belong to `valid/certified.json`: name -> content and code."""
    other = STORIES["exact"].receipt().to_bytes()
    return {
        "of-another-certificate": (other, "receipt.other"),
        "of-another-subject": (_spoiled(put("subject", "43")), "receipt.subject"),
        "of-other-channels": (_spoiled(put("modalities", ["text"])), "receipt.modalities"),
        "with-another-salt": (
            _spoiled(put("openings.stateAfter.salt", "0" * 64)),
            "receipt.opening",
        ),
        "with-an-item-twice": (_spoiled(_twice), "receipt.items"),
        "with-an-item-that-was-not-there": (_spoiled(put("items.1.label", "0.5")), "receipt.item"),
        "without-traces": (_spoiled(drop("traces")), "receipt.schema"),
    }


def unwitnessed() -> dict[str, tuple[bytes, str, int]]:
    """Where two of three witnesses are asked for: name -> bundle, code, exit code."""
    bundle = json.loads(logged()["certified"])
    east, north, _ = WITNESSES
    both, future = cosignatures(bundle, [east, north]), datetime(2199, 1, 1, tzinfo=UTC)
    later = cosignatures(bundle, [east, north], future)
    head, _, last = both[:-1].rpartition(" ")
    wrong = f"{head} {flip_last_bit(last)}\n"
    cases = {
        "witness-alone": (cosignatures(bundle, [east]), "witness.quorum", 3),
        "witness-twice": (cosignatures(bundle, [east, east]), "witness.quorum", 3),
        "witnesses-in-the-future": (later, "witness.quorum", 3),
        "witness-signature-changed": (wrong, "witness.sig", 1),
    }
    return {
        name: (dumps({**bundle, "tlogProof": bundle["tlogProof"] + lines}), code, exit_code)
        for name, (lines, code, exit_code) in cases.items()
    }


def _twice(content: Any) -> None:
    content["items"][1] = content["items"][0]


def _spoiled(edit: Callable[[Any], None]) -> bytes:
    content = json.loads(STORIES["certified"].receipt().to_bytes())
    edit(content)
    return dumps(content)
