"""What shows that a log only grew, bent: proofs of growth, witnesses' lines, what is remembered.

No bent text makes a log CONSISTENT or WITNESSED; no bent memory is taken for another, and nothing
but a whole success moves it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from mbd.errors import DataError
from mbd.ledger.consistency import parse_consistency_proof
from mbd.ledger.note import Note, parse_note
from mbd.verify import Report, verify_bundle
from mbd.verify.last_visit import Recalled
from tests.verify.histories import Witness, began, forked, grown, growth, note_of, recalled
from tests.verify.mutations import bent_bytes, bent_lines
from tests.verify.world import LATER, make_world

WORLD = make_world()
BEFORE, NOW, AFTER = began(WORLD.log, 5), WORLD.log, grown(WORLD.log, 6)
WATCHERS = [Witness(f"witness.example/w{number}") for number in range(2)]
TRUST = dataclasses.replace(WORLD.trust, witnesses=tuple(one.trusted for one in WATCHERS), quorum=2)
COSIGNED = "".join(one.line(AFTER) for one in WATCHERS)

FORWARD = growth(WORLD, 7, AFTER, COSIGNED).decode()
"""From the bundle's checkpoint to a later one that was seen and that witnesses signed."""
BACKWARD = growth(WORLD, 5, NOW).decode()
"""From a checkpoint that was seen to the bundle's."""

EVERY = [pytest.param(5), pytest.param(1, marks=pytest.mark.slow)]


def judge(seen: Recalled | None, *proofs: bytes, **options) -> Report:
    options.setdefault("require", "CONSISTENT")
    return verify_bundle(WORLD.data, TRUST, now=LATER, recalled=seen, growth=proofs, **options)


def bent(text: str, every: int) -> Iterator[tuple[str, bytes]]:
    yield from bent_bytes(text.encode(), seed=6, every=every)
    for words, changed in bent_lines(text):
        yield words, changed.encode()


def own(note: Note) -> set[object]:
    """The signature lines of the log itself."""
    return {line for line in note.signatures if line.name == WORLD.log_signer.name}


def proves_the_same(old: str, new: bytes) -> bool:
    """Whether only lines of others differ under the newer checkpoint."""
    one, other = parse_consistency_proof(old), parse_consistency_proof(new.decode())
    true, changed = parse_note(one.checkpoint), parse_note(other.checkpoint)
    return (one.old_size, one.hashes, true.text, own(true)) == (
        other.old_size, other.hashes, changed.text, own(changed)
    )  # fmt: skip


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize(("text", "seen"), [(FORWARD, AFTER), (BACKWARD, BEFORE)])
def test_no_bent_proof_of_growth_makes_a_log_consistent(text, seen, every):
    assert judge(recalled(WORLD, seen), text.encode()).exit_code == 0

    for words, data in bent(text, every):
        report = judge(recalled(WORLD, seen), data)
        assert report.exit_code in (0, 1, 3), words
        if report.exit_code == 0:
            assert proves_the_same(text, data), words
        else:
            assert report.verdict != "valid", words


@pytest.mark.parametrize("every", EVERY)
def test_no_bent_line_of_a_witness_counts(every):
    """The quorum needs both; a line that is bent is another's, or wrong, or the same."""
    options = {"require": "WITNESSED"}
    assert judge(recalled(WORLD, AFTER), FORWARD.encode(), **options).exit_code == 0
    at = FORWARD.index(COSIGNED)

    for words, data in bent(COSIGNED, every):
        text = FORWARD[:at].encode() + data
        report = judge(recalled(WORLD, AFTER), text, **options)
        assert report.exit_code in (0, 1, 3), words
        if report.exit_code == 0:
            lines = parse_note(parse_consistency_proof(text.decode()).checkpoint).signatures
            true = parse_note(parse_consistency_proof(FORWARD).checkpoint).signatures
            assert set(true) <= set(lines), words


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize("seen", [BEFORE, NOW])
def test_a_bent_memory_is_damaged_or_the_same_and_is_never_replaced(seen, every):
    note = note_of(WORLD, seen)
    proofs = [BACKWARD.encode()] if seen is BEFORE else []

    for words, data in bent(note, every):
        report = judge(Recalled(data), *proofs, require="LOGGED")
        assert report.checks[16].code in ("ok", "memory.damaged", "ckpt.no_proof"), words
        if report.checks[16].code == "ok":
            found = parse_note(data)
            assert (found.text, own(found)) == (parse_note(note).text, own(parse_note(note)))
        else:
            assert report.remember is None, words


def test_a_memory_of_a_fork_is_never_overwritten_by_its_other_side():
    """Whatever proofs are offered, each of them true for the history that is shown."""
    for size in range(2, 14):
        seen = recalled(WORLD, forked(NOW, size))
        for proofs in ([], [BACKWARD.encode()], [FORWARD.encode()], [BACKWARD.encode(),
                       FORWARD.encode()]):  # fmt: skip
            report = judge(seen, *proofs, require="LOGGED")
            assert report.checks[16].result != "pass"
            assert report.remember is None


@pytest.mark.parametrize("old", ["0", "1", "6", "13", "14", "007", "-5", "5 ", "\u0665", "9" * 18])
def test_another_old_size_proves_nothing(old):
    text = BACKWARD.replace("old 5\n", f"old {old}\n").encode()

    report = judge(recalled(WORLD, BEFORE), text)

    assert report.exit_code in (1, 3)


def refusal(data: bytes) -> str:
    """The code with which a text is refused; 'none' if it is read. Anything else is a defect."""
    try:
        parse_consistency_proof(data.decode("utf-8", "replace"))
    except DataError as error:
        return error.code
    return "none"


def test_a_proof_of_growth_is_read_or_refused_by_one_code():
    found = {refusal(data) for _, data in bent(FORWARD, 3)}

    assert found == {"none", "consistency_proof.malformed"}
