"""WITNESSED: who was chosen has to have signed, this checkpoint or one that it is part of."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from mbd.canonical.digest import b64decode_strict, b64encode
from mbd.errors import DataError, IntegrityError
from mbd.ledger.cosignature import cosigned_at, parse_witness_key
from mbd.ledger.note import parse_note
from mbd.verify import CheckResult, Report, verify_bundle
from mbd.verify.last_visit import Recalled
from tests.certificate.samples import NOW
from tests.verify.histories import Witness, began, forked, grown, growth, note_of, recalled
from tests.verify.world import LATER, ORIGIN, World, make_world

WORLD = make_world()
LOG = WORLD.log
WATCHERS = [Witness(f"witness.example/w{number}") for number in range(3)]
TRUST = dataclasses.replace(WORLD.trust, witnesses=tuple(one.trusted for one in WATCHERS), quorum=2)


def cosigned(lines: str, world: World = WORLD) -> bytes:
    """The bundle with more signature lines under its checkpoint: the log collects them."""
    bundle = world.bundle
    return dataclasses.replace(bundle, tlog_proof=bundle.tlog_proof + lines).to_bytes()


def judge(data: bytes, **options) -> Report:
    options.setdefault("trust", TRUST)
    return verify_bundle(data, now=LATER, **options)


def check(report: Report) -> CheckResult:
    return report.checks[17]


def lines(*watchers: Witness, log=LOG, **options) -> str:
    return "".join(one.line(log, **options) for one in watchers)


def test_the_published_example_has_the_form_that_is_read():
    """C2SP tlog-cosignature: key id, eight bytes of time, 64 of signature; of 1679315147."""
    line = (
        "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZ"
        "qhf5nNo0xUe+mbIUBkBIfZ+qnA=="
    )
    note = parse_note(
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        f"\N{EM DASH} witness.example.com/w1 {line}\n"
    )
    (found,) = note.signatures

    assert found.key_id.hex() == "8d66cf3f"
    assert len(found.signature) == 72
    assert int.from_bytes(found.signature[:8], "big") == 1679315147


def test_what_is_signed_is_what_the_specification_says():
    """Header, time and the whole text of the note, spelled out."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    watcher, text = WATCHERS[0], LOG.checkpoint().text
    content = b64decode_strict(watcher.line(LOG).split(" ")[2].strip())
    message = f"cosignature/v1\ntime {int(NOW.timestamp())}\n{text}".encode()

    assert content[:4] == watcher.vkey.key_id
    Ed25519PublicKey.from_public_bytes(watcher.vkey.public_key).verify(content[12:], message)


def test_a_quorum_reaches_the_level():
    data = cosigned(lines(*WATCHERS[:2]))

    report = judge(data, require="WITNESSED")

    assert (report.exit_code, report.level_reached) == (0, "WITNESSED")
    assert "2 of 3 witnesses, 2 are needed" in check(report).reason
    assert judge(data, recalled=recalled(WORLD, LOG)).level_reached == "WITNESSED"


def test_witnesses_stand_in_where_nothing_is_to_be_remembered():
    """A level holds wherever a higher one does, so --no-memory does not take this one away."""
    data = cosigned(lines(*WATCHERS[:2]))

    for level in ("CONSISTENT", "WITNESSED"):
        report = judge(data, require=level, recalled=None)
        assert (report.exit_code, report.level_reached) == (0, "WITNESSED")
    assert judge(WORLD.data, require="CONSISTENT", recalled=None).exit_code == 3


def test_witnesses_do_not_stand_in_for_what_was_seen():
    data = cosigned(lines(*WATCHERS[:2]))

    for seen in (recalled(WORLD, began(LOG, 5)), Recalled(b"damaged")):
        report = judge(data, require="CONSISTENT", recalled=seen)
        assert (report.exit_code, report.level_reached) == (3, "LOGGED")


def test_without_a_policy_nobody_is_asked():
    report = judge(cosigned(lines(*WATCHERS)), trust=WORLD.trust)

    assert (check(report).code, report.exit_code, report.level_reached) == (
        "witness.policy", 0, "LOGGED"
    )  # fmt: skip


@pytest.mark.parametrize("signed", [0, 1])
def test_too_few_are_not_enough(signed):
    data = cosigned(lines(*WATCHERS[:signed]))

    assert check(judge(data)).code == "witness.quorum"
    assert judge(data).exit_code == 0
    assert judge(data, require="WITNESSED").exit_code == 3


def test_one_witness_is_counted_once_however_often_it_signs():
    one = WATCHERS[0]
    data = cosigned(one.line(LOG) + one.line(LOG, timedelta(seconds=5)))

    assert check(judge(data)).code == "witness.quorum"


def test_strangers_do_no_good_and_no_harm():
    strangers = [Witness("stranger.example/1"), Witness(WATCHERS[0].signer.name)]

    assert check(judge(cosigned(lines(*strangers)))).code == "witness.quorum"
    assert judge(cosigned(lines(*WATCHERS, *strangers)), require="WITNESSED").exit_code == 0


def bent(position: int) -> str:
    """The line of a trusted witness with one bit turned behind its key id."""
    dash, name, encoded = WATCHERS[0].line(LOG).strip().split(" ")
    content = bytearray(b64decode_strict(encoded))
    content[4 + position] ^= 1
    return f"{dash} {name} {b64encode(bytes(content))}\n"


@pytest.mark.parametrize("position", [0, 7, 8, 40, 71])
def test_a_signature_of_a_trusted_witness_that_does_not_hold_is_refused(position):
    report = judge(cosigned(lines(*WATCHERS[1:]) + bent(position)))

    assert (check(report).code, report.exit_code) == ("witness.sig", 1)


def test_a_cosignature_of_another_length_is_refused():
    dash, name, encoded = WATCHERS[0].line(LOG).strip().split(" ")
    longer = b64encode(b64decode_strict(encoded) + b"x")

    assert check(judge(cosigned(f"{dash} {name} {longer}\n"))).code == "witness.sig"


def test_what_was_signed_for_another_checkpoint_does_not_count_here():
    report = judge(cosigned(lines(*WATCHERS, log=grown(LOG, 1))))

    assert (check(report).code, report.exit_code) == ("witness.sig", 1)


def test_a_time_in_the_future_counts_for_nothing():
    data = cosigned(lines(*WATCHERS, after=timedelta(hours=2)))

    assert check(judge(data)).code == "witness.quorum"


def test_a_time_before_the_entry_counts_for_nothing():
    data = cosigned(lines(*WATCHERS, after=-timedelta(days=1)))

    assert check(judge(data)).code == "witness.quorum"


def test_a_later_checkpoint_that_it_is_proved_to_be_part_of_counts():
    now = grown(LOG, 6)
    proof = growth(WORLD, 7, now, lines(*WATCHERS[:2], log=now))

    for before in (Recalled(), None, recalled(WORLD, LOG)):
        report = judge(WORLD.data, growth=[proof], recalled=before, require="WITNESSED")
        assert (report.exit_code, report.level_reached) == (0, "WITNESSED")


def test_the_witnesses_of_both_checkpoints_add_up():
    now = grown(LOG, 6)
    data = cosigned(lines(WATCHERS[0]))
    proof = growth(WORLD, 7, now, lines(WATCHERS[1], log=now))

    assert judge(data, growth=[proof], require="WITNESSED").exit_code == 0


def test_a_later_checkpoint_that_is_not_proved_to_contain_it_does_not_count():
    other = forked(LOG, 13)
    proof = growth(WORLD, 9, other, lines(*WATCHERS, log=other))

    report = judge(WORLD.data, growth=[proof], recalled=Recalled())

    assert (check(report).code, report.exit_code) == ("witness.quorum", 3)


def test_an_earlier_checkpoint_that_others_saw_says_nothing_of_this_one():
    seen = began(LOG, 5)
    remembered = Recalled((note_of(WORLD, seen) + lines(*WATCHERS, log=seen)).encode())

    report = judge(WORLD.data, recalled=remembered, growth=[growth(WORLD, 5, LOG)])

    assert report.level_reached == "CONSISTENT"
    assert check(report).code == "witness.quorum"


def test_a_log_key_is_no_witness_key_and_the_other_way_round():
    log = WORLD.trust.log
    assert log is not None
    with pytest.raises(DataError):
        parse_witness_key(str(log.key))
    note = parse_note(note_of(WORLD, LOG))
    assert cosigned_at(note, WATCHERS[0].vkey, LATER) is None
    same = dataclasses.replace(WATCHERS[0].vkey, name=ORIGIN, public_key=log.key.public_key)
    assert cosigned_at(note, same, LATER) is None
    stolen = parse_note(
        note_of(WORLD, LOG) + f"\N{EM DASH} {ORIGIN} {b64encode(same.key_id + bytes(72))}\n"
    )
    with pytest.raises(IntegrityError):
        cosigned_at(stolen, same, LATER)
