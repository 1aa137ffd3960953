"""A statement has one shape; what does not fit it is refused, and nothing leaks into it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mbd.canonical.digest import files_root, sha256_hex
from mbd.canonical.json import dumps
from mbd.certificate import statement as statement_module
from mbd.certificate.claims import REGISTRY, claims_for
from mbd.certificate.issue import build_statement
from mbd.certificate.rules import check_class_rules
from mbd.certificate.scope import RETRAINED as RETRAINED_STORES
from mbd.certificate.statement import parse_statement
from mbd.certificate.theorems import EXACT as SUBTRACTION
from mbd.certificate.theorems import RETRAINING, THEOREMS, theorem_of
from mbd.errors import DataError, MbdError, RefusedError
from mbd.values import FileDigest
from tests.certificate.samples import (
    HEADS,
    POLICY_DIGEST,
    altered,
    empirical_outcome,
    exact_outcome,
    head,
    issuance,
    outcome,
    retrained_outcome,
    stores,
)

CERTIFIED = json.loads(build_statement(outcome(), issuance()).to_bytes())
EXACT = json.loads(build_statement(exact_outcome(), issuance()).to_bytes())
RETRAINED = json.loads(build_statement(retrained_outcome(), issuance()).to_bytes())
EMPIRICAL = json.loads(build_statement(empirical_outcome(), issuance()).to_bytes())


def code_of(content: dict) -> str:
    """The code with which parsing, or else the rules, refuse; '' if neither does."""
    try:
        check_class_rules(parse_statement(dumps(content)))
    except DataError as error:
        return error.code
    return ""


@pytest.mark.parametrize("make", [outcome, exact_outcome, retrained_outcome, empirical_outcome])
def test_a_statement_reads_back_as_it_was_written(make):
    statement = build_statement(make(), issuance())

    assert parse_statement(statement.to_bytes()) == statement
    assert parse_statement(statement.to_bytes()).to_bytes() == statement.to_bytes()


TEXT = dumps(CERTIFIED)
PLACES = [place for place, char in enumerate(TEXT) if char in b'{}[]",:0']


@given(
    st.sampled_from(PLACES),
    st.integers(0, 3),
    st.sampled_from(
        [b"", b" ", b'"', b",", b"{", b"\\u0041", b"-0", b"1.0", b"1e2", b"[]", b"\xff"]
    ),
)
@example(PLACES[0] + 1, 0, b'"_type":"https://in-toto.io/Statement/v1",')
@example(TEXT.index(b'"size":') + 7, 1, b"-0")
@example(TEXT.index(b'"size":') + 7, 1, b"3.0")
@example(TEXT.index(b'"size":') + 7, 1, b"NaN")
@example(TEXT.index(b'"basis":"') + 9, 1, b"\\u0072")
@example(TEXT.index(b'"basis":"') + 9, 1, b"\\ud800")
@example(TEXT.index(b'"basis":') + 8, 0, b"[" * 300)
def test_the_quick_way_accepts_and_refuses_what_the_strict_way_does(start, length, insert):
    text = TEXT[:start] + insert + TEXT[start + length :]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statement_module, "loads_written_back", refuse)
        strict = result_of(text)

    assert result_of(text) == strict


def test_the_quick_way_is_taken(monkeypatch):
    monkeypatch.setattr(statement_module, "loads_strict", refuse)

    assert parse_statement(TEXT).to_bytes() == TEXT


def refuse(*_, **__):
    raise ValueError


def result_of(text: bytes):
    try:
        return parse_statement(text)
    except DataError as refusal:
        return refusal.code, refusal.message


def test_digests_of_personal_data_are_in_the_statement_only_under_salts():
    text = json.dumps(CERTIFIED)

    for digest in ("1" * 64, "2" * 64, "3" * 64, "4" * 64):
        assert digest not in text
    assert len(set(CERTIFIED["predicate"]["deletion"]["commitments"].values())) == 4


def test_no_size_is_in_the_statement_and_every_other_number_is_a_string():
    def numbers(value):
        if isinstance(value, dict):
            return [n for v in value.values() for n in numbers(v)]
        if isinstance(value, list):
            return [n for v in value for n in numbers(v)]
        return [value] if isinstance(value, int | float) else []

    assert "size" not in json.dumps(CERTIFIED["predicate"]["deletion"])
    assert all(isinstance(number, int) for number in numbers(CERTIFIED))


def test_the_subject_is_one_digest_over_the_sorted_files():
    manifest = [
        {"path": "heads/audio+text.safetensors", "sha256": "c" * 64},
        {"path": "heads/audio.safetensors", "sha256": "a" * 64},
        {"path": "heads/text.safetensors", "sha256": "b" * 64},
        {"path": "policy.json", "sha256": POLICY_DIGEST},
    ]

    assert CERTIFIED["subject"][0]["digest"]["sha256"] == sha256_hex(dumps(manifest))
    assert files_root(outcome().model_after) == sha256_hex(dumps(manifest))


def test_every_field_is_required_and_no_other_is_allowed():
    def places(value, path=()):
        if isinstance(value, dict):
            yield path, value
            for key, member in value.items():
                yield from places(member, (*path, key))
        elif isinstance(value, list) and value:
            yield from places(value[0], (*path, 0))

    for path, found in places(CERTIFIED):
        for key in found:
            content = json.loads(json.dumps(CERTIFIED))
            place = content
            for part in path:
                place = place[part]
            del place[key]
            assert code_of(content), (path, key)
        content = json.loads(json.dumps(CERTIFIED))
        place = content
        for part in path:
            place = place[part]
        place["forgotten"] = True
        assert code_of(content) == "statement.schema", path


GUARANTEE = "predicate.guarantee."


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("predicateType", "urn:mbd:modality-deletion-certificate:v2", "statement.version"),
        ("predicateType", "https://slsa.dev/provenance/v1", "statement.type"),
        ("_type", "https://in-toto.io/Statement/v0.1", "statement.schema"),
        ("subject.0.digest.sha256", "0" * 64, "model.subject"),
        ("predicate.deletion.modelAfter.files.0.sha256", "0" * 64, "model.digest"),
        ("predicate.deletion.modelAfter.files.0.path", "../x", "statement.schema"),
        ("predicate.deletion.modelAfter.files.0.path", "/etc/passwd", "statement.schema"),
        ("predicate.deletion.modalities", ["text", "audio"], "statement.schema"),
        ("predicate.deletion.modalities", ["audio", "text"], "heads.incomplete"),
        ("predicate.deletion.modalities", [], "statement.schema"),
        ("predicate.certificateId", "01jabcdefghjkmnpqrstvwxyz0", "statement.schema"),
        ("predicate.issuedAt", "2026-05-17T12:00:00+00:00", "statement.schema"),
        ("predicate.issuedAt", "2026-05-16T12:00:00Z", "time.order"),
        ("predicate.request.receivedOn", "2026-05-18", "time.order"),
        ("predicate.request.dueBy", "2026-05-01", "time.order"),
        ("predicate.request.dueBy", "2026-02-30", "statement.schema"),
        ("predicate.request.basis", "see /home/operator/notes", "class.private"),
        ("predicate.ledger.size", 0, "policy.index"),
        ("predicate.ledger.size", "3", "statement.schema"),
        ("predicate.ledger.size", True, "statement.schema"),
        (GUARANTEE + "rho", "0", "claim.rho"),
        (GUARANTEE + "epsilon", "0.0001", "claim.epsilon"),
        (GUARANTEE + "epsilon", "NaN", "statement.schema"),
        (GUARANTEE + "epsilon", "+1", "statement.schema"),
        (GUARANTEE + "epsilon", "-1", "statement.schema"),
        (GUARANTEE + "epsilon", 1, "statement.schema"),
        (GUARANTEE + "epsilon", None, "class.certified"),
        (GUARANTEE + "delta", "0", "claim.delta"),
        (GUARANTEE + "delta", "1", "claim.delta"),
        (GUARANTEE + "delta", "1e-9", "claim.epsilon"),
        (GUARANTEE + "attempts", 0, "class.certified"),
        (GUARANTEE + "attempts", 2, "claim.rho"),
        (GUARANTEE + "theorem", None, "class.certified"),
        (GUARANTEE + "theorem", "urn:mbd:theorem:wishful:v1", "theorem.unknown"),
        (GUARANTEE + "theorem", "urn:mbd:theorem:exact-subtraction:v1", "theorem.class"),
        (GUARANTEE + "comparator", "The subject is forgotten.", "theorem.wording"),
        (GUARANTEE + "notCovered", [], "theorem.wording"),
        (
            GUARANTEE + "notCovered",
            [*CERTIFIED["predicate"]["guarantee"]["notCovered"], "Nothing else is missing."],
            "theorem.wording",
        ),
        (GUARANTEE + "reproduce", "curl evil | sh", "class.reproduce"),
        (GUARANTEE + "class", "none", "statement.schema"),
        (GUARANTEE + "class", "exact", "class.exact"),
        (GUARANTEE + "class", "empirical", "class.empirical"),
        (GUARANTEE + "heads", ["audio", "text"], "heads.files"),
        (GUARANTEE + "heads", ["audio", "text+audio"], "statement.schema"),
        (GUARANTEE + "heads", ["audio", "audio+text", "audio+vision"], "heads.files"),
        (GUARANTEE + "selectedHeads", ["audio", "audio+vision"], "heads.unknown"),
        (GUARANTEE + "selectedHeads", ["audio"], "heads.incomplete"),
        (GUARANTEE + "selectedHeads", ["audio", "audio+text", "text"], "claims.set"),
        (GUARANTEE + "parameters", [], "class.certified"),
        (GUARANTEE + "parameters.0.head", "audio+text", "heads.incomplete"),
        (GUARANTEE + "parameters.0.sensitivity", "1e-9", "claim.sensitivity"),
        (GUARANTEE + "parameters.0.tolerance", "0.001", "claim.sensitivity"),
        (GUARANTEE + "parameters.0.strongConvexity", "0.0001", "claim.sensitivity"),
        (GUARANTEE + "parameters.0.strongConvexity", "0", "claim.strong_convexity"),
        (GUARANTEE + "parameters.0.sigma", "0", "claim.sigma"),
        (GUARANTEE + "parameters.0.sigma", "5e-324", "claim.sigma"),
        (GUARANTEE + "parameters.0.sigma", "0.00006103515625", "claim.rho"),
        (GUARANTEE + "parameters.0.grid", "0.3", "claim.grid"),
        (GUARANTEE + "parameters.0.dimension", 0, "statement.schema"),
    ],
)
def test_an_altered_certificate_is_refused_by_name(path, value, code):
    assert code_of(CERTIFIED) == ""
    assert code_of(altered(CERTIFIED, path, value)) == code


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("epsilon", "0.1", "class.exact"),
        ("epsilon", None, "class.exact"),
        ("delta", "0.000001", "class.exact"),
        ("rho", "1", "class.exact"),
        ("reproduce", None, "class.exact"),
        ("theorem", None, "class.exact"),
        ("theorem", "urn:mbd:theorem:surgical-release:v1", "theorem.class"),
        ("parameters", CERTIFIED["predicate"]["guarantee"]["parameters"], "class.exact"),
        ("selectedHeads", ["vision"], "heads.unknown"),
    ],
)
def test_an_exact_certificate_states_no_loss_and_how_to_repeat_it(path, value, code):
    assert code_of(EXACT) == ""
    assert code_of(altered(EXACT, GUARANTEE + path, value)) == code


def test_a_retraining_is_exact_about_every_head_and_can_be_repeated():
    guarantee = RETRAINED["predicate"]["guarantee"]

    assert (guarantee["class"], guarantee["epsilon"]) == ("exact", "0")
    assert guarantee["theorem"] == RETRAINING.id
    assert guarantee["selectedHeads"] == guarantee["heads"] == list(HEADS)
    claims = [claim["id"] for claim in RETRAINED["predicate"]["claims"]]
    assert claims == ["state-subtracted", "provenance", "retrained", "recomputed", "erased"]


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("selectedHeads", ["audio", "audio+text"], "claims.set"),
        ("selectedHeads", [], "claims.set"),
        ("parameters", CERTIFIED["predicate"]["guarantee"]["parameters"], "class.exact"),
        ("attempts", 1, "class.exact"),
        ("epsilon", "0.5", "class.exact"),
        ("theorem", SUBTRACTION.id, "claims.set"),
        ("comparator", SUBTRACTION.wording.comparator, "theorem.wording"),
        ("arithmetic", SUBTRACTION.wording.arithmetic, "theorem.wording"),
        ("notCovered", list(SUBTRACTION.wording.not_covered), "theorem.wording"),
        ("class", "certified", "class.certified"),
    ],
)
def test_a_retraining_mixed_with_another_method_is_refused(path, value, code):
    assert code_of(altered(RETRAINED, GUARANTEE + path, value)) == code


@pytest.mark.parametrize("selected", [("audio",), ("audio", "audio+text"), ()])
def test_a_retraining_of_part_of_the_heads_is_refused(selected):
    """Whatever else the certificate says: the claims are those of what it selects."""
    content = altered(RETRAINED, GUARANTEE + "selectedHeads", list(selected))
    partial = claims_for("exact", replaced=bool(selected), kept=True, retrained=True)
    words = [
        {"id": name, "status": REGISTRY[name].status, "text": REGISTRY[name].text}
        for name in partial
    ]
    content = altered(content, "predicate.claims", words)
    code = "heads.incomplete" if selected else "scope.store"
    assert code_of(content) == code


@pytest.mark.parametrize("store", sorted(RETRAINED_STORES))
def test_what_a_retraining_does_to_a_store_goes_with_it_and_with_nothing_else(store):
    once, again = stores(), stores(retrained=True)
    one = [b if b["store"] == store else a for a, b in zip(once, again, strict=True)]
    other = [a if a["store"] == store else b for a, b in zip(once, again, strict=True)]

    assert code_of(altered(EXACT, "predicate.deletion.stores", one)) == "scope.store"
    assert code_of(altered(RETRAINED, "predicate.deletion.stores", other)) == "scope.store"


def test_only_exact_is_retrained():
    with pytest.raises(DataError):
        build_statement(outcome(retrained=True), issuance())


def test_a_subject_without_training_rows_gets_an_exact_certificate():
    statement = build_statement(exact_outcome(selected_heads=()), issuance())

    assert statement.predicate.guarantee.selected_heads == ()


@pytest.mark.parametrize("field", ["rho", "epsilon", "delta"])
def test_an_empirical_certificate_states_no_loss(field):
    assert code_of(EMPIRICAL) == ""
    assert EMPIRICAL["predicate"]["guarantee"]["epsilon"] is None
    assert code_of(altered(EMPIRICAL, GUARANTEE + field, "1")) == "class.empirical"


@pytest.mark.parametrize("word", ["certified", "Guaranteed", "a proof", "proven", "we prove"])
def test_an_empirical_certificate_never_promises(word):
    found = code_of(altered(EMPIRICAL, "predicate.request.basis", f"This is {word}."))

    assert found == "class.empirical"


def test_empirical_about_no_head_is_refused():
    content = altered(EMPIRICAL, GUARANTEE + "selectedHeads", [])

    assert code_of(content) == "class.empirical"


# --- statements that refute themselves -----------------------------------------------------


def with_files(content: dict, change) -> dict:
    """The same statement about other files, its digests made to fit."""
    model = content["predicate"]["deletion"]["modelAfter"]
    files = sorted(change([dict(file) for file in model["files"]]), key=lambda file: file["path"])
    root = files_root([FileDigest(**file) for file in files])
    made = altered(content, "predicate.deletion.modelAfter", {"digest": root, "files": files})
    return altered(made, "subject.0.digest.sha256", root)


def without(path: str):
    return lambda files: [file for file in files if file["path"] != path]


def test_a_head_among_the_files_that_the_guarantee_leaves_out_is_refused():
    """The one head that was not replaced could simply be left unnamed."""
    guarantee = CERTIFIED["predicate"]["guarantee"]
    shorter = {
        **guarantee,
        "heads": ["audio", "text"],
        "selectedHeads": ["audio"],
        "parameters": guarantee["parameters"][:1],
    }

    assert code_of(altered(CERTIFIED, "predicate.guarantee", shorter)) == "heads.files"


def test_a_head_without_a_file_is_refused():
    assert code_of(with_files(CERTIFIED, without("heads/text.safetensors"))) == "heads.files"


def test_a_model_without_its_policy_or_with_a_file_of_its_own_is_refused():
    extra = {"path": "noiseless/audio.safetensors", "sha256": "d" * 64}

    assert code_of(with_files(CERTIFIED, without("policy.json"))) == "model.policy"
    assert code_of(with_files(CERTIFIED, lambda files: [*files, extra])) == "model.file"


def test_a_policy_entry_of_another_policy_is_refused():
    path = GUARANTEE + "policyEntry.digest"

    assert code_of(altered(CERTIFIED, path, "1" * 64)) == "policy.digest"


@pytest.mark.parametrize("selected", [["audio"], ["text"], ["audio", "text"]])
def test_exact_with_part_of_the_heads_or_others_is_refused(selected):
    content = altered(EXACT, GUARANTEE + "selectedHeads", selected)

    assert code_of(content) == "heads.incomplete"


def test_exact_with_attempts_at_noise_is_refused():
    assert code_of(altered(EXACT, GUARANTEE + "attempts", 7)) == "class.exact"


def test_a_modality_that_no_head_reads_is_refused():
    content = altered(CERTIFIED, "predicate.deletion.modalities", ["audio", "smell"])

    assert code_of(content) == "heads.modality"


CLAIMS = CERTIFIED["predicate"]["claims"]


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ([], "claims.set"),
        (CLAIMS[1:], "claims.set"),
        (CLAIMS[::-1], "claims.set"),
        ([*CLAIMS, {"id": "gone", "status": "checked", "text": "No copy is left."}], "claims.set"),
        ([{**CLAIMS[0], "text": "Every copy is gone."}, *CLAIMS[1:]], "claims.wording"),
        ([CLAIMS[0], {**CLAIMS[1], "status": "checked"}, *CLAIMS[2:]], "claims.wording"),
    ],
)
def test_claims_in_the_words_of_the_issuer_are_refused(claims, code):
    assert code_of(altered(CERTIFIED, "predicate.claims", claims)) == code


STORES = CERTIFIED["predicate"]["deletion"]["stores"]


@pytest.mark.parametrize(
    "stores",
    [
        [],
        STORES[1:],
        [*STORES, STORES[0]],
        [*STORES, {**STORES[0], "store": "every backup"}],
        [{**STORES[0], "action": "all copies everywhere were destroyed"}, *STORES[1:]],
        [{**STORES[0], "scan": "searched everywhere: nothing"}, *STORES[1:]],
    ],
)
def test_stores_left_out_or_in_the_words_of_the_issuer_are_refused(stores):
    assert code_of(altered(CERTIFIED, "predicate.deletion.stores", stores)) == "scope.store"


def test_rows_removed_without_new_heads_or_new_heads_without_rows_are_refused():
    rows = STORES.index(next(one for one in STORES if one["store"] == "prepared rows"))
    none = {**STORES[rows], "action": "no row used the channel: nothing to remove"}
    nothing = build_statement(exact_outcome(selected_heads=()), issuance())
    kept = json.loads(nothing.to_bytes())
    where = f"predicate.deletion.stores.{rows}"

    assert code_of(altered(CERTIFIED, where, none)) == "scope.store"
    assert code_of(altered(kept, where, STORES[rows])) == "scope.store"


PLACES = CERTIFIED["predicate"]["deletion"]["outOfScope"]


@pytest.mark.parametrize(
    "places", [[], PLACES[1:], [{**PLACES[0], "reason": "there is none"}, *PLACES[1:]]]
)
def test_what_erasure_cannot_reach_is_never_left_out(places):
    assert code_of(altered(CERTIFIED, "predicate.deletion.outOfScope", places)) == "scope.topic"


def test_a_delta_that_promises_nothing_is_refused():
    loss = {**CERTIFIED["predicate"]["guarantee"], "delta": "0.999999", "epsilon": "1"}

    assert code_of(altered(CERTIFIED, "predicate.guarantee", loss)) == "claim.delta"
    with pytest.raises(DataError):
        build_statement(outcome(), issuance(delta=0.02))


@pytest.mark.parametrize("day", ["0001-01-01", "2019-12-31", "9999-12-31"])
def test_dates_outside_any_reason_are_refused(day):
    field = "dueBy" if day > "2200" else "receivedOn"

    assert code_of(altered(CERTIFIED, f"predicate.request.{field}", day)) == "time.year"


def test_an_id_of_another_time_than_the_certificate_is_refused():
    """Whoever dates a certificate back has to make its id anew too."""
    content = altered(CERTIFIED, "predicate.certificateId", "01JABCDEFGHJKMNPQRSTVWXYZ0")

    assert code_of(content) == "time.id"


def test_a_certificate_supersedes_older_ones_only():
    def superseding(name: str) -> str:
        return code_of(altered(CERTIFIED, "predicate.supersedes", name))

    assert superseding("01JABCDEFGHJKMNPQRSTVWXYZ0") == ""
    assert superseding("7ZZZZZZZZZZZZZZZZZZZZZZZZZ") == "class.supersedes"


@pytest.mark.parametrize("text", ["x\x1b[2JVALID", "a\nb", "\u202eevil", "\u2028", "\x9b1m"])
def test_text_that_a_terminal_would_act_on_is_refused(text):
    assert code_of(altered(CERTIFIED, "predicate.request.basis", text)) == "statement.schema"
    assert code_of(altered(CERTIFIED, "predicate.issuer", text)) == "statement.schema"


def test_a_subject_without_training_rows_gets_no_claim_about_new_heads():
    statement = build_statement(exact_outcome(selected_heads=()), issuance())

    names = [claim.id for claim in statement.predicate.claims]
    assert names == ["state-subtracted", "provenance", "others-untouched", "erased"]


def test_the_issuer_states_the_recomputed_loss_and_more_attempts_cost_more():
    once = build_statement(outcome(), issuance()).predicate.guarantee
    twice = build_statement(outcome(attempts=2), issuance()).predicate.guarantee

    assert once.rho is not None
    assert twice.rho is not None
    assert float(twice.rho) == pytest.approx(2 * float(once.rho))


def test_nothing_is_issued_about_a_dry_run():
    with pytest.raises(RefusedError):
        build_statement(outcome(guarantee_class="none"), issuance())


@pytest.mark.parametrize(
    "changes",
    [
        {"heads": (head("audio"),)},
        {"heads": (), "selected_heads": ()},
        {"selected_heads": ("audio",), "heads": (head("audio"),)},
        {"heads": (head("audio", sensitivity=1e-12), head("audio+text"))},
        {"heads": (head("audio", sigma=float("nan")), head("audio+text"))},
        {"model_after": ()},
        {"model_after": (FileDigest(path="/x", sha256="a" * 64),)},
        {"stores": ({"store": "/srv/data", "action": "rewritten", "scan": "clean"},)},
        {"stores": ({"store": "data", "action": "rewritten"},)},
        {"attempts": 0},
    ],
)
def test_an_outcome_that_a_verifier_would_refuse_is_never_issued(changes):
    with pytest.raises(MbdError):
        build_statement(outcome(**changes), issuance())


@pytest.mark.parametrize(
    "changes",
    [
        {"certificate_id": "x"},
        {"salt": b"short"},
        {"delta": 0.0},
        {"delta": None},
        {"supersedes": issuance().certificate_id},
        {"issued_at": issuance().issued_at.replace(tzinfo=None)},
        {"issued_at": issuance().issued_at - timedelta(days=3)},
    ],
)
def test_a_wrong_issuance_is_refused(changes):
    with pytest.raises(MbdError):
        build_statement(outcome(), issuance(**changes))


def test_no_theorem_and_no_certificate_says_forgotten():
    for content in (CERTIFIED, EXACT, RETRAINED, EMPIRICAL):
        assert "forgot" not in json.dumps(content).lower()
    for theorem in THEOREMS.values():
        retrained = theorem == RETRAINING
        assert theorem_of(theorem.guarantee_class, retrained=retrained) == theorem
        assert theorem.citation
