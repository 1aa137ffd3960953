"""The command line as a contract: help, JSON fields, streams, and whose word counts."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from mbd.cli.main import main
from tests.cli.conftest import Service
from tests.workspaces import Ran, TrainedWorkspace, must_run, run_mbd


def commands(group: click.Group, *words: str) -> Iterator[tuple[str, ...]]:
    """The words of every command."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, *words, name)
        else:
            yield (*words, name)


ALL = list(commands(main))


def test_these_are_the_commands() -> None:
    assert {" ".join(words) for words in ALL} == {
        "init", "demo", "data synth", "data import", "data add", "data validate", "data info",
        "data subjects", "data show", "data scan", "train", "eval", "predict", "revoke",
        "consent grant", "consent withdraw", "resume", "state check", "verify", "export",
        "certificate show", "certificate escrow",
        "receipt show", "receipt item",
        "ledger list", "ledger show", "ledger check", "ledger checkpoint", "ledger proof",
        "ledger consistency", "ledger export", "ledger watch", "ledger erase-body",
        "secrets forget", "doctor", "backup",
        "db current", "db upgrade", "db move",
        "key list", "key add", "key rotate", "key distrust", "key export",
        "trust add", "trust list", "trust show",
        "restore",
    }  # fmt: skip


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_helps_with_an_example_and_has_json(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    for flag in ("--help", "-h"):
        ran = run_mbd(tmp_path, *words, flag)
        assert (ran.code, ran.err) == (0, "")
        assert re.search(rf"Examples?: .*mbd {' '.join(words)}", ran.out), ran.out
        assert "--json" in ran.out


def test_the_grammar_of_specs_is_in_the_help(tmp_path: Path) -> None:
    told = must_run(tmp_path, "data", "import", "--help").out
    for key in ("lengths", "range", "derived_from", "fraction", "calibration", "present", "split"):
        assert key in told


def document(ran: Ran, words: str) -> Any:
    """The one JSON document on standard output, after checking that there is only it."""
    assert ran.out.count("\n") == 1
    found = json.loads(ran.out)
    assert found["schema"] == f"urn:mbd:cli:{words.replace(' ', '-')}:v1"
    assert all(re.fullmatch(r"[a-z][A-Za-z0-9]*", key) for key in found)
    return found


READERS = [
    ("data info", "", {"records", "subjects", "modalities", "cohorts"}),
    ("data subjects", "--cohort revocable --modality text", {"subjects"}),
    ("data show", "--user USER", {"user", "cohort", "records", "models"}),
    ("eval", "--split test --cohort revocable", {"rows"}),
    ("predict", "--record RECORD", {"prediction", "used", "reconstructed", "refused"}),
    ("state check", "", {"digest", "fromScratch", "equal"}),
    ("verify", "BUNDLE", {"verdict", "exitCode", "levelReached", "checks"}),
    ("certificate show", "BUNDLE --receipt RECEIPT", {"verdict", "cautions", "sections"}),
    ("ledger list", "--modality audio --class certified", {"entries"}),
    ("ledger list", "--receipt RECEIPT", {"entries"}),
    ("ledger show", "CERTIFICATE", {"index", "type", "leaf", "body"}),
    ("ledger check", "", {"ok", "size", "root"}),
    ("ledger checkpoint", "", {"checkpoint", "size", "root"}),
    ("resume", "", {"finished"}),
    ("revoke", "--user USER --modality text --dry-run", {"class", "heads", "rows", "records"}),
    (
        "revoke", "--user REVOKED --modality audio --request-id r-1",
        {"certificateId", "bundle", "receipt", "class", "epsilon", "delta", "heads", "seconds"},
    ),
]  # fmt: skip


def filled_in(service: Service, line: str) -> list[str]:
    names = {
        "USER": service.revocable[0],
        "REVOKED": service.revoked,
        "RECORD": "r000001",
        "BUNDLE": str(service.bundle),
        "RECEIPT": str(service.receipt),
        "CERTIFICATE": service.certificate,
    }
    return [names.get(word, word) for word in line.split()]


@pytest.mark.parametrize(("words", "options", "fields"), READERS)
def test_json_is_one_document_with_the_fields_of_the_contract(
    service: Service, words: str, options: str, fields: set[str]
) -> None:
    arguments = [*words.split(), *filled_in(service, options)]
    found = document(must_run(service.root, *arguments, "--json"), words)
    assert fields <= set(found), fields - set(found)
    text = must_run(service.root, *arguments)
    assert text.out.strip()
    assert not text.out.startswith("{")


def test_what_the_fields_hold(service: Service) -> None:
    def ask(line: str) -> Any:
        return must_run(service.root, *filled_in(service, line), "--json").json

    for one in ask("data subjects")["subjects"]:
        assert set(one) == {"user", "cohort", "available", "records"}
    rows = ask("eval")["rows"]
    assert len(rows) == 7
    for row in rows:
        assert {"available", "n", "metrics", "baseline"} <= set(row)
        assert set(row["metrics"]) == set(row["baseline"]) >= {"mae", "pearson", "acc2Non0"}
    shown = ask("data show --user REVOKED")
    assert shown["revoked"] == ["audio"]
    assert all("audio" not in record["available"] for record in shown["records"])
    assert all("audio" not in head for model in shown["models"] for head in model["heads"])
    entries = ask("ledger list --receipt RECEIPT")["entries"]
    assert [entry["certificateId"] for entry in entries] == [service.certificate]
    again = ask("revoke --user REVOKED --modality audio --request-id r-1")
    assert (again["certificateId"], again["repeated"]) == (service.certificate, True)
    assert set(again["seconds"]) == {"engine", "total"}
    assert ask("verify BUNDLE --receipt RECEIPT --no-memory")["levelReached"] == "LOGGED+SUBJECT"


def test_the_commands_that_make_things(tmp_path: Path) -> None:
    made = document(run_mbd(tmp_path, "init", "service", "--json"), "init")
    assert {"workspace", "issuerKey", "logKey"} <= set(made)
    root = Path(made["workspace"])
    sizes = ("--users", "9", "--records", "60", "--seed", "1")
    data = document(run_mbd(root, "data", "synth", *sizes, "--json"), "data synth")
    assert (data["records"], data["subjects"]) == (60, 9)
    assert {"dropped", "modalities", "cohorts"} <= set(data)
    size = ("--set", "heads.width=128")
    ran = run_mbd(root, "train", "--core", "none", *size, "--json")
    trained = document(ran, "train")
    fields = {"model", "state", "core", "d", "lambda", "sigma", "tau", "seconds"}
    assert fields <= set(trained)
    assert (trained["core"], trained["d"]) == ("none", 128)
    assert "preparing" in ran.err
    quiet = must_run(root, "-q", "train", "--core", "none", *size, "--json")
    assert quiet.err == ""
    assert document(quiet, "train")["state"] == trained["state"]


def test_errors_go_to_stderr_as_text_and_to_stdout_as_json(service: Service) -> None:
    text = run_mbd(service.root, "data", "show", "--user", "nobody")
    assert (text.code, text.out) == (4, "")
    assert text.err.startswith("mbd: --user: no user 'nobody'")
    told = run_mbd(service.root, "data", "show", "--user", "nobody", "--json")
    assert told.err == ""
    assert document(told, "data show")["error"]["hint"] == "`mbd data subjects` lists them"
    elsewhere = run_mbd(service.root.parent, "-w", str(service.root), "eval", "--split", "x",
                        "--json")  # fmt: skip
    assert document(elsewhere, "eval")["error"]["exitCode"] == 2
    assert document(run_mbd(service.root, "nothing", "--json"), "mbd")["error"]["exitCode"] == 2


def test_flags_beat_the_environment_which_beats_the_file(
    copied: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = ["revoke", "--user", copied.revocable[0], "--modality", "text", "--dry-run", "--json"]

    def granted(*flags: str) -> float:
        return float(must_run(copied.root, *plan, *flags).json["epsilon"])

    settings = copied.root / "mbd.toml"
    settings.write_text(re.sub("epsilon = .*", "", settings.read_text()))
    assert granted() == 1.0
    settings.write_text(settings.read_text().replace("[deletion]", "[deletion]\nepsilon = 1.5"))
    assert granted() == 1.5
    monkeypatch.setenv("MBD_DELETION__EPSILON", "2.5")
    assert granted() == 2.5
    assert granted("--epsilon", "3.5") == 3.5
    monkeypatch.setenv("MBD_HEADS__WIDTH", "130")
    train = ["train", "--core", "none", "--json"]
    assert must_run(copied.root, *train).json["d"] == 130
    assert must_run(copied.root, *train, "--set", "heads.width=140").json["d"] == 140
    monkeypatch.setenv("MBD_DELETION__EPSILON", "-2")
    error = run_mbd(copied.root, *plan).json["error"]
    assert (error["exitCode"], error["field"]) == (1, "deletion.epsilon")
    assert "MBD_" in error["message"]


def test_the_workspace_of_flag_environment_and_folder(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    must_run(service.root / "data" / "store", "ledger", "list")
    must_run(tmp_path, "-w", str(service.root), "ledger", "list")
    monkeypatch.setenv("MBD_WORKSPACE", str(service.root))
    must_run(tmp_path, "ledger", "list")
    assert run_mbd(tmp_path, "-w", str(tmp_path), "ledger", "list").code == 4


def test_numbers_come_out_the_same_for_a_record_and_for_its_features(
    service: Service, tmp_path: Path
) -> None:
    user = service.revocable[0]
    store = TrainedWorkspace(service.root, (), ()).session().store()
    held = store.read(subjects=[user])
    given = {name: column[0] for name, column in held.x.items() if column[0] is not None}
    np.savez(tmp_path / "in.npz", **given)
    asked = ("predict", "--input", str(tmp_path / "in.npz"), "--user", user, "--json")
    from_input = must_run(service.root, *asked).json
    record = must_run(service.root, "predict", "--record", held.record_ids[0], "--json").json
    assert from_input == record


def test_no_color_is_respected_on_a_terminal(service: Service) -> None:
    """Standard error is a terminal here, so that the progress bar shows."""
    reader, writer = pty.openpty()
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm-256color"}
    program = "from mbd.cli.main import run; run(['state', 'check', '--json'])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=service.root, env=environment, stdout=subprocess.PIPE, stderr=writer, check=True,
        timeout=120,
    )  # fmt: skip
    os.close(writer)
    shown = os.read(reader, 1 << 16).decode()
    os.close(reader)
    assert json.loads(done.stdout)["equal"]
    assert "rebuilding" in shown
    assert not re.search(r"\x1b\[[0-9;]*(3[0-7]|38;5;\d+|9[0-7])m", shown)
