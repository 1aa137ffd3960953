"""Requests that cannot be: a clear error, the right exit code, and nothing changed."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path

import pytest

from mbd.cli.main import invoke
from mbd.database.engine import SCHEMA_REVISION
from tests.cli.conftest import REQUEST_ID, Service
from tests.workspaces import Ran, must_run, run_mbd, spawn_mbd


def refused(ran: Ran, code: int) -> dict[str, str]:
    """The error that a command printed as JSON, after checking its form."""
    assert ran.code == code, f"{ran.out}\n{ran.err}"
    document = ran.json
    assert set(document) == {"schema", "error"}
    assert re.fullmatch(r"urn:mbd:cli:[a-z-]+:v1", document["schema"])
    error = document["error"]
    assert set(error) == {"code", "exitCode", "message", "field", "hint"}
    assert error["exitCode"] == code
    assert error["message"]
    return error


REQUESTS = [
    # arguments (U: a revocable user, F: a foundation user, R: who revoked audio), code, field
    ("revoke --user nobody --modality audio", 4, "--user", "nobody"),
    ("revoke --user U --modality smell", 4, "modality", "smell"),
    ("revoke --user R --modality audio", 6, "--modality", "certificate CERT"),
    ("revoke --user R --modality audio --dry-run", 6, "--modality", "certificate CERT"),
    (f"revoke --user U --modality audio --request-id {REQUEST_ID}", 6, "--request-id", "other"),
    (f"revoke --user R --modality text --request-id {REQUEST_ID}", 6, "--request-id", "other"),
    ("revoke --user F --modality audio", 5, "scaler, policy", "foundation"),
    ("revoke --user U --modality audio --epsilon 0", 2, "--epsilon", "between 0 and"),
    ("revoke --user U --modality audio --epsilon -1", 2, "--epsilon", "between 0 and"),
    ("revoke --user U --modality audio --epsilon nan", 2, "--epsilon", "between 0 and"),
    ("revoke --user U --modality audio --epsilon inf", 2, "--epsilon", "between 0 and"),
    ("revoke --user U --modality audio --epsilon much", 2, "--epsilon", "much"),
    ("revoke --user U --modality audio --delta 0", 2, "--delta", "between 0 and 1"),
    ("revoke --user U --modality audio --delta 1", 2, "--delta", "between 0 and 1"),
    ("revoke --user U --modality audio --delta 0.02", 2, "--delta", "promises nothing"),
    ("revoke --user U --modality audio --delta nan", 2, "--delta", "between 0 and 1"),
    ("revoke --user U --modality audio --request-id ../../x", 2, "--request-id", "letters"),
    ("revoke --user U --modality audio --method magic", 2, "--method", "magic"),
    ("revoke --user U", 2, "--modality", "missing"),
    ("revoke --modality audio", 2, "--user", "missing"),
    ("revoke --user U --modality all --modality audio", 2, "--modality", "alone"),
    ("revoke --user R --modality all --modality audio", 2, "--modality", "alone"),
    ("revoke --user U --modality audio --modality smell", 4, "modality", "smell"),
    ("revoke --user R --modality text --modality audio", 6, "--modality", "certificate CERT"),
    ("revoke --user U --modality audio --cancel x", 2, "mbd revoke", "--batch"),
    ("revoke --cancel nothing", 4, "--cancel", "nothing"),
    ("revoke --batch nothing.csv", 4, "--batch", "no such file"),
    ("revoke --batch mbd.toml", 2, "--batch", ".jsonl"),
    ("revoke --batch nothing.csv --user U", 2, "mbd revoke", "--batch"),
    ("revoke --user U --modality \udcff", 2, None, "not UTF-8"),
    ("predict --record nothing", 4, "record", "nothing"),
    ("predict --record RECORD --without smell", 4, "modality", "smell"),
    ("predict --record RECORD --user nobody", 4, "--user", "nobody"),
    ("predict --record RECORD --without text --without vision --without audio", 5, "audio", "left"),
    ("predict", 2, None, "--record"),
    ("predict --record RECORD --input nothing.npz", 2, "--input", "nothing.npz"),
    ("data show --user nobody", 4, "--user", "nobody"),
    ("data subjects --modality smell", 4, "modality", "smell"),
    ("data subjects --cohort smell", 2, "--cohort", "smell"),
    ("eval --split all", 2, "--split", "all"),
    ("eval --cohort calibration", 4, "--cohort", "calibration"),
    ("train --set heads.widht=64", 2, "heads.widht", "no such setting"),
    ("train --set width=64", 2, "width", "no such setting"),
    ("train --set core.layers=3 --core none", 2, "core.layers", "no such setting"),
    ("train --set heads.width=3", 2, "heads.width", "greater than or equal to 16"),
    ("train --set heads.width=nan", 2, "heads.width", "finite"),
    ("train --set heads.width=wide", 2, "heads.width", "integer"),
    ("train --set heads.noise=0", 2, "heads.noise", "greater than 0"),
    ("train --set deletion.delta=1", 2, "deletion.delta", "less than or equal to 0.01"),
    ("train --set core.hidden=0 --core none", 2, "core.hidden", "1 to 4096"),
    ("train --set core.hidden=100000 --core trained", 2, "core.hidden", "1 to 4096"),
    ("train --set core.epochs=99999999999999999999", 2, "core.epochs", "1 to 1000000"),
    ("train --set core.epochs=true", 2, "core.epochs", "True"),
    ("train --set heads.width=16 --core trained", 2, "heads.width", "inputs, more than"),
    ("train --set origin=elsewhere", 2, "origin", "stays"),
    ("train --set heads.width", 2, "--set", "KEY=VALUE"),
    ("train --set a.b.c=1", 2, "a.b.c", "section"),
    ("train --seed -1", 2, "--seed", "-1"),
    ("train --core magic", 2, "--core", "magic"),
    ("data import nothing.npz --spec nothing.toml", 4, "--spec", "nothing.toml"),
    ("data synth --users 0", 2, "--users", "0"),
    ("ledger show 999", 4, None, "999"),
    ("ledger show nothing", 4, None, "nothing"),
    ("ledger list --since yesterday", 2, "--since", "yesterday"),
    ("ledger list --receipt nothing.json", 2, "--receipt", "nothing.json"),
    ("verify nothing.json", 2, "FILE", "nothing.json"),
    ("frobnicate", 2, None, "frobnicate"),
]


@pytest.mark.parametrize(("line", "code", "field", "words"), REQUESTS)
def test_what_cannot_be_done_is_refused_and_changes_nothing(
    service: Service, line: str, code: int, field: str | None, words: str
) -> None:
    names = {
        "U": service.revocable[0],
        "F": service.foundation[0],
        "R": service.revoked,
        "RECORD": record_of(service, service.revoked),
    }
    arguments = [names.get(word, word) for word in line.split()]
    error = refused(run_mbd(service.root, *arguments, "--json"), code)
    assert error["field"] == field
    assert words.replace("CERT", service.certificate) in error["message"]


def record_of(service: Service, user: str) -> str:
    """A record of this user that still has several channels."""
    shown = must_run(service.root, "data", "show", "--user", user, "--json").json
    return str(next(r["record"] for r in shown["records"] if len(r["available"]) == 2))


def test_a_foundation_subject_is_told_the_ways_on(service: Service) -> None:
    ran = run_mbd(service.root, "revoke", "--user", service.foundation[0], "--modality", "audio")
    assert ran.code == 5
    assert not ran.out
    for way in ("--method retrain", "stop serving audio", "neither a foundation nor"):
        assert way in ran.err


def test_an_impossible_epsilon_is_refused_and_the_channel_stays_in_service(
    copied: Service,
) -> None:
    user, before = copied.revocable[0], must_run(copied.root, "data", "info", "--json").json
    command = ["revoke", "--user", user, "--modality", "audio", "--json"]
    impossible = ["--epsilon", "1e-300", "--delta", "1e-300"]
    assert "arithmetic" in refused(run_mbd(copied.root, *command, *impossible), 1)["code"]
    assert must_run(copied.root, "data", "info", "--json").json == before
    assert not must_run(copied.root, "resume", "--json").json["finished"]
    assert must_run(copied.root, "state", "check", "--json").json["ok"]
    must_run(copied.root, *command)


def test_commands_outside_any_workspace_say_how_to_make_one(tmp_path: Path) -> None:
    for command in ("data info", "train", "eval", "state check", "resume", "ledger list"):
        error = refused(run_mbd(tmp_path, *command.split(), "--json"), 4)
        assert error["code"] == "workspace.not_found"
        assert "mbd init" in error["hint"]
    error = refused(run_mbd(tmp_path, "-w", str(tmp_path / "no"), "data", "info", "--json"), 4)
    assert str(tmp_path / "no") in error["message"]


def test_commands_before_there_is_data_or_a_model_say_what_comes_first(tmp_path: Path) -> None:
    must_run(tmp_path, "init", "new")
    for command, hint in (
        ("data info", "mbd data import"),
        ("train", "mbd data import"),
        ("predict --record a", "mbd data import"),
        ("state check", "mbd train"),
    ):
        error = refused(run_mbd(tmp_path / "new", *command.split(), "--json"), 4)
        assert hint in error["hint"]


def test_init_never_overwrites(service: Service, tmp_path: Path) -> None:
    error = refused(run_mbd(tmp_path, "init", str(service.root), "--json"), 6)
    assert "workspace" in error["message"]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "diary.txt").write_text("mine")
    for taken in ("full", "full/diary.txt"):
        refused(run_mbd(tmp_path, "init", taken, "--json"), 6)
    assert refused(run_mbd(tmp_path, "init", "full/diary.txt/deep", "--json"), 1)
    assert (tmp_path / "full" / "diary.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "diary.txt"]
    (tmp_path / "empty").mkdir()
    must_run(tmp_path, "init", "empty")


@pytest.mark.parametrize(
    ("old", "new", "code", "field", "words"),
    [
        ("format = 1", "format = 99", "version.newer", None, "99"),
        ("format = 1", "format = true", "settings.invalid", "format", "whole number"),
        ("format = 1\n", "", "settings.invalid", "format", "None"),
        ('origin = "', 'origins = "', "settings.invalid", "origin", "missing"),
        ("width = ", "widht = ", "settings.invalid", "heads.widht", "no such setting"),
        ("epsilon = 1.0", "epsilon = -1.0", "settings.invalid", "deletion.epsilon", "greater"),
        ("[heads]", "[heads", "settings.invalid", None, "not TOML"),
    ],
)
def test_settings_that_cannot_be_are_named(
    copied: Service, old: str, new: str, code: str, field: str | None, words: str
) -> None:
    path = copied.root / "mbd.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    error = refused(run_mbd(copied.root, "data", "info", "--json"), 1)
    assert (error["code"], error["field"]) == (code, field)
    assert words in error["message"]
    path.write_text(text)
    assert must_run(copied.root, "state", "check", "--json").json["equal"]


def test_settings_that_are_no_text_are_named(copied: Service) -> None:
    (copied.root / "mbd.toml").write_bytes(b"\xff\xfe")
    assert "mbd.toml" in refused(run_mbd(copied.root, "train", "--json"), 1)["message"]


def test_a_ledger_of_a_newer_version_is_left_alone(copied: Service) -> None:
    with contextlib.closing(sqlite3.connect(copied.root / "ledger.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    for command in ("ledger list", "data info", "train", "resume"):
        error = refused(run_mbd(copied.root, *command.split(), "--json"), 1)
        assert error["code"] == "version.newer"
        assert "9999" in error["message"]
    with contextlib.closing(sqlite3.connect(copied.root / "ledger.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = ?", (SCHEMA_REVISION,))
    assert must_run(copied.root, "state", "check", "--json").json["equal"]


def test_a_certificate_is_refused_for_one_byte_a_second_key_or_another_workspace(
    service: Service, tmp_path: Path
) -> None:
    good = service.bundle.read_bytes()
    must_run(service.root, "verify", str(service.bundle))
    at = good.index(b'"payload":"') + 400
    altered = {
        "byte": good[:at] + (b"A" if good[at : at + 1] != b"A" else b"B") + good[at + 1 :],
        "key": good.replace(b'"payloadType":', b'"payloadType":"x","payloadType":', 1),
        "cut": good[:-20],
        "nothing": b"",
    }
    for name, content in altered.items():
        assert content != good
        (tmp_path / f"{name}.json").write_bytes(content)
        ran = run_mbd(service.root, "verify", str(tmp_path / f"{name}.json"), "--json")
        assert (ran.code, ran.json["verdict"]) == (1, "invalid"), name


def test_a_certificate_of_another_workspace_is_undecided_here(
    service: Service, tmp_path: Path
) -> None:
    must_run(tmp_path, "init", "other")
    ran = run_mbd(tmp_path / "other", "verify", str(service.bundle), "--json")
    assert (ran.code, ran.json["verdict"]) == (3, "undecided")


def test_fifty_megabytes_of_nonsense_are_refused(service: Service, tmp_path: Path) -> None:
    (tmp_path / "big.json").write_bytes(b'{"a":"' + b"a" * 50_000_000)
    assert run_mbd(service.root, "verify", str(tmp_path / "big.json"), "--json").code == 1
    ran = run_mbd(service.root, "data", "import", str(tmp_path / "big.json"), "--spec",
                  str(tmp_path / "big.json"), "--json")  # fmt: skip
    refused(ran, 1)


def test_a_group_without_a_command_shows_its_commands(tmp_path: Path) -> None:
    for line in ([], ["data"], ["ledger"]):
        ran = run_mbd(tmp_path, *line)
        assert (ran.code, ran.out) == (2, "")
        assert "Commands:" in ran.err


def test_a_defect_leaves_with_70_and_asks_for_a_report(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr("mbd.cli.data.table", broken)
    monkeypatch.chdir(service.root)
    assert invoke(["data", "info"]) == 70
    said = capsys.readouterr()
    assert not said.out
    assert "ZeroDivisionError" in said.err
    assert "report" in said.err


def test_a_reader_that_leaves_early_is_no_accident(service: Service) -> None:
    closed = "import os; r, w = os.pipe(); os.close(r); os.dup2(w, 1)"
    # 1 would say that a certificate is invalid.
    for arguments, code in ((["ledger", "list"], 1), (["verify", "nothing.json", "--json"], 70)):
        ran = spawn_mbd(service.root, *arguments, prelude=closed)
        assert ran.code == code
        assert not ran.err


def test_standard_input_that_is_closed_is_wrong_usage(tmp_path: Path) -> None:
    ran = spawn_mbd(tmp_path, "verify", "-", prelude="import sys; sys.stdin = None")

    assert ran.code == 2
    assert "standard input is closed" in ran.err


def test_settings_given_for_keys_are_called_what_they_are(service: Service) -> None:
    ran = run_mbd(service.root, "trust", "add", "mbd.toml", "--trust", "mine.toml")

    assert ran.code == 2
    assert "the settings of a workspace" in ran.err
