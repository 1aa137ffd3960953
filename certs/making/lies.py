"""Refused for what they say, although a trusted key signed it and the log holds it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from making.defects import Defect, change, drop, lie, put, swap
from making.story import NOW, Story, ulid
from making.valid import STORIES, logged
from mbd.canonical.digest import sha256_hex
from mbd.canonical.json import dumps
from mbd.canonical.numbers import from_decimal, to_decimal
from mbd.certificate.claims import REGISTRY

_P = "predicate."
_G = "predicate.guarantee."
_HEAD = "predicate.guarantee.parameters.0."
_OTHER = "0" * 64


def _base(name: str) -> Story:
    return replace(STORIES[name], edit=None)


def _undecided(name: str, code: str) -> Defect:
    return Defect(name, code, logged()[name], 3)


def _step_down(text: str) -> str:
    """The next smaller number that a computer holds."""
    return to_decimal(math.nextafter(from_decimal(text), 0))


def _without(index: int) -> Callable[[Any], Any]:
    return lambda rows: rows[:index] + rows[index + 1 :]


def defects() -> list[Defect]:
    return [*_form(), *_model(), *_class(), *_words(), *_heads(), *_arithmetic(), *_days()]


def _form() -> list[Defect]:
    return [
        lie(
            "statement-of-another-kind",
            "statement.type",
            put("predicateType", "https://slsa.dev/provenance/v1"),
        ),
        _undecided("statement-of-a-newer-version", "statement.version"),
        lie("statement-with-unknown-field", "statement.schema", put(_P + "forgotten", True)),
        lie("statement-without-salt", "statement.schema", drop(_P + "salt")),
        lie(
            "number-in-another-spelling",
            "statement.schema",
            put(_HEAD + "strongConvexity", "0.250"),
        ),
        lie("number-below-zero", "statement.schema", put(_G + "epsilon", "-1")),
        lie("number-not-finite", "statement.schema", put(_G + "epsilon", "1e+999")),
        lie("day-that-is-none", "statement.schema", put(_P + "request.dueBy", "2026-02-30")),
        lie(
            "names-not-ascending",
            "statement.schema",
            put(_P + "deletion.modalities", ["text", "audio"]),
        ),
        lie(
            "head-name-in-other-order",
            "statement.schema",
            put(_G + "heads", ["audio", "text", "text+audio"]),
        ),
        lie(
            "text-written-backwards",
            "statement.schema",
            put(_P + "request.basis", "request\u202e of the data subject"),
        ),
        lie(
            "path-that-leaves-the-folder",
            "statement.schema",
            put(_P + "deletion.modelAfter.files.0.path", "../policy.json"),
        ),
    ]


def _model() -> list[Defect]:
    files = _P + "deletion.modelAfter.files"
    stray = {"path": "notes.txt", "sha256": _OTHER}
    return [
        lie("subject-is-another-model", "model.subject", put("subject.0.digest.sha256", _OTHER)),
        lie("file-digest-changed", "model.digest", put(files + ".0.sha256", _OTHER)),
        _with_files(
            "model-with-a-stray-file",
            "model.file",
            lambda rows: sorted([*rows, stray], key=lambda row: row["path"]),
        ),
        _with_files(
            "model-without-policy",
            "model.policy",
            lambda rows: [row for row in rows if row["path"] != "policy.json"],
        ),
        _with_files("files-in-another-order", "model.digest", lambda rows: rows[::-1]),
        lie("policy-of-another-model", "policy.digest", put(_G + "policyEntry.digest", _OTHER)),
        lie("policy-logged-afterwards", "policy.index", put(_G + "policyEntry.index", 3)),
    ]


def _with_files(name: str, code: str, by: Callable[[Any], Any]) -> Defect:
    """Other files, with the digest that belongs to them."""

    def edit(content: Any) -> None:
        model = content["predicate"]["deletion"]["modelAfter"]
        model["files"] = by(model["files"])
        model["digest"] = sha256_hex(dumps(model["files"]))
        content["subject"][0]["digest"]["sha256"] = model["digest"]

    return lie(name, code, edit)


def _class() -> list[Defect]:
    exact, empirical = _base("exact"), _base("empirical")
    return [
        lie("certified-without-epsilon", "class.certified", put(_G + "epsilon", None)),
        lie("certified-without-an-attempt", "class.certified", put(_G + "attempts", 0)),
        lie("exact-with-epsilon", "class.exact", put(_G + "epsilon", "0.1"), base=exact),
        lie(
            "exact-that-cannot-be-reproduced",
            "class.exact",
            put(_G + "reproduce", None),
            base=exact,
        ),
        lie("empirical-with-epsilon", "class.empirical", put(_G + "epsilon", "1"), base=empirical),
        lie(
            "empirical-that-guarantees",
            "class.empirical",
            put(_P + "request.basis", "we guarantee that the voice is gone"),
            base=empirical,
        ),
        lie(
            "reproduce-runs-something-else",
            "class.reproduce",
            put(_G + "reproduce", "curl https example | sh"),
        ),
        lie(
            "basis-with-a-path",
            "class.private",
            put(_P + "request.basis", "request in /home/clinic/jane.doe"),
        ),
        lie(
            "supersedes-a-newer-one",
            "class.supersedes",
            put(_P + "supersedes", ulid("newer", datetime(2026, 6, 1, tzinfo=UTC))),
        ),
    ]


def _words() -> list[Defect]:
    claims, stores = _P + "claims", _P + "deletion.stores"
    return [
        lie("claim-left-out", "claims.set", change(claims, _without(1))),
        lie("claim-added", "claims.set", change(claims, lambda rows: [*rows, rows[0]])),
        lie("claim-stronger-than-it-is", "claims.wording", put(claims + ".1.status", "checked")),
        lie(
            "claim-in-other-words",
            "claims.wording",
            put(claims + ".1.text", "The person was forgotten."),
        ),
        lie("store-left-out", "scope.store", change(stores, _without(3))),
        lie("store-in-other-words", "scope.store", put(stores + ".0.scan", "all is gone")),
        lie("backups-left-out", "scope.topic", change(_P + "deletion.outOfScope", _without(3))),
        _undecided("theorem-unknown", "theorem.unknown"),
        lie(
            "theorem-of-another-class",
            "theorem.class",
            put(_G + "theorem", "urn:mbd:theorem:exact-subtraction:v1"),
        ),
        lie(
            "theorem-promises-more",
            "theorem.wording",
            change(_G + "comparator", swap("released by this request", "ever released")),
        ),
        lie(
            "theorem-hides-what-it-does-not-cover",
            "theorem.wording",
            change(_G + "notCovered", _without(0)),
        ),
    ]


def _heads() -> list[Defect]:
    first = change(_G + "parameters", _without(0))
    claim = {"id": "others-untouched", **asdict(REGISTRY["others-untouched"])}
    return [
        lie(
            "head-that-the-files-lack",
            "heads.files",
            change(_G + "heads", lambda heads: [*heads, "video"]),
        ),
        lie(
            "selected-head-that-the-model-lacks",
            "heads.unknown",
            change(_G + "selectedHeads", lambda heads: [*heads, "video"]),
        ),
        lie(
            "channel-that-no-head-reads",
            "heads.modality",
            put(_P + "deletion.modalities", ["audio", "video"]),
        ),
        lie("head-left-out", "heads.incomplete", put(_G + "selectedHeads", ["audio+text"]), first),
        lie("head-without-parameters", "heads.incomplete", first),
        lie(
            "retrained-but-one-head-kept",
            "heads.incomplete",
            change(_G + "selectedHeads", lambda heads: [one for one in heads if one != "text"]),
            change(_P + "claims", lambda rows: [*rows[:-1], claim, rows[-1]]),
            base=_base("exact-retrained"),
        ),
    ]


def _arithmetic() -> list[Defect]:
    return [
        lie("epsilon-one-step-too-small", "claim.epsilon", change(_G + "epsilon", _step_down)),
        lie("rho-one-step-too-small", "claim.rho", change(_G + "rho", _step_down)),
        lie("rho-of-one-attempt-for-two", "claim.rho", put(_G + "attempts", 2)),
        lie("delta-that-promises-nothing", "claim.delta", put(_G + "delta", "0.5")),
        lie("delta-zero", "claim.delta", put(_G + "delta", "0")),
        lie(
            "sensitivity-one-step-too-small",
            "claim.sensitivity",
            change(_HEAD + "sensitivity", _step_down),
        ),
        lie("sigma-off-the-grid", "claim.sigma", change(_HEAD + "sigma", _step_down)),
        lie(
            "sensitivity-beyond-every-rho", "claim.arithmetic", put(_HEAD + "sensitivity", "1e+300")
        ),
        lie("grid-no-power-of-two", "claim.grid", put(_HEAD + "grid", "1e-9")),
        lie("convexity-zero", "claim.strong_convexity", put(_HEAD + "strongConvexity", "0")),
        lie("tolerance-zero", "claim.tolerance", put(_HEAD + "tolerance", "0")),
        lie("epsilon-above-the-limit", "limit.epsilon", trust="trust/small-epsilon.toml"),
        lie("delta-above-the-limit", "limit.delta", trust="trust/small-delta.toml"),
        lie(
            "epsilon-not-stated-but-limited",
            "limit.epsilon",
            base=_base("empirical"),
            trust="trust/small-epsilon.toml",
        ),
    ]


def _days() -> list[Defect]:
    request = _P + "request."
    return [
        lie(
            "completed-before-it-was-received",
            "time.order",
            put(request + "completedOn", "2026-05-14"),
        ),
        lie(
            "completed-after-it-was-issued",
            "time.order",
            put(request + "completedOn", "2026-05-18"),
        ),
        lie("due-before-it-was-received", "time.order", put(request + "dueBy", "2026-05-14")),
        lie("year-that-cannot-be", "time.year", put(request + "receivedOn", "1926-05-15")),
        lie(
            "id-of-another-time",
            "time.id",
            put(_P + "certificateId", ulid("id-of-another-time", NOW.replace(hour=13))),
        ),
    ]
