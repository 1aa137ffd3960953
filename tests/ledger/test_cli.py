"""Promises of `mbd ledger`: reads only, one JSON document, exit codes of the contract."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from sqlalchemy import update

from mbd.canonical.ulid import new_ulid
from mbd.cli.main import invoke
from mbd.database import tables
from mbd.database.batches import Batches
from mbd.database.journal import Journal, Request
from mbd.ledger.note import open_checkpoint
from tests.ledger.entries import append, certificate, note_entry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
IDENTITY = new_ulid(NOW)


@pytest.fixture
def log(service):
    """A workspace with an attempt, a certificate and two checkpoints."""
    append(service, *note_entry(0))
    service.publish()
    append(service, *certificate(IDENTITY, ["audio"], day=3))
    service.publish()
    return service


def run(capsys, *arguments):
    code = invoke(["ledger", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_list_says_what_the_contract_says(log, capsys):
    code, document = run(capsys, "list")
    assert code == 0
    assert document["schema"] == "urn:mbd:cli:ledger-list:v1"
    first, second = document["entries"]
    assert first.keys() == {"index", "type", "time", "leafHash"}
    assert second["certificateId"] == IDENTITY
    assert second["modalities"] == ["audio"]
    assert second["class"] == "certified"
    assert bytes.fromhex(second["leafHash"])
    assert document["interrupted"] == 0


@pytest.mark.parametrize(
    ("options", "indices"),
    [
        ([], [0, 1]),
        (["--type", "attempt"], [0]),
        (["--certificate", IDENTITY], [1]),
        (["--modality", "audio"], [1]),
        (["--modality", "text"], []),
        (["--class", "exact"], []),
        (["--class", "certified"], [1]),
        (["--since", "2026-01-02"], [1]),
        (["--until", "2026-01-01"], [0]),
        (["--since", "2026-01-01", "--until", "2026-01-04"], [0, 1]),
    ],
)
def test_list_filters(log, capsys, options, indices):
    _, document = run(capsys, "list", *options)
    assert [entry["index"] for entry in document["entries"]] == indices


def test_list_goes_on_where_a_page_ended(log, capsys):
    code, first = run(capsys, "list", "--limit", "1")
    assert (code, [entry["index"] for entry in first["entries"]], first["next"]) == (0, [0], 0)
    _, second = run(capsys, "list", "--limit", "1", "--after", str(first["next"]))
    assert ([entry["index"] for entry in second["entries"]], second["next"]) == ([1], None)
    assert invoke(["ledger", "list", "--limit", "1"]) == 0
    assert "--after 0" in capsys.readouterr().err


def test_a_receipt_finds_its_certificate(log, capsys, tmp_path):
    receipt = tmp_path / "r.json"
    receipt.write_text(json.dumps({"certificateId": IDENTITY, "more": []}))
    _, document = run(capsys, "list", "--receipt", str(receipt))
    assert [entry["index"] for entry in document["entries"]] == [1]
    receipt.write_text(json.dumps({"certificateId": new_ulid(NOW)}))
    assert run(capsys, "list", "--receipt", str(receipt))[0] == 4
    for nonsense in ("", "[]", "{}", '{"certificateId": 3}'):
        receipt.write_text(nonsense)
        assert run(capsys, "list", "--receipt", str(receipt))[0] == 1


def test_show_by_index_and_by_certificate(log, capsys):
    code, document = run(capsys, "show", IDENTITY)
    assert (code, document["index"]) == (0, 1)
    assert document["leaf"]["type"] == "certificate"
    assert document["body"]["predicate"]["certificateId"] == IDENTITY
    assert run(capsys, "show", "0")[1]["body"] == {"number": 0}
    assert run(capsys, "show", "7")[0] == 4


def test_check_passes_and_then_names_the_first_bad_entry(log, capsys):
    code, document = run(capsys, "check")
    assert (code, document["ok"], document["size"]) == (0, True, 2)
    assert document["root"] == log.latest().root.hex()
    with log.database.transaction() as connection:
        connection.execute(update(tables.body).values(content=b"{}"))
    code, document = run(capsys, "check")
    assert (code, document["ok"], document["badIndex"]) == (1, False, 0)
    assert document["root"] is None


def test_checkpoint_prints_the_signed_note(log, capsys):
    code = invoke(["ledger", "checkpoint"])
    head = open_checkpoint(capsys.readouterr().out, log.verifier_key, log.origin)
    assert (code, head.size) == (0, 2)
    assert run(capsys, "checkpoint")[1]["checkpoint"] == log.publish()


def test_an_unfinished_request_is_reported_and_left_alone(log, capsys):
    request = Request(request_id="r1", fingerprint="f", received_at="2026", due_by="2026")
    with log.database.transaction() as connection:
        Batches(connection).begin("b1", {}, [request])
    for command in (["list"], ["show", "0"], ["check"], ["checkpoint"]):
        code = invoke(["ledger", *command, "--json"])
        printed = capsys.readouterr()
        assert code == 0
        assert json.loads(printed.out)["interrupted"] == 1
        assert "mbd resume" in printed.err
    with log.database.read() as connection:
        assert Journal(connection).get("r1").stage == "received"


@pytest.mark.parametrize("command", [["list"], ["show", "1"], ["check"], ["checkpoint"]])
def test_every_command_has_words_for_people(log, capsys, command):
    assert invoke(["ledger", *command]) == 0
    assert capsys.readouterr().out.strip()


def test_a_truncated_ledger_is_exit_1_and_named(log, capsys):
    path = log.database.path
    path.write_bytes(path.read_bytes()[:5000])
    code, document = run(capsys, "list")
    assert code == 1
    assert "ledger.db" in document["error"]["message"]


def test_the_ledger_needs_no_torch(log):
    script = (
        "import sys; from mbd.cli.main import invoke; code = invoke(['ledger', 'check']);"
        "sys.exit(code or any(name in sys.modules for name in ('torch', 'numpy', 'pyarrow')))"
    )
    done = subprocess.run([sys.executable, "-c", script], env=os.environ, check=False)
    assert done.returncode == 0
