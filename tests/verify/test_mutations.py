"""Nothing slips through: a good bundle of every kind, bent in every small way, is never valid.

What nothing authenticates is listed here, in `UNAUTHENTICATED`; all else, when changed, is refused
with exit 1, or 3 where a key is no longer known. There is no other exit code and no exception.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import random
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from mbd.certificate.envelope import Signature
from mbd.ledger.note import SignatureLine, parse_note
from mbd.ledger.tlog_proof import parse_tlog_proof
from mbd.signing.keys import generate_key
from mbd.verify import Report
from tests.verify.kinds import KINDS, STATEMENTS, Good, donors, good, relogged, with_text
from tests.verify.mutations import bent_bytes, bent_lines, edits
from tests.verify.world import ORIGIN, LogSigner, SmallLog

UNAUTHENTICATED = {
    "envelope.signatures.*.keyid": "says which key to try; where that is no trusted one, the "
    "signature does not count, and another has to",
    "signature lines of strangers": "a note may carry signatures of anybody, as of witnesses that "
    "this verifier does not know",
    "a signature line of the log again": "says nothing new",
}
"""Everything in a bundle that may be another without a failed check, and why."""

ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

SAMPLE, EVERY = 7, 61


def is_as_good(found: Good, data: bytes) -> bool:
    """Whether only what is listed as unauthenticated differs, and the spelling is the one."""
    old, new = json.loads(found.data), json.loads(data)
    spelled = json.dumps(new, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if spelled.encode() != data:
        return False
    for one in (old, new):
        for signature in one["envelope"]["signatures"]:
            signature["keyid"] = ""
    proofs = parse_tlog_proof(old.pop("tlogProof")), parse_tlog_proof(new.pop("tlogProof"))
    if (old, proofs[0].hashes) != (new, proofs[1].hashes) or proofs[0].index != proofs[1].index:
        return False
    true, bent = (parse_note(proof.checkpoint) for proof in proofs)
    known = {(line.name, line.key_id) for line in true.signatures}
    own = {line for line in bent.signatures if (line.name, line.key_id) in known}
    return true.text == bent.text and own == set(true.signatures)


def check(found: Good, words: str, data: bytes) -> None:
    """The rule, for one bent bundle."""
    report = found.judge(data)
    assert report.exit_code in (0, 1, 3), words
    assert len(report.checks) >= 21, words
    if report.exit_code == 0:
        assert is_as_good(found, data), words


def members(found: Good, step: int = 1) -> Iterator[tuple[str, bytes]]:
    """Every edit of the outer JSON, or a sample of them."""
    others = [good(kind).data.decode() for kind in KINDS if good(kind) is not found]
    chosen = random.Random(1).randrange(step)
    for number, edit in enumerate(edits(found.data.decode(), others)):
        if number % step == chosen:
            yield f"{edit.place}: {edit.words}", edit.text.encode()


def payloads(found: Good, step: int = 1) -> Iterator[tuple[str, bytes]]:
    """Every edit of the payload, or a sample of them, under the old signatures."""
    others = [payload for payload in donors() if payload != found.payload]
    for number, edit in enumerate(edits(found.payload, others)):
        if number % step == 0:
            yield f"{edit.place}: {edit.words}", found.unsigned(edit.text.encode())


@pytest.mark.parametrize("kind", KINDS)
def test_the_good_bundle_is_good_and_wholly_listed(kind):
    found = good(kind)

    report = found.judge(found.data)

    assert (report.exit_code, report.level_reached) == (0, "LOGGED")
    assert is_as_good(found, found.data)


@pytest.mark.parametrize("kind", KINDS)
def test_some_bytes_flipped_deleted_or_doubled(kind):
    for words, data in bent_bytes(good(kind).data, seed=KINDS.index(kind), every=EVERY):
        check(good(kind), words, data)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_byte_flipped_deleted_or_doubled(kind):
    for words, data in bent_bytes(good(kind).data, seed=3):
        check(good(kind), words, data)


@pytest.mark.parametrize("kind", KINDS)
def test_some_members_of_the_bundle_bent(kind):
    for words, data in members(good(kind), SAMPLE):
        check(good(kind), words, data)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_member_of_the_bundle_bent(kind):
    for words, data in members(good(kind)):
        check(good(kind), words, data)


@pytest.mark.parametrize("kind", KINDS)
def test_some_members_of_the_payload_bent_under_the_old_signature(kind):
    for words, data in payloads(good(kind), 10 * SAMPLE):
        assert good(kind).judge(data).exit_code == 1, words


@pytest.mark.slow
@pytest.mark.parametrize("kind", STATEMENTS)
def test_every_member_of_the_payload_bent_under_the_old_signature(kind):
    for words, data in payloads(good(kind)):
        assert good(kind).judge(data).exit_code == 1, words


@pytest.mark.parametrize("kind", KINDS)
def test_every_line_of_the_proof_bent(kind):
    found = good(kind)
    for words, text in bent_lines(found.world.bundle.tlog_proof):
        check(found, words, with_text(found, text))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_byte_of_the_proof_bent(kind):
    """Inside the string, where the canonical form of the outer JSON does not help."""
    found = good(kind)
    for words, data in bent_bytes(found.world.bundle.tlog_proof.encode(), seed=5):
        check(found, words, with_text(found, data.decode("utf-8", "replace")))


# --- what is listed ------------------------------------------------------------------------


def test_a_key_id_that_names_nobody_leaves_the_other_signature_to_count():
    found = good("two-signatures")
    first, second = found.world.envelope.signatures

    one = found.judge(found.with_signatures([Signature("0" * 64, first.value), second]))
    none = found.judge(
        found.with_signatures([Signature("0" * 64, first.value), Signature("1" * 64, second.value)])
    )

    assert one.exit_code == 0
    assert found.keys[0].public.key_id[:16] not in one.checks[9].reason
    assert none.exit_code == 3


def test_exchanged_key_ids_are_wrong_signatures():
    found = good("two-signatures")
    first, second = found.world.envelope.signatures
    exchanged = [
        Signature(second.key_id, first.value),
        Signature(first.key_id, second.value),
    ]

    assert codes(found.judge(found.with_signatures(exchanged))) == {"sig.invalid"}


def test_lines_of_strangers_are_tolerated_and_count_for_nothing():
    found = good("certified")
    text = found.world.bundle.tlog_proof
    head, log_line = text.rstrip("\n").rsplit("\n", 1)
    stranger = f"\u2014 somebody.else {base64.b64encode(bytes(68)).decode()}"

    def judged(*lines: str) -> Report:
        return found.judge(with_text(found, "\n".join([head, *lines, ""])))

    assert judged(log_line, stranger).exit_code == 0
    assert judged(stranger, log_line, log_line).exit_code == 0
    assert judged(stranger).exit_code == 3
    assert judged(log_line, *[stranger] * 100).exit_code == 1


def test_a_second_line_under_the_name_of_the_log_must_hold():
    """Same name and same key id: one wrong signature refuses the note beside a good one."""
    found = good("certified")
    text = found.world.bundle.tlog_proof
    line = parse_note(text.split("\n\n", 1)[1]).signatures[0]
    forged = SignatureLine(line.name, line.key_id, bytes(64))
    encoded = base64.b64encode(forged.key_id + forged.signature).decode()

    report = found.judge(with_text(found, f"{text}\u2014 {line.name} {encoded}\n"))

    assert codes(report) == {"log.sig"}


# --- second signatures that hold -----------------------------------------------------------


def codes(report: Report) -> set[str]:
    """The codes of the checks that failed."""
    return {one.code for one in report.checks if one.result == "fail"}


def test_the_twin_of_an_ecdsa_signature_holds_and_was_not_logged():
    """(r, s) and (r, n - s) hold for the same bytes; the leaf binds the one that was logged."""
    found = good("ecdsa")
    (signature,) = found.world.envelope.signatures
    r, s = decode_dss_signature(signature.value)
    twin = encode_dss_signature(r, P256_ORDER - s)
    found.keys[0].public.verify(found.world.envelope.signed_bytes(), twin)

    report = found.judge(found.with_signatures([Signature(signature.key_id, twin)]))

    assert codes(report) == {"leaf.mismatch"}
    assert found.judge(
        found.with_signatures([Signature(signature.key_id, twin)]), require="SIGNED"
    ).exit_code == 1  # fmt: skip


@pytest.mark.parametrize("longer", [b"\x30\x81", b"\x30\x82\x00"])
def test_another_encoding_of_an_ecdsa_signature_is_refused(longer):
    found = good("ecdsa")
    (signature,) = found.world.envelope.signatures
    bent = longer + signature.value[1:]

    report = found.judge(found.with_signatures([Signature(signature.key_id, bent)]))

    assert "leaf.mismatch" in codes(report)


@pytest.mark.parametrize("times", [1, 7, 15])
def test_an_ed25519_signature_with_a_large_s_is_refused(times):
    """S and S + L give the same point; RFC 8032, 5.1.7, asks for S < L."""
    found = good("certified")
    (signature,) = found.world.envelope.signatures
    s = int.from_bytes(signature.value[32:], "little") + times * ED25519_ORDER
    if s >= 2**256:
        pytest.skip("no such number has 32 bytes")
    bent = signature.value[:32] + s.to_bytes(32, "little")

    report = found.judge(found.with_signatures([Signature(signature.key_id, bent)]))

    assert codes(report) == {"sig.invalid", "leaf.mismatch"}


def test_a_log_signature_with_a_large_s_is_refused():
    found = good("certified")
    text = found.world.bundle.tlog_proof
    line = parse_note(text.split("\n\n", 1)[1]).signatures[0]
    s = int.from_bytes(line.signature[32:], "little") + ED25519_ORDER
    value = line.key_id + line.signature[:32] + s.to_bytes(32, "little")
    head = text.rsplit(" ", 1)[0]

    report = found.judge(with_text(found, f"{head} {base64.b64encode(value).decode()}\n"))

    assert codes(report) == {"log.sig"}


def test_a_signature_that_was_added_or_taken_away_after_logging_is_noticed():
    found = good("two-signatures")
    first, second = found.world.envelope.signatures
    third = generate_key()
    more = Signature(third.public.key_id, third.sign(found.world.envelope.signed_bytes()))

    for signatures in ([first], [second], [second, first], [first, second, more]):
        assert codes(found.judge(found.with_signatures(signatures))) == {"leaf.mismatch"}


# --- trees and notes -----------------------------------------------------------------------


def noted(found: Good, text: str) -> bytes:
    """The bundle with a note that says `text`, truly signed by the log."""
    from mbd.ledger.note import sign_note

    proof = parse_tlog_proof(found.world.bundle.tlog_proof)
    note = sign_note(text, found.world.log_signer)
    return with_text(found, dataclasses.replace(proof, checkpoint=note).text)


def test_an_extension_line_that_the_log_signed_is_fine():
    found = good("certified")
    text = found.world.log.checkpoint().text

    assert found.judge(noted(found, text + "any extension\n")).exit_code == 0


@pytest.mark.parametrize("size", ["0", "1", "3", "4", "9", "00007", "7 ", "+7", "\u0667",
                                  "9" * 18, "9" * 19, "-7", "7.0", ""])  # fmt: skip
def test_a_true_root_under_a_size_with_other_paths_is_refused(size):
    found = good("certified")
    origin, _, root = found.world.log.checkpoint().text.splitlines()

    assert found.judge(noted(found, f"{origin}\n{size}\n{root}\n")).exit_code == 1


@pytest.mark.parametrize("size", [5, 6, 8])
def test_a_log_that_signs_a_wrong_size_needs_somebody_who_reads_all_of_it(size):
    """The path of entry 3 is the same in trees of 5 to 8: no single proof gives away the lie.

    Only the log can tell it, for it has to sign. It forks the log: CONSISTENT and WITNESSED.
    """
    found = good("certified")
    origin, _, root = found.world.log.checkpoint().text.splitlines()

    report = found.judge(noted(found, f"{origin}\n{size}\n{root}\n"))

    assert (report.exit_code, report.level_reached) == (0, "LOGGED")


def test_a_tree_with_the_certificate_alone_names_no_policy_before_it():
    found = good("certified")
    alone = SmallLog([found.world.log.entries[found.world.index]])
    world = dataclasses.replace(found.world, log=alone, index=0)

    assert "ledger.size" in codes(found.judge(world.data))


@pytest.mark.parametrize("index", [0, 1, 2, 4, 5, 6, 7, 10**17])
def test_a_proof_of_another_index_is_refused(index):
    found = good("certified")
    proof = parse_tlog_proof(found.world.bundle.tlog_proof)
    bent = dataclasses.replace(proof, index=index)

    assert "incl.invalid" in codes(found.judge(with_text(found, bent.text)))


def test_one_certificate_may_be_logged_twice_and_each_place_is_proved():
    """Saying it again is no other statement; the index that counts is the one that is proved."""
    found = good("certified")
    entry = found.world.log.entries[found.world.index]
    log = SmallLog([*found.world.log.entries, entry])
    again = dataclasses.replace(found.world, log=log, index=7)

    assert found.judge(again.data).exit_code == 0
    mixed = parse_tlog_proof(again.bundle.tlog_proof)
    assert found.judge(
        with_text(found, dataclasses.replace(mixed, index=found.world.index).text)
    ).exit_code == 1  # fmt: skip


@pytest.mark.parametrize("name", [ORIGIN.upper(), ORIGIN + "/", "\uff4cedger.example/1",
                                  ORIGIN + "\u0301", "ledger.example\u2215" + "1"])  # fmt: skip
def test_a_log_whose_name_looks_the_same_is_another_log(name):
    found = good("certified")
    world = dataclasses.replace(found.world, log_signer=LogSigner(found.world.log_signer.key, name))

    assert found.judge(world.data).exit_code in (1, 3)


@pytest.mark.parametrize(
    "time",
    ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00Z",
     "0001-01-01T00:00:00+14:00", "0000-01-01T00:00:00Z", "2026-05-17T12:00:60Z",
     "2026-05-17T24:00:00Z", "2026-05-17t12:00:01z", "2026-05-17 12:00:01Z",
     "2026-05-17T12:00:01+00:00", "2026-W20-7T12:00:01Z", "20260517T120001Z",
     "\u0662026-05-17T12:00:01Z", "10000-01-01T00:00:00Z", ""],
)  # fmt: skip
def test_a_time_of_the_log_that_no_log_would_write_is_refused(time):
    """Also those at the edge of the calendar, where adding ten minutes is no date any more."""
    found = good("certified")
    content = json.loads(found.data)
    content["entry"]["time"] = time
    data = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    report = found.judge(data.encode())

    assert report.exit_code == 1
    assert codes(report) & {"time.invalid", "incl.invalid"}


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59Z", "2026-05-17T12:00:00Z"])
def test_an_entry_time_that_the_log_did_log_is_judged(time):
    found = good("certified")
    entry = dataclasses.replace(found.world.log.entries[found.world.index], time=time)
    report = found.judge(relogged(found.world, entry).data)

    assert codes(report) == ({"time.future"} if time > "2027" else set())
