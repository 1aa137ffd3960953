"""`mbd verify` as it is typed: exit codes, JSON, where trust comes from, what it loads."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mbd.canonical.json import dumps
from mbd.cli.main import invoke
from mbd.verify.case import Case
from mbd.verify.trust_text import render_trust
from tests.certificate.samples import NOW
from tests.verify.world import SmallLog, World, make_world

WORLD = make_world()


def trust_text(world: World) -> str:
    return render_trust(world.trust)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with a true certificate, a trust file, and other people's files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MBD_TRUST", raising=False)
    monkeypatch.delenv("MBD_WORKSPACE", raising=False)
    (tmp_path / "cert.json").write_bytes(WORLD.data)
    (tmp_path / "foreign.json").write_bytes(make_world().data)
    (tmp_path / "broken.json").write_bytes(WORLD.data[:-1])
    (tmp_path / "mine.toml").write_text(trust_text(WORLD))
    (tmp_path / "receipt.r").write_bytes(WORLD.receipt.to_bytes())
    return tmp_path


def document(capsys) -> dict:
    return json.loads(capsys.readouterr().out)


def test_the_example_is_older_than_the_clock_of_this_test():
    assert NOW.timestamp() < time.time()


def test_a_true_certificate_exits_0_and_says_what_was_not_checked(folder, capsys):
    assert invoke(["verify", "cert.json", "--trust", "mine.toml"]) == 0

    out = capsys.readouterr().out
    last = out.splitlines()[-1]
    assert last.startswith("VALID at checkpoint ledger.example/1@7; level LOGGED; class certified")
    assert "Not checked: " in out
    assert "others another log." in out


def test_the_json_carries_the_report(folder, capsys):
    code = invoke(
        ["verify", "cert.json", "--trust", "mine.toml", "--receipt", "receipt.r", "--json"]
    )

    found = document(capsys)
    assert code == found["exitCode"] == 0
    assert found["schema"] == "urn:mbd:cli:verify:v1"
    assert (found["verdict"], found["levelReached"]) == ("valid", "LOGGED+SUBJECT")
    assert [check["number"] for check in found["checks"]] == list(range(1, 22))
    assert {"number", "name", "level", "code", "result", "reason", "text"} == set(
        found["checks"][0]
    )
    assert found["notChecked"]
    assert found["limits"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["cert.json"], 3),
        (["foreign.json", "--trust", "mine.toml"], 3),
        (["broken.json", "--trust", "mine.toml"], 1),
        (["cert.json", "--trust", "mine.toml", "--require", "SIGNED"], 0),
        (["cert.json", "--trust", "mine.toml", "--require", "consistent"], 3),
        (["cert.json", "--trust", "mine.toml", "--require", "SUBJECT"], 2),
        (["cert.json", "--trust", "mine.toml", "--require", "PERFECT"], 2),
        (["cert.json", "--trust", "cert.json"], 2),
        (["cert.json", "--trust", "absent.toml"], 2),
        (["absent.json", "--trust", "mine.toml"], 2),
        (["absent*.json", "--trust", "mine.toml"], 2),
        (["cert.json", "--trust", "mine.toml", "--receipt", "absent"], 2),
        (["cert.json", "--trust", "mine.toml", "--model", "absent"], 2),
        (["cert.json", "--trust", "mine.toml", "--model", "."], 3),
        (["cert.json", "foreign.json", "--trust", "mine.toml"], 3),
        (["*.json", "--trust", "mine.toml"], 1),
        ([], 2),
    ],
)
def test_exit_codes(folder, arguments, code):
    assert invoke(["verify", *arguments]) == code


def test_several_files_are_all_reported_and_the_worst_speaks(folder, capsys):
    assert invoke(["verify", "*.json", "--trust", "mine.toml", "--json"]) == 1

    found = document(capsys)
    codes = {one["file"]: one["exitCode"] for one in found["files"]}
    assert codes == {"broken.json": 1, "cert.json": 0, "foreign.json": 3}
    assert (found["verdict"], found["exitCode"], found["file"]) == ("invalid", 1, "broken.json")


def second(folder: Path) -> World:
    """Another certificate of the same issuer, in the same log, beside the first."""
    world = make_world(certificate_id="01KRTWXDG00000000000000000")
    issuer = replace(world.trust.issuers[0], name="Example Clinic")
    both = replace(WORLD.trust, issuers=(*WORLD.trust.issuers, issuer), log=WORLD.trust.log)
    shown = replace(world, log_signer=WORLD.log_signer)
    (folder / "second.json").write_bytes(shown.data)
    (folder / "both.toml").write_text(render_trust(both))
    return shown


def test_several_files_get_a_line_each_and_the_verdict_is_last(folder, capsys):
    second(folder)
    arguments = ["verify", "cert.json", "second.json", "--trust", "both.toml", "--no-memory"]

    assert invoke(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["VALID", "VALID"]
    assert lines[-3].startswith("Not checked: consistency; ")
    assert lines[-2].startswith("Limits: ")
    assert lines[-1] == "VALID: 2 files, 2 valid"
    assert invoke(["-v", *arguments]) == 0
    assert capsys.readouterr().out.count("  pass  ") == 32
    assert invoke([*arguments, "broken.json"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("broken.json\nSIGNED, FAILED")
    assert "  pass  " not in out
    assert out.splitlines()[-1] == "INVALID: 3 files, 2 valid; 1 invalid"


def test_a_receipt_is_required_of_the_certificate_that_it_names(folder, capsys):
    second(folder)
    common = ["--trust", "both.toml", "--no-memory", "--receipt", "receipt.r", "--json"]

    assert invoke(["verify", "cert.json", "second.json", *common]) == 0
    found = {one["file"]: one["levelReached"] for one in document(capsys)["files"]}
    assert found == {"cert.json": "LOGGED+SUBJECT", "second.json": "LOGGED"}
    assert invoke(["verify", "second.json", *common]) == 3
    asked = ["cert.json", "second.json", "--require", "SUBJECT"]
    assert invoke(["verify", *asked, *common]) == 3


def test_a_defect_in_one_file_loses_none_of_the_others(folder, monkeypatch, capsys):
    second(folder)
    run = importlib.import_module("mbd.verify.run")

    def broken(case: Case) -> str:
        return str(1 // (case.data != WORLD.data))

    checks = tuple(
        (name, level, broken if name == "leaf" else check) for name, level, check in run.CHECKS
    )
    monkeypatch.setattr(run, "CHECKS", checks)
    arguments = ["verify", "broken.json", "cert.json", "--trust", "mine.toml"]

    assert invoke([*arguments, "--json"]) == 70
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert [one["exitCode"] for one in found["files"]] == [1, 70]
    assert (found["file"], found["verdict"]) == ("cert.json", "error")
    assert "ZeroDivisionError" in found["error"]["message"]
    assert "Traceback" in captured.err
    assert invoke(arguments) == 70
    out = capsys.readouterr().out
    assert "INVALID: json.syntax" in out
    assert out.splitlines()[-1] == "ERROR: 2 files, 1 invalid; 1 error"
    assert invoke(["verify", "cert.json", "--trust", "mine.toml"]) == 70


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (WORLD.receipt.to_bytes(), "a receipt: give it with --receipt"),
        (WORLD.envelope.payload, "a statement that nobody signed"),
        (dumps(WORLD.envelope.to_json()), "an envelope alone"),
        (WORLD.bundle.tlog_proof.encode(), "a proof that something was logged"),
        (WORLD.bundle.tlog_proof.partition("\n\n")[2].encode(), "a checkpoint of a log"),
        (b"old 3\n\nx", "a proof that the log only grew: give it with --consistency"),
        (trust_text(WORLD).encode(), "a trust file: give it with --trust"),
        (b'{"escrow":"urn:mbd:escrow:v1"}', "an escrow: give it with --escrow"),
    ],
)
def test_what_was_given_in_place_of_a_bundle_is_named(folder, capsys, content, words):
    (folder / "wrong").write_bytes(content)

    assert invoke(["verify", "wrong", "--trust", "mine.toml"]) == 1
    assert f"this is {words}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verify", "keys", "--trust", "mine.toml"], "this is an export of keys"),
        (["verify", "cert.json", "--trust", "keys"], "trust file keys: this is an export of keys"),
        (["verify", "cert.json", "--trust", "cert.json"], "this is a certificate"),
        (["trust", "add", "cert.json", "--trust", "new"], "this is a certificate"),
        (["trust", "add", "receipt.r", "--trust", "new"], "this is a receipt"),
        (["verify", "cert.json", "--trust", "limit"], "want a number without quotes, got '0.5'"),
        (["verify", ".", "--trust", "mine.toml"], "FILE: .: Is a directory"),
        (["verify", "cert.json", "--trust", "nope"], "trust file nope: No such file"),
    ],
)
def test_every_option_says_what_it_was_given_and_names_it_once(folder, capsys, arguments, words):
    (folder / "keys").write_text('{"schema":"urn:mbd:cli:key-export:v1","keys":[]}')
    (folder / "limit").write_text(trust_text(WORLD) + '[limits]\nepsilon = "0.5"\n')

    assert invoke(arguments) in (1, 2)

    captured = capsys.readouterr()
    said = captured.out + captured.err
    assert words in said
    for name in ("keys", "nope", "limit", "."):
        assert f"{name}: {name}: " not in said
        assert f"{name}: trust file {name}" not in said


def test_a_line_end_too_many_is_explained(folder, capsys):
    (folder / "mailed.json").write_bytes(WORLD.data + b"\n")

    assert invoke(["verify", "mailed.json", "--trust", "mine.toml"]) == 1
    assert "may have changed its line ends" in capsys.readouterr().out


def test_standard_input_is_a_file_too(folder):
    line = [sys.executable, "-m", "mbd", "verify", "-", "--trust", "mine.toml", "--json"]
    done = subprocess.run(line, cwd=folder, input=WORLD.data, capture_output=True, check=False)

    assert done.returncode == 0
    assert json.loads(done.stdout)["file"] == "-"


def test_the_same_certificate_is_counted_once(folder, capsys):
    (folder / "copy.json").write_bytes(WORLD.data)

    assert invoke(["verify", "cert.json", "copy.json", "--trust", "mine.toml", "--json"]) == 0
    captured = capsys.readouterr()
    assert "files" not in json.loads(captured.out)
    assert "copy.json is cert.json again: counted once" in captured.err


def test_a_missing_file_stops_none_of_the_others(folder, capsys):
    arguments = ["verify", "absent.json", "cert.json", "--trust", "mine.toml"]

    assert invoke(arguments) == 2
    captured = capsys.readouterr()
    last = captured.out.splitlines()[-1]
    assert last.startswith("VALID at checkpoint ")
    assert last.endswith("; 1 not read, see standard error")
    assert "mbd: FILE: absent.json: no such file" in captured.err
    assert invoke([*arguments, "--json"]) == 2
    found = document(capsys)
    assert (found["exitCode"], found["unread"]) == (2, ["absent.json: no such file"])


def test_what_was_altered_is_not_blamed_on_the_issuer(folder, capsys):
    """A payload with a smaller epsilon: the issuer never signed it."""
    lie = json.loads(WORLD.envelope.payload)
    lie["predicate"]["guarantee"]["epsilon"] = "0.01"
    envelope = replace(WORLD.envelope, payload=dumps(lie))
    (folder / "lie.json").write_bytes(replace(WORLD.bundle, envelope=envelope).to_bytes())

    assert invoke(["verify", "lie.json", "--trust", "mine.toml"]) == 1
    out = capsys.readouterr().out
    assert "  fail         8  " in out
    last = out.splitlines()[-1]
    assert last.startswith("INVALID: sig.invalid (altered since it was signed, or not by this key)")
    assert " and 2 more failed checks; " in last


def test_whether_the_root_at_issue_was_compared_is_said(folder, capsys):
    assert invoke(["verify", "cert.json", "--trust", "mine.toml"]) == 0
    assert "its root at size 3 is the one it names" in capsys.readouterr().out
    log = SmallLog([*WORLD.log.entries[:3], *WORLD.log.entries[4:6], WORLD.log.entries[3]])
    (folder / "late.json").write_bytes(replace(WORLD, log=log, index=5).data)
    arguments = ["verify", "late.json", "--trust", "mine.toml", "--no-memory"]
    assert invoke(arguments) == 0
    out = capsys.readouterr().out
    assert "its root at size 3 was not compared" in out
    assert "; the root at issue (size 3) was not compared; " in out
    assert invoke([*arguments, "--json"]) == 0
    assert "the root at issue (size 3) was not compared" in document(capsys)["notChecked"]


def test_an_escrow_opens_nothing_without_the_data(folder):
    assert invoke(["verify", "cert.json", "--escrow", "receipt.r"]) == 2


def test_trust_is_looked_for_in_order(folder, monkeypatch):
    other = trust_text(make_world())
    workspace = folder / "service"
    inside = workspace / "certs"
    inside.mkdir(parents=True)
    (workspace / "mbd.toml").write_text("format = 1\n")
    (workspace / "trust.toml").write_text(trust_text(WORLD))
    monkeypatch.chdir(inside)
    cert = str(folder / "cert.json")

    assert invoke(["verify", cert]) == 0  # the workspace's
    (inside / "trust.toml").write_text(other)
    assert invoke(["verify", cert]) == 3  # the one here
    monkeypatch.setenv("MBD_TRUST", str(folder / "mine.toml"))
    assert invoke(["verify", cert]) == 0  # the environment's
    assert invoke(["verify", cert, "--trust", "trust.toml"]) == 3  # the flag's


@pytest.mark.parametrize("where", [".", "certs"])
def test_trusting_oneself_is_said(folder, monkeypatch, capsys, where):
    (folder / "mbd.toml").write_text("format = 1\n")
    (folder / "trust.toml").write_text(trust_text(WORLD))
    (folder / "certs").mkdir()
    monkeypatch.chdir(folder / where)

    assert invoke(["verify", str(folder / "cert.json"), "--json"]) == 0

    captured = capsys.readouterr()
    assert "trusting yourself" in captured.err
    assert json.loads(captured.out)["ownTrust"] is True


def test_a_trust_file_that_nobody_named_is_warned_of(folder, capsys):
    """It may have come with the certificate, in the same archive."""
    (folder / "trust.toml").write_text(trust_text(WORLD))

    assert invoke(["verify", "cert.json"]) == 0
    captured = capsys.readouterr()
    assert "believing ./trust.toml: make sure that it did not come" in captured.err
    assert captured.out.splitlines()[-1].endswith("; by ./trust.toml, which nobody named")
    assert invoke(["verify", "cert.json", "--json"]) == 0
    assert document(capsys)["trustNamed"] is False
    assert invoke(["verify", "cert.json", "--trust", "trust.toml", "--json"]) == 0
    assert document(capsys)["trustNamed"] is True
    assert invoke(["-q", "verify", "cert.json"]) == 0
    assert "believing ./trust.toml" in capsys.readouterr().err
    assert invoke(["verify", "cert.json", "--trust", "trust.toml"]) == 0
    assert capsys.readouterr().err == "trust: trust.toml\n"


def test_without_a_trust_file_that_is_said(folder, capsys):
    assert invoke(["verify", "cert.json"]) == 3

    captured = capsys.readouterr()
    assert "no trust file" in captured.err
    assert "make a trust file with `mbd trust add keys.json`" in captured.out.splitlines()[-1]


@pytest.mark.parametrize("option", ["FILE", "--trust", "--receipt"])
def test_a_pipe_a_device_or_a_folder_is_refused_without_waiting(folder, option):
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()

    for name in ("pipe", "folder", "/dev/zero"):
        arguments = {"--trust": "mine.toml"} | {option: name}
        file = arguments.pop("FILE", "cert.json")
        options = [word for pair in arguments.items() for word in pair]
        assert invoke(["verify", file, *options]) == 2


@pytest.mark.parametrize(
    "name", ["x\x1b[2J.json", "\u202elmx.json", "\udcff.json", "a\nVALID.json"]
)
def test_the_name_of_a_file_cannot_move_the_cursor(folder, capsys, name):
    (folder / "odd").mkdir()
    (folder / "odd" / name).write_bytes(WORLD.data)

    for form in ([], ["--json"]):
        assert invoke(["verify", "odd/*.json", "--trust", "mine.toml", *form]) == 0
        out = capsys.readouterr().out
        assert all(line.isprintable() for line in out.splitlines())
        assert not out.startswith("VALID")
    (folder / "odd" / name).write_bytes(b"")
    (folder / "model").mkdir()
    (folder / "model" / name).write_bytes(b"")
    assert invoke(["verify", "cert.json", "--trust", "mine.toml", "--model", "model"]) == 3
    assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    ("line", "code"), [("verify cert.json", 70), ("--help", 1), ("verify x --json", 70)]
)
def test_an_output_that_cannot_be_written_is_an_error_and_no_verdict(folder, line, code):
    """1 would say that the certificate is invalid."""
    program = f"from mbd.cli.main import run\nrun({line.split()!r})"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=folder,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.returncode == code
    assert "the result could not be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_fifty_megabytes_of_nonsense_are_refused_fast(folder):
    (folder / "big.json").write_bytes(os.urandom(1 << 20) * 50)
    start = time.monotonic()

    assert invoke(["verify", "big.json", "--trust", "mine.toml"]) == 1

    assert time.monotonic() - start < 2


def test_no_learning_no_database_and_a_quick_start(folder):
    program = (
        "import sys\n"
        "from mbd.cli.main import invoke\n"
        "code = invoke(['verify', 'cert.json', '--trust', 'mine.toml', '--json'])\n"
        "heavy = {'torch', 'scipy', 'numpy', 'sqlalchemy', 'alembic', 'pyarrow', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "[]")
    assert time.monotonic() - start < 5  # about .3 s on an idle machine
