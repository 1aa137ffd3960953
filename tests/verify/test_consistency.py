"""CONSISTENT: a log that shows two histories is found out, and nothing else is called a fork."""

from __future__ import annotations

import dataclasses
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbd.cli.main import invoke
from mbd.errors import ConflictError
from mbd.ledger.note import sign_checkpoint
from mbd.signing.keys import generate_key
from mbd.verify import CheckResult, Report, verify_bundle
from mbd.verify.codes import CODES
from mbd.verify.last_visit import Recalled, default_path, recall, remember
from mbd.verify.summary import summary, summary_of_many
from mbd.verify.trust_text import render_trust
from tests.verify.histories import began, forked, grown, growth, note_of, recalled
from tests.verify.test_codes import unprivileged
from tests.verify.world import LATER, LogSigner, SmallLog, World, make_world

WORLD = make_world()
LOG = WORLD.log  # of size 7; the certificate is entry 3


def judge(**options) -> Report:
    return verify_bundle(WORLD.data, WORLD.trust, now=LATER, **options)


def check(report: Report) -> CheckResult:
    return report.checks[16]


def test_the_first_visit_has_nothing_to_compare_with_and_is_remembered():
    report = judge(recalled=Recalled())

    assert (check(report).code, report.exit_code, report.level_reached) == (
        "ckpt.first", 0, "LOGGED"
    )  # fmt: skip
    assert report.remember == note_of(WORLD, LOG)
    assert judge(recalled=Recalled(), require="CONSISTENT").exit_code == 3


def test_without_a_memory_nothing_is_compared_and_nothing_remembered():
    report = judge()

    assert (check(report).code, report.exit_code, report.remember) == ("ckpt.no_memory", 0, None)


def test_the_same_checkpoint_again_is_consistent():
    report = judge(recalled=recalled(WORLD, LOG), require="CONSISTENT")

    assert (report.exit_code, report.level_reached) == (0, "CONSISTENT")


def test_another_root_of_the_same_size_is_a_fork():
    report = judge(recalled=recalled(WORLD, forked(LOG, 7)))

    assert (check(report).code, report.exit_code, report.remember) == ("ckpt.fork", 1, None)


@pytest.mark.parametrize("size", [0, 2, 3])
def test_what_the_inclusion_proof_gives_away_needs_no_further_proof(size):
    """Entry 3 leads past the trees of the first 2 and of the first 3 entries."""
    report = judge(recalled=recalled(WORLD, began(LOG, size)))

    assert report.level_reached == "CONSISTENT"
    assert report.remember == note_of(WORLD, LOG)


@pytest.mark.parametrize("size", [2, 3])
def test_an_earlier_root_that_the_inclusion_proof_contradicts_is_a_fork(size):
    report = judge(recalled=recalled(WORLD, forked(LOG, size)))

    assert (check(report).code, report.exit_code) == ("ckpt.fork", 1)


@pytest.mark.parametrize("size", [1, 4, 5, 6, 8, 20])
def test_another_size_without_proof_is_left_open(size):
    seen = began(LOG, size) if size < 7 else grown(LOG, size - 7)

    report = judge(recalled=recalled(WORLD, seen))

    assert (check(report).code, report.exit_code, report.remember) == ("ckpt.no_proof", 0, None)
    assert judge(recalled=recalled(WORLD, seen), require="CONSISTENT").exit_code == 3


@pytest.mark.parametrize("size", [5, 9])
def test_the_verdict_says_what_it_was_not_held_against(size):
    seen = began(LOG, size) if size < 7 else grown(LOG, size - 7)
    apart = judge(recalled=recalled(WORLD, seen))
    held = judge(recalled=recalled(WORLD, LOG))

    words = f"not held against size {size} seen before"
    assert f"level LOGGED, {words}; " in summary(apart).splitlines()[-1]
    many = summary_of_many([("a", apart), ("b", held), ("c", apart)]).splitlines()[-1]
    assert many == f"VALID: 3 files, 3 valid; 2 {words}"
    for report in (held, judge(recalled=Recalled()), judge()):
        assert "not held" not in summary(report)


def test_the_verdict_says_that_the_memory_cannot_be_read():
    report = judge(recalled=Recalled(b"\xff"))

    assert (check(report).code, report.exit_code) == ("memory.damaged", 0)
    last = summary(report).splitlines()[-1]
    assert "not held against what was seen before, which cannot be read" in last


@pytest.mark.parametrize("size", range(1, 7))
def test_a_proof_from_what_was_seen_to_what_is_shown(size):
    proof = growth(WORLD, size, LOG)

    report = judge(recalled=recalled(WORLD, began(LOG, size)), growth=[proof])

    assert (report.exit_code, report.level_reached) == (0, "CONSISTENT")
    assert report.remember == note_of(WORLD, LOG)


def test_a_proof_from_what_is_shown_to_what_was_seen():
    """An old certificate after a newer one: the memory stays where it is."""
    seen = grown(LOG, 5)

    report = judge(recalled=recalled(WORLD, seen), growth=[growth(WORLD, 7, seen)])

    assert (report.exit_code, report.level_reached) == (0, "CONSISTENT")
    assert report.remember == note_of(WORLD, seen)


def test_proofs_chain_in_any_order():
    now = grown(LOG, 9)
    first, second = growth(WORLD, 5, LOG), growth(WORLD, 7, now)

    for proofs in ([first, second], [second, first]):
        report = judge(recalled=recalled(WORLD, began(LOG, 5)), growth=proofs)
        assert report.level_reached == "CONSISTENT"
        assert report.remember == note_of(WORLD, now)


def test_two_that_are_part_of_a_third_are_consistent():
    seen, now = grown(LOG, 2), grown(LOG, 6)
    proofs = [growth(WORLD, 7, now), growth(WORLD, 9, now)]

    report = judge(recalled=recalled(WORLD, seen), growth=proofs)

    assert report.level_reached == "CONSISTENT"
    assert report.remember == note_of(WORLD, now)


def test_two_that_grew_out_of_one_are_what_a_fork_looks_like():
    """Both proofs hold, and both begin at a checkpoint that both histories have."""
    common = began(LOG, 1)
    other = forked(LOG, 9)
    proofs = [growth(WORLD, 1, LOG), growth(WORLD, 1, other), growth(WORLD, 0, common)]

    report = judge(recalled=recalled(WORLD, other), growth=proofs)

    assert (check(report).code, report.exit_code, report.remember) == ("ckpt.no_proof", 3, None)


def test_each_hash_of_a_proof_counts():
    now = grown(LOG, 6)
    lines = growth(WORLD, 7, now).split(b"\n")
    count = lines.index(b"") - 1
    assert count > 2
    for number in range(1, count + 1):
        before, after = lines[:number], lines[number + 1 :]
        for proof in ([*before, b"A" * 43 + b"=", *after], [*before, *after]):
            report = judge(recalled=recalled(WORLD, now), growth=[b"\n".join(proof)])
            assert (check(report).code, report.exit_code) == ("ckpt.proof", 1)


def test_a_proof_that_begins_at_another_size_does_not_hold():
    now = grown(LOG, 6)
    proof = growth(WORLD, 6, now).replace(b"old 6\n", b"old 7\n")

    report = judge(recalled=recalled(WORLD, now), growth=[proof])

    assert (check(report).code, report.exit_code) == ("ckpt.proof", 1)


def test_a_proof_whose_checkpoint_others_signed():
    now = grown(LOG, 6)
    stranger = dataclasses.replace(WORLD, log_signer=LogSigner(generate_key()))
    good = growth(WORLD, 7, now)
    text, _, line = good.rpartition(b" ")
    forged = text + b" " + line[:20] + (b"B" if line[20:21] == b"A" else b"A") + line[21:]

    unknown = judge(recalled=recalled(WORLD, LOG), growth=[growth(stranger, 7, now)])
    wrong = judge(recalled=recalled(WORLD, LOG), growth=[forged])

    assert (check(unknown).code, unknown.exit_code) == ("log.unknown", 3)
    assert (check(wrong).code, wrong.exit_code) == ("ckpt.sig", 1)


def test_what_is_given_is_required_even_where_nothing_needs_it():
    far = growth(WORLD, 8, grown(LOG, 9))

    report = judge(recalled=recalled(WORLD, began(LOG, 5)), growth=[far])

    assert (check(report).code, report.exit_code) == ("ckpt.no_proof", 3)
    assert "no proof from size 5 to 7, only 8 to 16" in check(report).reason


@pytest.mark.parametrize(
    "damaged",
    [b"", b"x", b"\xff", note_of(WORLD, LOG).encode()[:-9],
     sign_checkpoint(LOG.checkpoint("other.example"), LogSigner(generate_key())).encode()],
)  # fmt: skip
def test_a_damaged_memory_is_said_and_left_alone(damaged):
    report = judge(recalled=Recalled(damaged))

    assert (check(report).code, report.exit_code, report.remember) == ("memory.damaged", 0, None)
    assert judge(recalled=Recalled(damaged), require="CONSISTENT").exit_code == 3


GOOD = growth(WORLD, 7, grown(LOG, 6))
REMEMBERED = note_of(WORLD, LOG).encode()


@given(
    st.binary(max_size=80) | st.text(max_size=80).map(str.encode),
    st.sampled_from([GOOD, REMEMBERED, b"old 7\n\n", b""]),
    st.integers(0, len(GOOD)),
    st.integers(0, 40),
)
def test_whatever_is_given_as_proof_or_memory_is_judged(inserted, good, start, cut):
    bent = good[:start] + inserted + good[start + cut :]

    for options in (
        {"growth": [bent], "recalled": recalled(WORLD, LOG)},
        {"growth": [GOOD], "recalled": Recalled(bent)},
    ):
        found = check(judge(**options))
        assert found.result == "pass" or found.code in CODES


# --- the file --------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trust.toml").write_text(render_trust(WORLD.trust))
    (tmp_path / "cert.json").write_bytes(WORLD.data)
    return tmp_path


def later_certificate(log: SmallLog) -> World:
    """The same certificate, shown with a later checkpoint of its log."""
    return dataclasses.replace(WORLD, log=log)


def memory() -> Path:
    assert WORLD.trust.log is not None
    return default_path(WORLD.trust.log)


def verify(*words: str) -> int:
    return invoke(["verify", "cert.json", "--trust", "trust.toml", *words])


def test_the_checkpoint_is_remembered_after_a_success(folder):
    assert not memory().exists()
    assert verify() == 0
    assert memory().read_text() == note_of(WORLD, LOG)
    assert stat.S_IMODE(memory().stat().st_mode) == 0o600
    assert verify("--require", "CONSISTENT") == 0


@pytest.mark.parametrize(
    "words", [["--require", "WITNESSED"], ["--receipt", "absent"], ["--no-memory"]]
)
def test_nothing_is_remembered_without_a_whole_success(folder, words):
    verify(*words)

    assert not memory().exists()


def test_a_fork_is_found_on_the_second_visit_and_the_memory_stays(folder, capsys):
    assert verify() == 0
    fork = dataclasses.replace(WORLD, log=SmallLog([*LOG.entries[:6], LOG.entries[0]]))
    (folder / "cert.json").write_bytes(fork.data)

    assert verify() == 1
    assert "ckpt.fork" in capsys.readouterr().out
    assert memory().read_text() == note_of(WORLD, LOG)
    assert verify("--no-memory") == 0  # nobody who remembers nothing can tell


def test_a_proof_moves_the_memory_on(folder):
    now = grown(LOG, 9)
    (folder / "growth").write_bytes(growth(WORLD, 7, now))
    assert verify() == 0

    assert verify("--consistency", "growth") == 0
    assert memory().read_text() == note_of(WORLD, now)
    assert verify() == 0  # consistency is left open: 7 is older than what is remembered
    assert verify("--require", "CONSISTENT") == 3
    assert verify("--consistency", "growth", "--require", "CONSISTENT") == 0
    assert memory().read_text() == note_of(WORLD, now)


def test_each_file_of_a_run_is_held_against_the_one_before(folder):
    fork = dataclasses.replace(WORLD, log=SmallLog([*LOG.entries[:6], LOG.entries[0]]))
    (folder / "other.json").write_bytes(fork.data)

    assert invoke(["verify", "cert.json", "other.json", "--trust", "trust.toml"]) == 1
    assert memory().read_text() == note_of(WORLD, LOG)


def test_another_file_may_be_named_as_the_memory(folder):
    assert verify("--memory", "mine") == 0

    assert (folder / "mine").read_text() == note_of(WORLD, LOG)
    assert not memory().exists()
    assert verify("--memory", "mine", "--no-memory") == 2


@pytest.mark.parametrize("kind", ["text", "pipe", "link"])
def test_a_damaged_memory_is_never_overwritten(folder, capsys, kind):
    place = folder / "mine"
    {
        "text": lambda: place.write_text("nonsense"),
        "pipe": lambda: os.mkfifo(place),
        "link": lambda: place.symlink_to("absent"),
    }[kind]()
    before = place.lstat()

    assert verify("--memory", "mine") == 0
    assert "what is remembered of this log cannot be read" in capsys.readouterr().out
    assert verify("--memory", "mine", "--require", "CONSISTENT") == 3
    assert place.lstat().st_mtime_ns == before.st_mtime_ns


def test_a_folder_is_no_memory(folder):
    assert verify("--memory", ".") == 2


def test_on_a_first_visit_a_proof_from_or_to_what_is_shown_is_no_obstacle(folder, capsys):
    """Whoever follows the manual gives one from the start; there is nothing to compare yet."""
    now = grown(LOG, 6)
    (folder / "growth").write_bytes(growth(WORLD, 7, now))

    assert verify("--consistency", "growth") == 0
    assert "a first visit; the log grew from size 7 to 13" in capsys.readouterr().out
    assert memory().read_text() == note_of(WORLD, now)
    assert verify("--consistency", "growth") == 0

    asked = judge(recalled=Recalled(), growth=[growth(WORLD, 7, now)], require="CONSISTENT")
    idle = judge(recalled=Recalled(), growth=[growth(WORLD, 8, grown(LOG, 9))])
    bent = judge(recalled=Recalled(), growth=[growth(WORLD, 6, now).replace(b"old 6", b"old 7")])
    assert asked.exit_code == 3
    assert (check(idle).code, idle.exit_code, idle.remember) == ("ckpt.no_proof", 3, None)
    assert (check(bent).code, bent.exit_code) == ("ckpt.proof", 1)


def test_what_is_missing_is_asked_for_by_a_command_that_exists():
    report = judge(recalled=recalled(WORLD, grown(LOG, 4)))

    assert "ask the operator for: mbd ledger consistency 7 11" in check(report).reason


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (WORLD.data, "this is a certificate"),
        (b'{"schema":"urn:mbd:cli:ledger-consistency:v1"}', "printed with --json"),
        (note_of(WORLD, grown(LOG, 6)).encode(), "a checkpoint of a log"),
        (growth(WORLD, 7, grown(LOG, 6)).replace(b"\n", b"\r\n"), "changed its line ends"),
        (b"", "the file is empty"),
        (b"old 7\n\nno checkpoint\n", "--consistency: "),
    ],
)
def test_what_is_no_proof_says_nothing_against_the_certificate(given, words):
    report = judge(recalled=recalled(WORLD, LOG), growth=[given])

    found = (check(report).code, check(report).result, report.exit_code)
    assert found == ("consistency_proof.malformed", "skipped", 3)
    assert check(report).reason.startswith("--consistency: ")
    assert words in check(report).reason


def test_a_memory_that_may_not_be_looked_at_is_no_first_visit(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)

    with unprivileged():
        found = recall(closed / "mine")

    assert found.problem is not None
    assert check(judge(recalled=found)).code == "memory.damaged"


def test_a_memory_that_cannot_be_written_changes_no_verdict(folder, capsys):
    (folder / "file").write_text("")

    assert verify("--memory", "file/inside") == 0
    assert verify("--memory", "/proc/mine") == 0
    assert "the checkpoint is not remembered" in capsys.readouterr().err


def test_two_verifiers_at_once_never_lose_what_one_remembers(tmp_path):
    place = tmp_path / "mine"
    remember(place, Recalled(), note_of(WORLD, LOG))

    with pytest.raises(ConflictError):
        remember(place, Recalled(), note_of(WORLD, forked(LOG, 7)))

    assert recall(place).note == note_of(WORLD, LOG).encode()
