"""The verifier: a true bundle passes, and every way of bending one is named."""

from __future__ import annotations

import dataclasses
import json
from datetime import date, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from mbd.canonical.digest import b64encode
from mbd.canonical.json import dumps
from mbd.canonical.numbers import to_decimal
from mbd.certificate.bundle import Bundle
from mbd.certificate.envelope import Envelope, Signature
from mbd.certificate.issue import LogHead
from mbd.certificate.statement import Statement
from mbd.errors import UsageError
from mbd.ledger.entry import signed_entry
from mbd.signing.dsse import pae
from mbd.signing.keys import SigningKey, generate_key
from mbd.verify import LEVELS, Report, verify_bundle, worst
from mbd.verify.case import Case, CheckFailed, Undecided
from mbd.verify.run import CHECKS
from mbd.verify.run import __doc__ as listing
from mbd.verify.summary import summary
from mbd.verify.trusted import TrustedIssuer, TrustPolicy
from tests.certificate.samples import NOW, altered, empirical_outcome, exact_outcome, outcome
from tests.verify.world import LATER, ORIGIN, LogSigner, SmallLog, World, make_world

WORLD = make_world()


def judge(world: World = WORLD, data: bytes | None = None, **options) -> Report:
    options.setdefault("now", LATER)
    trust = options.pop("trust", world.trust)
    return verify_bundle(data or world.data, trust, **options)


def failure(report: Report) -> str:
    """The code of the first check that failed, or 'none'; a failure and exit 1 are one thing."""
    found = report.first_failed
    assert (report.exit_code == 1) == (found is not None)
    return found.code if found else "none"


def open_code(report: Report) -> str:
    return next(check.code for check in report.checks if check.result == "skipped")


def with_statement(change) -> World:
    """A world whose issuer signs and logs a statement that no honest issuer would build."""

    def bend(statement: Statement) -> Statement:
        return Statement.model_validate(change(json.loads(statement.to_bytes())))

    return make_world(before_signing=bend)


@pytest.mark.parametrize("deletion", [None, exact_outcome(), empirical_outcome()])
def test_a_true_bundle_is_valid(deletion):
    report = judge(make_world(deletion))

    assert report.verdict == "valid"
    assert report.exit_code == 0
    assert report.level_reached == "LOGGED"
    assert report.checkpoint == f"{ORIGIN}@7"


def test_every_check_is_listed_with_its_number_and_repeats_it():
    for number, (name, level, check) in enumerate(CHECKS, start=1):
        assert f"{number:>2} {name}" in (listing or "")
        assert str(number) in (check.__doc__ or "")
        assert level in LEVELS


def test_every_flipped_byte_is_noticed():
    data = WORLD.data
    positions = range(0, len(data), max(1, len(data) // 400))

    for position in positions:
        for bit in (1, 32):
            changed = bytearray(data)
            changed[position] ^= bit
            report = judge(data=bytes(changed))
            assert report.exit_code in (1, 3), (position, bit)


def test_without_a_trust_file_nothing_is_valid():
    report = judge(trust=None)

    assert (report.verdict, report.exit_code, report.level_reached) == ("undecided", 3, None)
    assert open_code(report) == "trust.missing"


@pytest.mark.parametrize("level", ["CONSISTENT", "WITNESSED"])
def test_a_level_that_cannot_be_evaluated_is_undecided(level):
    report = judge(require=level)

    assert (report.exit_code, report.level_reached) == (3, "LOGGED")


def test_another_workspaces_bundle_is_undecided():
    report = judge(trust=make_world().trust)

    assert report.exit_code == 3
    assert {"key.unknown", "log.unknown"} <= {check.code for check in report.checks}


def test_a_wrong_signature_under_a_trusted_key_id_is_invalid():
    other = generate_key()
    forged = Signature(WORLD.issuer.key_id, other.sign(WORLD.envelope.signed_bytes()))
    envelope = dataclasses.replace(WORLD.envelope, signatures=(forged,))
    bundle = dataclasses.replace(WORLD.bundle, envelope=envelope)

    assert failure(judge(data=bundle.to_bytes())) == "sig.invalid"


def test_a_signature_over_another_payload_type_does_not_count():
    envelope = WORLD.envelope
    value = WORLD.issuer.sign(pae("text/plain", envelope.payload))
    signed = dataclasses.replace(envelope, signatures=(Signature(WORLD.issuer.key_id, value),))
    bundle = dataclasses.replace(WORLD.bundle, envelope=signed)

    assert failure(judge(data=bundle.to_bytes())) == "sig.invalid"


def places(value, path=""):
    """Dotted paths of every member of parsed JSON."""
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for key, member in members:
        yield f"{path}{key}"
        if isinstance(member, dict | list):
            yield from places(member, f"{path}{key}.")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**53 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
NUMBERS = st.floats(min_value=0, allow_nan=False, allow_infinity=False).map(to_decimal)


@given(st.sampled_from(sorted(places(json.loads(WORLD.data)))), JSON)
def test_whatever_is_in_the_bundle_it_is_judged_and_never_valid(path, value):
    content = json.loads(WORLD.data)

    report = judge(data=dumps(altered(content, path, value)))

    assert report.exit_code in (1, 3)


@given(st.sampled_from(sorted(places(json.loads(WORLD.envelope.payload)))), JSON | NUMBERS)
def test_whatever_an_issuer_signs_it_is_judged(path, value):
    payload = dumps(altered(json.loads(WORLD.envelope.payload), path, value))
    signed = pae(WORLD.envelope.payload_type, payload)
    signature = Signature(WORLD.issuer.key_id, WORLD.issuer.sign(signed))
    envelope = Envelope(WORLD.envelope.payload_type, payload, (signature,))
    log = SmallLog(
        [*WORLD.log.entries, signed_entry("certificate", NOW, signed, [signature.value])]
    )
    world = dataclasses.replace(WORLD, envelope=envelope, log=log, index=len(log.entries) - 1)

    assert judge(world).exit_code in (0, 1, 3)


def test_another_payload_type_is_invalid():
    envelope = Envelope("text/plain", WORLD.envelope.payload, WORLD.envelope.signatures)
    bundle = dataclasses.replace(WORLD.bundle, envelope=envelope)

    report = judge(data=bundle.to_bytes())

    assert failure(report) == "sig.invalid"  # which covers the type
    assert report.failed[0].code == "envelope.type"


def test_a_trusted_key_signs_for_its_own_name_only():
    assert failure(judge(make_world(issuer="Another Clinic"))) == "issuer.mismatch"


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("guarantee.epsilon", "0.01", "claim.epsilon"),
        ("guarantee.rho", "0", "claim.rho"),
        ("guarantee.parameters.0.sensitivity", "1e-9", "claim.sensitivity"),
        ("guarantee.parameters.0.sigma", "1e+300", "none"),
        ("guarantee.parameters.0.sigma", "5e-324", "claim.sigma"),
        ("guarantee.parameters.0.tolerance", "1e+308", "claim.arithmetic"),
        ("guarantee.heads", ["audio", "audio+text", "audio+vision"], "heads.files"),
        ("guarantee.comparator", "Nothing is left.", "theorem.wording"),
        ("subject", [{"name": "model-after", "digest": {"sha256": "0" * 64}}], "model.subject"),
        ("deletion.modelAfter.files.0.sha256", "0" * 64, "model.digest"),
        ("guarantee.class", "exact", "class.exact"),
    ],
)
def test_a_false_claim_is_invalid_even_if_signed_and_logged(path, value, code):
    where = path if path == "subject" else f"predicate.{path}"

    world = with_statement(lambda content: altered(content, where, value))

    assert failure(judge(world)) == code


def test_an_unknown_theorem_is_undecided():
    where = "predicate.guarantee.theorem"
    world = with_statement(lambda content: altered(content, where, "urn:mbd:theorem:newer:v9"))

    report = judge(world)

    assert (report.exit_code, open_code(report)) == (3, "theorem.unknown")


def test_a_newer_version_is_undecided():
    content = json.loads(WORLD.envelope.payload)
    newer = {**content, "predicateType": "urn:mbd:modality-deletion-certificate:v2"}
    envelope = dataclasses.replace(WORLD.envelope, payload=dumps(newer))
    bundle = dataclasses.replace(WORLD.bundle, envelope=envelope)

    report = judge(data=bundle.to_bytes())

    assert {"statement.version"} <= {check.code for check in report.checks}
    assert report.exit_code == 1  # the signature is over version 1


def newer_with_signatures(first, second, *, broken):
    """Of a version that nobody here knows, signed twice; one signature of the two is broken."""
    content = json.loads(WORLD.envelope.payload)
    payload = dumps({**content, "predicateType": "urn:mbd:modality-deletion-certificate:v2"})
    message = pae(WORLD.envelope.payload_type, payload)
    made = [Signature(key.public.key_id, key.sign(message)) for key in (first, second)]
    if broken is not None:
        made[broken] = dataclasses.replace(made[broken], value=bytes(64))
    envelope = dataclasses.replace(WORLD.envelope, payload=payload, signatures=tuple(made))
    return dataclasses.replace(WORLD.bundle, envelope=envelope).to_bytes()


@pytest.mark.parametrize(
    ("broken", "code"), [(None, "not_reached"), (0, "sig.invalid"), (1, "sig.invalid")]
)
def test_every_signature_is_checked_also_over_what_nobody_here_can_read(broken, code):
    keys = generate_key(), generate_key()
    issuers = tuple(TrustedIssuer("Example Clinic", key.public) for key in keys)
    data = newer_with_signatures(*keys, broken=broken)

    report = judge(data=data, trust=dataclasses.replace(WORLD.trust, issuers=issuers))

    assert report.checks[9].code == code


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"max_epsilon": 1e-9}, "limit.epsilon"),
        ({"max_delta": 1e-9}, "limit.delta"),
        ({"max_epsilon": 100.0, "max_delta": 0.1}, "none"),
    ],
)
def test_the_verifier_sets_the_limits(limits, code):
    assert failure(judge(trust=dataclasses.replace(WORLD.trust, **limits))) == code


def test_a_limit_on_epsilon_refuses_a_certificate_that_states_none():
    world = make_world(empirical_outcome())
    trust = dataclasses.replace(world.trust, max_epsilon=10.0)

    assert failure(judge(world, trust=trust)) == "limit.epsilon"


def test_the_entry_of_another_artefact_is_refused():
    """A true entry with a true proof in the same log, but of something else."""
    log = SmallLog(WORLD.log.entries)
    other = make_world()
    index = log.append(other.log.entries[other.index])
    world = dataclasses.replace(WORLD, log=log, index=index)

    report = judge(world)

    assert failure(report) == "leaf.mismatch"
    assert report.level_reached == "SIGNED"


def test_an_entry_of_the_same_signatures_over_other_bytes_is_refused():
    entry = dataclasses.replace(WORLD.log.entries[WORLD.index], digest="0" * 64)
    log = SmallLog([*WORLD.log.entries, entry])
    world = dataclasses.replace(WORLD, log=log, index=len(log.entries) - 1)

    assert failure(judge(world)) == "leaf.mismatch"


def test_an_entry_of_another_type_is_refused():
    assert failure(judge(make_world(kind="supersede"))) == "leaf.type"


def test_a_second_signature_after_logging_is_refused():
    extra = generate_key()
    more = (
        *WORLD.envelope.signatures,
        Signature(extra.key_id, extra.sign(WORLD.envelope.signed_bytes())),
    )
    bundle = dataclasses.replace(
        WORLD.bundle, envelope=dataclasses.replace(WORLD.envelope, signatures=more)
    )

    assert failure(judge(data=bundle.to_bytes())) == "leaf.mismatch"


def bent_proof(**changes) -> bytes:
    proof = dataclasses.replace(WORLD.log.proof(WORLD.index, WORLD.log_signer), **changes)
    return dataclasses.replace(WORLD.bundle, tlog_proof=proof.text).to_bytes()


def test_a_wrong_proof_is_refused():
    proof = WORLD.log.proof(WORLD.index, WORLD.log_signer)

    assert failure(judge(data=bent_proof(index=2))) == "incl.invalid"
    assert failure(judge(data=bent_proof(hashes=proof.hashes[:-1]))) == "incl.invalid"
    assert failure(judge(data=bent_proof(hashes=proof.hashes[::-1]))) == "incl.invalid"
    assert failure(judge(data=bent_proof(extra=b"x"))) == "incl.extra"


def test_a_checkpoint_that_the_log_did_not_sign_is_refused():
    impostor = dataclasses.replace(WORLD, log_signer=LogSigner(generate_key()))
    report = judge(impostor, trust=WORLD.trust)

    assert report.exit_code == 3  # a key nobody knows
    lines = WORLD.bundle.tlog_proof.rsplit(" ", 1)
    vkey = WORLD.trust.log.key
    forged = b64encode(vkey.key_id + generate_key().sign(b"something else"))
    data = dataclasses.replace(WORLD.bundle, tlog_proof=f"{lines[0]} {forged}\n").to_bytes()
    assert failure(judge(data=data)) == "log.sig"


def test_a_checkpoint_from_another_log_is_not_the_one_issued_for():
    head = LogHead(origin="ledger.example/other", size=3, root="0" * 64)
    assert failure(judge(make_world(ledger=head))) == "ledger.origin"

    head = LogHead(origin=ORIGIN, size=5, root="0" * 64)
    assert failure(judge(make_world(ledger=head))) == "ledger.size"


@pytest.mark.parametrize(
    ("logged_after", "code"),
    [
        (timedelta(minutes=-9), "none"),
        (timedelta(minutes=-11), "time.order"),
        (timedelta(minutes=69), "none"),
        (timedelta(minutes=71), "time.future"),
        (timedelta(minutes=59), "none"),
    ],
)
def test_the_entry_comes_after_the_certificate_and_not_from_the_future(logged_after, code):
    assert failure(judge(make_world(logged_after=logged_after))) == code


def test_a_backdated_certificate_is_refused():
    """A month may lie between issuing and logging, after a crash; years may not."""
    report = judge(make_world(logged_after=timedelta(days=29)), now=NOW + timedelta(days=40))
    assert failure(report) == "none"
    assert "29 days 0:00:00 after issuing" in summary(report)

    late = judge(make_world(logged_after=timedelta(days=31)), now=NOW + timedelta(days=40))
    assert failure(late) == "time.backdated"


def test_a_completion_dated_back_is_refused():
    received, completed = NOW.date() - timedelta(days=60), NOW.date() - timedelta(days=50)

    world = make_world(received_on=received, completed_on=completed)

    assert failure(judge(world)) == "time.backdated"


def test_a_completion_after_it_was_due_is_said_plainly():
    world = make_world(
        received_on=NOW.date() - timedelta(days=90), due_by=NOW.date() - timedelta(days=4)
    )

    report = judge(world)

    assert report.exit_code == 0
    assert "LATE: completed 4 days after 2026-05-13, when it was due" in summary(report)


@pytest.mark.parametrize("size", [2, 3])
def test_another_root_for_the_size_it_was_issued_at_is_refused(size):
    """The proof of entry 3 gives away the roots of the first 2 and of the first 3 entries."""

    def issued_at(entries: int) -> World:
        root = SmallLog(WORLD.log.entries[:entries]).checkpoint().root.hex()
        return make_world(ledger=LogHead(origin=ORIGIN, size=size, root=root))

    # The first entries of every world are the same.
    assert failure(judge(issued_at(size))) == "none"
    assert failure(judge(issued_at(1))) == "ledger.root"


def test_a_key_distrusted_later_leaves_a_certificate_valid_but_not_current():
    report = judge(trust=WORLD.distrusting_from(WORLD.index + 1))

    assert (report.verdict, report.exit_code) == ("not-current", 9)
    assert failure(judge(trust=WORLD.distrusting_from(WORLD.index))) == "key.distrusted"


def bounded(**bounds: int) -> TrustPolicy:
    """The trust of the world, whose issuer's key is believed for a part of the log."""
    issuer = dataclasses.replace(WORLD.trust.issuers[0], **bounds)
    return dataclasses.replace(WORLD.trust, issuers=(issuer,))


def test_what_was_logged_before_its_key_was_retired_stays_valid():
    report = judge(trust=bounded(retired_from=WORLD.index + 1))

    assert (report.verdict, report.exit_code) == ("valid", 0)
    assert failure(judge(trust=bounded(retired_from=WORLD.index))) == "key.retired"


def test_a_key_is_believed_from_where_it_was_announced():
    assert judge(trust=bounded(valid_from=WORLD.index)).exit_code == 0
    assert failure(judge(trust=bounded(valid_from=WORLD.index + 1))) == "key.not_yet"


@pytest.mark.parametrize("retired", [None, WORLD.index + 1])
def test_distrust_outweighs_retirement(retired):
    later = bounded(retired_from=retired, distrusted_from=WORLD.index + 1)
    before = bounded(retired_from=retired, distrusted_from=WORLD.index)

    assert judge(trust=later).exit_code == 9
    assert failure(judge(trust=before)) == "key.distrusted"


def test_a_second_signer_whose_key_is_over_keeps_nothing_current():
    first, second = generate_key(), generate_key()
    world = dataclasses.replace(make_world(signers=[first, second]), issuer=first)
    retired = TrustedIssuer("Example Clinic", first.public, retired_from=world.index)
    doubted = TrustedIssuer("Example Clinic", second.public, distrusted_from=world.index + 1)
    trust = dataclasses.replace(world.trust, issuers=(retired, doubted))

    assert judge(world, trust=trust).exit_code == 9


@pytest.mark.parametrize("end", ["distrusted_from", "retired_from"])
def test_only_the_log_can_date_a_signature_by_a_key_that_has_an_end(end):
    trust = dataclasses.replace(bounded(**{end: 100}), log=None)

    assert judge(trust=trust, require="SIGNED").exit_code == 3


def test_signed_is_enough_where_it_is_all_that_is_asked():
    trust = dataclasses.replace(WORLD.trust, log=None)

    assert judge(trust=trust, require="SIGNED").exit_code == 0
    assert judge(trust=trust).exit_code == 3


def test_a_co_signature_by_a_stranger_does_no_harm_and_no_good():
    issuer, stranger = generate_key(), generate_key()
    world = dataclasses.replace(make_world(signers=[issuer, stranger]), issuer=issuer)
    assert judge(world).exit_code == 0

    assert judge(dataclasses.replace(world, issuer=generate_key())).exit_code == 3


def test_fifty_megabytes_of_nonsense_are_refused_at_once():
    report = judge(data=b"[" * 50_000_000)

    assert (failure(report), report.exit_code) == ("json.size", 1)


def test_a_report_speaks_only_after_the_last_check():
    for report in (judge(), judge(trust=None), judge(data=b"x")):
        assert len(report.checks) == len(CHECKS)
        lines = summary(report).splitlines()
        assert lines[-3].startswith("Not checked: ")
        assert lines[-2].startswith("Limits: No signature shows that copies elsewhere are gone.")
        assert lines[-1].split()[0].strip(":;") in ("VALID", "INVALID", "UNDECIDED")


@pytest.mark.parametrize(
    ("deletion", "words"),
    [
        (outcome(), "class certified: epsilon {epsilon}, delta 0.000001"),
        (exact_outcome(), "class exact"),
        (exact_outcome(selected_heads=()), "class exact: no head was replaced"),
        (empirical_outcome(), "class empirical: measured, no privacy loss is stated"),
    ],
)
def test_the_last_line_names_what_was_found_valid(deletion, words):
    world = make_world(deletion)
    epsilon = world.statement.predicate.guarantee.epsilon

    last = summary(judge(world)).splitlines()[-1]

    assert last.endswith(f"level LOGGED; {words.format(epsilon=epsilon)}")


def test_the_last_line_of_what_is_not_valid_names_no_class():
    for report in (judge(trust=None), judge(make_world(issuer="Another Clinic"))):
        assert "class" not in summary(report).splitlines()[-1]


def test_the_worst_exit_code_speaks():
    assert worst([0, 9, 3]) == 3
    assert worst([9, 0]) == 9
    assert worst([3, 1, 0]) == 1
    assert worst([1, 70]) == 70
    assert worst([0]) == 0


@pytest.mark.parametrize("level", ["NONE", "ARTIFACTS", "SUBJECT", "REPRODUCED"])
def test_a_level_without_its_input_is_misuse(level):
    with pytest.raises(UsageError):
        judge(require=level)


# --- beside the base level -----------------------------------------------------------------


def test_the_receipt_opens_the_certificate():
    report = judge(receipt=WORLD.receipt.to_bytes(), require="SUBJECT")

    assert (report.exit_code, report.level_reached) == (0, "LOGGED+SUBJECT")


def test_what_is_given_is_required():
    """A receipt of another certificate says nothing against this one, and nothing for it."""
    other = dumps({**json.loads(WORLD.receipt.to_bytes()), "certificateId": "7" + "0" * 25})

    report = judge(receipt=other)

    assert (report.exit_code, report.level_reached, report.missing) == (3, "LOGGED", ("SUBJECT",))
    assert report.checks[19].code == "receipt.other"


@pytest.mark.parametrize(
    ("error", "code", "level"),
    [(None, 0, "LOGGED+REPRODUCED"), (CheckFailed, 1, "LOGGED"), (Undecided, 3, "LOGGED")],
)
def test_a_reproduction_is_made_by_whoever_brings_it(error, code, level):
    def reproducer(case: Case) -> str:
        assert case.statement.predicate.certificate_id == WORLD.statement.predicate.certificate_id
        if error is not None:
            raise error("because", code="reproduce.head")
        return "all of it"

    report = judge(reproducer=reproducer)

    assert (report.exit_code, report.level_reached) == (code, level)


def test_a_model_rebuilt_for_nobody_in_particular_is_said_to_be_that():
    """With an escrow the model is rebuilt, and nobody knows whose data should be gone."""

    def reproducer(case: Case) -> str:
        case.model_only = True
        return "the model"

    report = judge(reproducer=reproducer)
    assert (report.exit_code, report.level_reached) == (0, "LOGGED+REPRODUCED(model)")
    assert report.to_json()["reproduced"] == "model"
    assert judge(reproducer=lambda case: "all").to_json()["reproduced"] == "model and subject"
    assert judge().to_json()["reproduced"] is None


def test_another_receipt_does_not():
    content = json.loads(WORLD.receipt.to_bytes())

    wrong = dumps({**content, "subject": "43"})

    assert failure(judge(receipt=wrong)) == "receipt.subject"


def test_extra_levels_need_the_base():
    report = judge(receipt=WORLD.receipt.to_bytes(), require="SUBJECT", trust=None)

    assert (report.exit_code, report.level_reached) == (3, None)


def test_signing_keys_may_be_ecdsa():
    key = SigningKey(ec.generate_private_key(ec.SECP256R1()))
    world = dataclasses.replace(make_world(signers=[key]), issuer=key)

    assert judge(world).exit_code == 0


def test_a_bundle_without_evidence_of_logging_is_refused():
    bundle = Bundle(WORLD.envelope, WORLD.bundle.entry, "")

    assert failure(judge(data=bundle.to_bytes())) == "tlog_proof.malformed"


@pytest.mark.parametrize(("days", "said"), [(92, False), (93, True)])
def test_a_last_day_more_than_three_months_away_is_said_and_no_fault(days, said):
    received = date(2026, 5, 15)
    report = judge(make_world(received_on=received, due_by=received + timedelta(days=days)))
    rules = next(check for check in report.checks if check.number == 5)

    assert report.exit_code == 0
    assert (f"LONG: due {days} days after 2026-05-15" in rules.text) == said
