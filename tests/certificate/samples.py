"""One certified and one exact deletion in plain numbers, and what issuing them needs."""

from __future__ import annotations

import copy
import dataclasses
from datetime import UTC, date, datetime
from typing import Any

from mbd.canonical.items import Item, prove_items, root_of_items
from mbd.certificate.issue import Issuance, LoggedPolicy, LogHead, Salts
from mbd.certificate.scope import ALWAYS, IF_REPLACED, RETRAINED, STORES, out_of_scope, store_row
from mbd.privacy.accountant import sensitivity_of
from mbd.signing.commitment import subject_commitment, subject_key
from mbd.values import DeletionOutcome, FileDigest, HeadParameters

NOW = datetime(2026, 5, 17, 12, 0, 0, tzinfo=UTC)
CERTIFICATE_ID = "01KRTWXDG0DEFGHJKMNPQRSTVW"
"""Of the moment `NOW`."""
SUBJECT = "42"
SECRET = b"s" * 32
SUBJECT_KEY = subject_key(SECRET, CERTIFICATE_ID)
ITEMS = tuple(
    Item(
        record=f"r{number}",
        subject=SUBJECT,
        cohort="revocable",
        split="train",
        label="-0.5",
        modality="audio",
        steps=number + 1,
        features=f"{number:x}" * 64,
        salt=f"{number + 5:x}" * 64,
    )
    for number in range(5)
)
TRACES = {"base": "1" * 16, "salt": "8" * 64, "groups": [], "leftOut": 0, "vanished": ["r4"]}
CONTENTS = {"items": prove_items(ITEMS), "traces": TRACES}
"""What a receipt holds beside openings."""
HEADS = ("audio", "audio+text", "text")
POLICY_DIGEST = "6" * 64


def stores(*, replaced: bool = True, retrained: bool = False) -> tuple[dict[str, str], ...]:
    """What a certificate must list, in the words that fit."""
    listed = {*ALWAYS, *(IF_REPLACED if replaced else ())}
    names = [name for name in STORES if name in listed]
    actions = {name: next(iter(STORES[name])) for name in names}
    if not replaced:
        actions["prepared rows"] = "none"
    if retrained:
        actions |= RETRAINED
    return tuple(store_row(name, action) for name, action in actions.items())


def head(name: str, **changes: Any) -> HeadParameters:
    values: dict[str, Any] = {
        "head": name,
        "dimension": 1024,
        "outputs": 1,
        "strong_convexity": 0.25,
        "tolerance": 2.0**-20,
        "sensitivity": sensitivity_of(2.0**-20, 0.25),
        "sigma": 2.0**-13,
        "grid": 2.0**-30,
    }
    return HeadParameters(**{**values, **changes})


def outcome(**changes: Any) -> DeletionOutcome:
    """A certified deletion of 'audio' from a model of three heads."""
    certified = DeletionOutcome(
        guarantee_class="certified",
        modalities=("audio",),
        heads=(head("audio"), head("audio+text")),
        selected_heads=("audio", "audio+text"),
        all_heads=HEADS,
        model_after=(
            FileDigest(path="policy.json", sha256=POLICY_DIGEST),
            FileDigest(path="heads/text.safetensors", sha256="b" * 64),
            FileDigest(path="heads/audio+text.safetensors", sha256="c" * 64),
            FileDigest(path="heads/audio.safetensors", sha256="a" * 64),
        ),
        dataset_before="1" * 64,
        dataset_after="2" * 64,
        state_after="3" * 64,
        deleted_set=root_of_items(ITEMS).hex(),
        attempts=1,
        stores=stores(),
        out_of_scope=out_of_scope(),
    )
    return dataclasses.replace(certified, **changes)


def exact_outcome(**changes: Any) -> DeletionOutcome:
    replaced = bool(changes.get("selected_heads", True))
    values = {"guarantee_class": "exact", "heads": (), "attempts": 0}
    return outcome(**{**values, "stores": stores(replaced=replaced), **changes})


def retrained_outcome(**changes: Any) -> DeletionOutcome:
    values = {"selected_heads": HEADS, "stores": stores(retrained=True), "retrained": True}
    return exact_outcome(**{**values, **changes})


def empirical_outcome(**changes: Any) -> DeletionOutcome:
    return exact_outcome(**{"guarantee_class": "empirical", **changes})


def issuance(**changes: Any) -> Issuance:
    values: dict[str, Any] = {
        "certificate_id": CERTIFICATE_ID,
        "salt": b"\x07" * 32,
        "issued_at": NOW,
        "issuer": "Example Clinic",
        "received_on": date(2026, 5, 15),
        "completed_on": date(2026, 5, 17),
        "due_by": date(2026, 6, 14),
        "basis": "request of the data subject",
        "subject_commitment": subject_commitment(SUBJECT_KEY, CERTIFICATE_ID, SUBJECT),
        "policy_entry": LoggedPolicy(index=0, leaf_hash="5" * 64, digest=POLICY_DIGEST),
        "ledger": LogHead(origin="ledger.example/1", size=3, root="7" * 64),
        "salts": Salts(
            dataset_before=b"\x01" * 32,
            dataset_after=b"\x02" * 32,
            state_after=b"\x03" * 32,
            deleted_set=b"\x04" * 32,
        ),
        "delta": 1e-6,
    }
    return Issuance(**{**values, **changes})


def altered(content: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A deep copy of parsed JSON with one member replaced; `path` is dotted."""
    changed = copy.deepcopy(content)
    *parents, last = path.split(".")
    place: Any = changed
    for part in parents:
        place = place[int(part) if part.isdigit() else part]
    place[int(last) if last.isdigit() else last] = value
    return changed
