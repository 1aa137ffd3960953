"""Refused for who signed, or for what the log says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from making.defects import Defect, change, flip_last_bit, put, story, swap, torn
from making.keys import FALSE_LOG, OTHER_ISSUER, OTHER_LOG, SECOND
from making.story import BEFORE
from making.valid import HONEST, logged
from mbd.canonical.digest import b64encode
from mbd.certificate.issue import LogHead
from mbd.ledger.tlog_proof import parse_tlog_proof


def _told(
    name: str, code: str, *, exit_code: int = 1, trust: str = "trust.toml", **changes: Any
) -> Defect:
    return Defect(name, code, story(name, **changes).data(), exit_code, trust)


def _about(name: str, code: str, trust: str, exit_code: int = 1) -> Defect:
    """`valid/certified.json`, in the eyes of somebody who believes something else."""
    return Defect(name, code, logged()[HONEST.name], exit_code, trust)


def _proof(name: str, code: str, **changes: Any) -> Defect:
    """Another proof than the log gave."""

    def edit(text: str) -> str:
        return replace(parse_tlog_proof(text), **changes).text

    return torn(name, code, change("tlogProof", edit))


def defects() -> list[Defect]:
    return [*_keys(), *_entry(), *_proofs(), *_reference(), *_times()]


def _keys() -> list[Defect]:
    return [
        Defect("signed-by-a-stranger", "key.unknown", logged()["signed-by-a-stranger"], 3),
        _told("signed-by-another-issuer", "issuer.mismatch", signers=(OTHER_ISSUER,)),
        _told(
            "one-of-two-signatures-wrong",
            "sig.invalid",
            signers=(HONEST.signers[0], SECOND),
            edit_envelope=change("signatures.1.sig", flip_last_bit),
        ),
        _told(
            "signature-not-in-der",
            "sig.invalid",
            signers=(SECOND,),
            edit_envelope=put("signatures.0.sig", b64encode(bytes(range(1, 65)))),
        ),
        _about("key-not-announced-yet", "key.not_yet", "trust/key-not-yet.toml"),
        _about("key-retired-before", "key.retired", "trust/retired-before.toml"),
        _about("key-distrusted-before", "key.distrusted", "trust/distrusted-before.toml"),
        _about("key-distrusted-later", "ok", "trust/distrusted-later.toml", 9),
    ]


def _entry() -> list[Defect]:
    return [
        _told("entry-of-another-type", "leaf.type", entry_type="attempt"),
        _told("entry-of-an-unknown-type", "entry.invalid", entry_type="gossip"),
        _told("entry-of-another-statement", "leaf.mismatch", edit_entry=put("digest", "0" * 64)),
        _told("entry-without-signatures", "leaf.mismatch", edit_entry=put("signatures", [])),
        _told("entry-at-no-time", "time.invalid", edit_entry=put("time", "2026-02-30T12:00:01Z")),
        torn(
            "entry-from-another-bundle",
            "leaf.mismatch",
            put("entry", story("somebody-else").bundle()["entry"]),
        ),
    ]


def _proofs() -> list[Defect]:
    honest = parse_tlog_proof(HONEST.bundle()["tlogProof"])
    size = change("tlogProof", swap("\n7\n", "\n07\n"))
    return [
        _proof("proof-of-another-place", "incl.invalid", index=2),
        _proof("proof-beyond-the-log", "incl.invalid", index=7),
        _proof("proof-with-another-hash", "incl.invalid", hashes=(*honest.hashes[:-1], bytes(32))),
        _proof("proof-with-a-hash-more", "incl.invalid", hashes=(*honest.hashes, bytes(32))),
        _proof("proof-cut-short", "incl.invalid", hashes=honest.hashes[:-1]),
        _proof("proof-with-extra-data", "incl.extra", extra=b"trust me"),
        torn(
            "proof-with-another-header",
            "tlog_proof.malformed",
            change("tlogProof", swap("@v1", "@v2")),
        ),
        torn(
            "proof-with-a-padded-index",
            "tlog_proof.malformed",
            change("tlogProof", swap("index 3", "index 03")),
        ),
        torn("checkpoint-with-a-padded-size", "note.malformed", size),
        torn(
            "checkpoint-without-signature",
            "note.malformed",
            change("tlogProof", lambda text: text[: text.index("\u2014")]),
        ),
        torn(
            "checkpoint-with-101-signatures",
            "note.malformed",
            change("tlogProof", lambda text: text + "\u2014 other AAAAAAA=\n" * 100),
        ),
        torn(
            "checkpoint-signature-too-short",
            "note.malformed",
            change("tlogProof", lambda text: text + "\u2014 other AAAAAA==\n"),
        ),
        torn("checkpoint-signature-changed", "log.sig", change("tlogProof", _spoil_last_line)),
        _told("checkpoint-of-a-false-log", "log.unknown", exit_code=3, log=FALSE_LOG),
        _about("log-not-trusted", "log.unknown", "trust/without-log.toml", 3),
        _about("log-of-somebody-else", "log.unknown", "trust/other-log.toml", 3),
    ]


def _spoil_last_line(text: str) -> str:
    head, _, signature = text.rstrip("\n").rpartition(" ")
    return f"{head} {flip_last_bit(signature)}\n"


def _reference() -> list[Defect]:
    root = story("root").statement().predicate.ledger.root
    return [
        _told(
            "issued-for-another-log", "ledger.origin", issuance=_head(OTHER_LOG.name, BEFORE, root)
        ),
        _told(
            "issued-after-its-own-entry",
            "ledger.size",
            issuance=_head(HONEST.log.name, BEFORE + 1, root),
        ),
        _told(
            "issued-on-another-history",
            "ledger.root",
            issuance=_head(HONEST.log.name, BEFORE, "0" * 64),
        ),
    ]


def _head(origin: str, size: int, root: str) -> dict[str, Any]:
    return {"ledger": LogHead(origin=origin, size=size, root=root)}


def _times() -> list[Defect]:
    future = datetime(2199, 5, 17, 12, 0, 0, tzinfo=UTC)
    return [
        _told("logged-before-it-was-issued", "time.order", logged_after=-timedelta(minutes=11)),
        _told(
            "issued-long-before-it-was-logged", "time.backdated", logged_after=timedelta(days=31)
        ),
        _told("issued-in-the-future", "time.future", issued_at=future),
    ]
