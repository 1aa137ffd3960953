"""Every parser that reads what a stranger wrote, as a function of bytes, with valid documents.

`fuzz.py` here feeds them with bytes of libFuzzer, tests/fuzz with those of hypothesis. A target
may raise what the program raises on bad input, an `MbdError`, and nothing else. Whoever imports
this puts ../benchmarks on the path.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from verify_world import ORIGIN, START, Signer, bundles, fixed_key, trust

from mbd.canonical.items import Item, prove_items, root_of_items
from mbd.canonical.json import MAX_MARKS, dumps, loads_strict
from mbd.certificate.bundle import MAX_BUNDLE_BYTES, parse_bundle
from mbd.certificate.envelope import parse_envelope
from mbd.certificate.escrow import (
    ESCROWED,
    MAX_ESCROW_BYTES,
    make_escrow,
    parse_escrow,
)
from mbd.certificate.receipt import BOUNDED_RECEIPT_BYTES, parse_receipt
from mbd.certificate.rules import check_class_rules
from mbd.certificate.statement import MAX_STATEMENT_BYTES, parse_statement
from mbd.ledger.consistency import ConsistencyProof, parse_consistency_proof
from mbd.ledger.cosignature import cosign, cosigned_at, parse_witness_key
from mbd.ledger.entry import MAX_LEAF_BYTES, parse_entry
from mbd.ledger.note import (
    MAX_NOTE_BYTES,
    VerifierKey,
    open_checkpoint,
    parse_checkpoint,
    parse_note,
    parse_verifier_key,
)
from mbd.ledger.tlog_proof import parse_tlog_proof
from mbd.verify import render_trust, verify_bundle
from mbd.verify.extras import check_items
from mbd.verify.head_file import read_head
from mbd.verify.last_visit import Recalled
from mbd.verify.model_policy import parse_policy
from mbd.verify.trust import MAX_TRUST_BYTES, parse_trust
from mbd.verify.trust_offer import read_offer

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SALT = "5" * 64


@dataclass(frozen=True)
class Target:
    """A parser, what it reads at most, and valid documents to start from."""

    run: Callable[[bytes], object]
    most_bytes: int
    seeds: Callable[[], list[bytes]]


def _text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    """Of a parser that is given text, which somebody else decoded."""
    return lambda data: parse(data.decode("utf-8", "replace"))


def _statement(data: bytes) -> None:
    check_class_rules(parse_statement(data))


def _note(data: bytes) -> None:
    parse_checkpoint(parse_note(data).text)
    cosigned_at(parse_note(data), parse_witness_key(_witness_key()), NOW)
    open_checkpoint(data, VerifierKey(ORIGIN, Signer(fixed_key("log")).public_key), ORIGIN)


def _receipt(data: bytes) -> None:
    check_items(parse_receipt(data))


def _verify(data: bytes) -> None:
    verify_bundle(data, trust(), now=NOW).to_json()


def _beside(data: bytes) -> None:
    """The same bytes as everything that can be given beside a bundle."""
    recalled = Recalled(data)
    verify_bundle(_world()[0], trust(), receipt=data, growth=[data], recalled=recalled, now=NOW)


def _head_file(data: bytes) -> None:
    path = _scratch() / "head.safetensors"
    path.write_bytes(data)
    read_head(path)


@lru_cache(maxsize=1)
def _scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="mbd-fuzz-"))


@lru_cache(maxsize=1)
def _world() -> list[bytes]:
    return bundles(4)


def _payloads() -> list[bytes]:
    return [parse_bundle(data).envelope.payload for data in _world()]


def _proofs() -> list[bytes]:
    return [parse_bundle(data).tlog_proof.encode() for data in _world()]


def _checkpoint() -> str:
    return parse_tlog_proof(_proofs()[-1].decode()).checkpoint


def _witness_key() -> str:
    return str(VerifierKey("witness.example", fixed_key("witness").public.raw, 4))


def _notes() -> list[bytes]:
    text = _checkpoint()
    witness = Signer(fixed_key("witness"), "witness.example")
    cosigned = text + cosign(parse_note(text).text, witness, START)
    return [text.encode(), cosigned.encode()]


def _trusts() -> list[bytes]:
    plain = render_trust(trust())
    witness = f'\n[[witness]]\nname = "w"\nvkey = "{_witness_key()}"\n\n[witnesses]\nquorum = 1\n'
    limits = "\n[limits]\nepsilon = 8\ndelta = 1e-5\n"
    return [plain.encode(), (plain + witness + limits).encode()]


def _offers() -> list[bytes]:
    issuer, log = fixed_key("issuer").public, fixed_key("log").public
    key = {"role": "issuer", "state": "active", "keyId": issuer.key_id, "algorithm": "ed25519"}
    export = {
        "schema": "urn:mbd:cli:key-export:v1",
        "issuer": "Example Clinic",
        "origin": ORIGIN,
        "keys": [{**key, "publicKey": None, "validFrom": 3}],
    }
    vkey = str(VerifierKey(ORIGIN, log.raw))
    return [json.dumps(export).encode(), issuer.pem.encode(), vkey.encode(), *_trusts()]


def _receipts() -> list[bytes]:
    item = Item(
        record="r1",
        subject="42",
        cohort="revocable",
        split="train",
        label="-0.5",
        modality="audio",
        steps=3,
        features="1" * 64,
        salt=SALT,
    )
    others = [Item(**{**item.to_json(), "record": f"r{number}"}) for number in range(2, 5)]
    rows = []
    for one in prove_items([item, *others]):
        row = one.item.to_json()
        del row["subject"]
        rows.append({**row, "index": one.index, "proof": [part.hex() for part in one.proof]})
    opening = {"salt": SALT, "digest": root_of_items([item, *others]).hex()}
    openings = dict.fromkeys(["datasetBefore", "datasetAfter", "stateAfter", "deletedSet"], opening)
    whole = {
        "receipt": "urn:mbd:receipt:v1",
        "certificateId": "01KRTWXDG0DEFGHJKMNPQRSTVW",
        "subject": "42",
        "modalities": ["audio"],
        "subjectKey": SALT,
        "openings": openings,
        "treeSize": len(rows),
        "items": rows,
        "traces": {"base": "1" * 16, "salt": SALT, "groups": [], "leftOut": 0, "vanished": []},
    }
    return [json.dumps(whole).encode()]


def _escrows() -> list[bytes]:
    salts = dict.fromkeys(ESCROWED, b"\x05" * 32)
    return [make_escrow("01KRTWXDG0DEFGHJKMNPQRSTVW", salts).to_bytes()]


def _policies() -> list[bytes]:
    constants = {"head": "audio", "dimension": 8, "outputs": 1, "sigma": 0.5, "grid": 0.25}
    policy = {
        "schema": "urn:mbd:policy:v1",
        "dataset": {
            "labelDerivedFrom": [],
            "modalities": [{"name": "audio", "derivedFrom": []}],
        },
        "heads": {"audio": {"constants": {**constants, "scale": {"strong_convexity": 1.0}}}},
        "provenance": [{"name": "core", "kind": "x", "cohorts": [], "modalities": []}],
    }
    return [dumps(policy)]


def _heads() -> list[bytes]:
    tensors = {
        "noise_steps": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]},
        "weights": {"dtype": "I64", "shape": [2, 1], "data_offsets": [8, 24]},
    }
    header = json.dumps(tensors).encode()
    return [len(header).to_bytes(8, "little") + header + bytes(24)]


def _consistencies() -> list[bytes]:
    proof = ConsistencyProof(3, (b"\x01" * 32, b"\x02" * 32), _checkpoint())
    return [proof.text.encode()]


TARGETS: Mapping[str, Target] = {
    "verify": Target(_verify, MAX_BUNDLE_BYTES, _world),
    "bundle": Target(parse_bundle, MAX_BUNDLE_BYTES, _world),
    "envelope": Target(
        lambda data: parse_envelope(loads_strict(data, max_marks=MAX_MARKS)),
        MAX_STATEMENT_BYTES,
        lambda: [json.dumps(json.loads(data)["envelope"]).encode() for data in _world()],
    ),
    "statement": Target(_statement, MAX_STATEMENT_BYTES, _payloads),
    "entry": Target(
        parse_entry, MAX_LEAF_BYTES, lambda: [parse_bundle(data).entry for data in _world()]
    ),
    "tlog-proof": Target(_text(parse_tlog_proof), MAX_NOTE_BYTES, _proofs),
    "note": Target(_note, MAX_NOTE_BYTES, _notes),
    "vkey": Target(_text(parse_verifier_key), MAX_NOTE_BYTES, lambda: [_offers()[2]]),
    "consistency": Target(_text(parse_consistency_proof), MAX_NOTE_BYTES, _consistencies),
    "trust": Target(parse_trust, MAX_TRUST_BYTES, _trusts),
    "offer": Target(lambda data: read_offer(data, name="X"), MAX_TRUST_BYTES, _offers),
    "receipt": Target(_receipt, BOUNDED_RECEIPT_BYTES, _receipts),
    "escrow": Target(parse_escrow, MAX_ESCROW_BYTES, _escrows),
    "beside": Target(_beside, MAX_NOTE_BYTES, lambda: [*_receipts(), *_consistencies(), *_notes()]),
    "policy": Target(parse_policy, MAX_STATEMENT_BYTES, _policies),
    "head-file": Target(_head_file, MAX_LEAF_BYTES, _heads),
}
"""By name; `policy` is read here below its cap, which is for files of model folders."""
