"""Every command of `mbd ledger` on a workspace whose ledger is on a PostgreSQL server."""

import json

import pytest

from mbd.cli.main import invoke
from mbd.database.engine import Database
from mbd.ledger.log import Log
from mbd.workspace.layout import Workspace
from mbd.workspace.ledger_place import ledger_place
from mbd.workspace.settings import load_settings
from tests.ledger.conftest import SETTINGS
from tests.ledger.entries import append, certificate, fill, note_entry
from tests.ledger.forge import change, replace_leaf
from tests.ledger.keys import signer, trust_text

IDENTITY = "01J" + "0" * 23


@pytest.fixture
def log(postgres_url, tmp_path, monkeypatch):
    """Five entries, signed at sizes 4 and 5, in a workspace that is the current folder."""
    monkeypatch.setenv("MBD_DATABASE_URL", postgres_url)
    workspace = Workspace(tmp_path / "service")
    workspace.keys.mkdir(parents=True)
    workspace.settings_file.write_text(SETTINGS)
    workspace.trust_file.write_text(trust_text(signer().verifier))
    monkeypatch.chdir(workspace.root)
    log = Log(Database.create(ledger_place(workspace, load_settings(workspace))), signer())
    fill(log, 4)
    log.publish()
    append(log, *certificate(IDENTITY, ["audio", "text"]))
    log.publish()
    return log


def run(capsys, *arguments):
    code = invoke(["ledger", *map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_every_command_reads_it(log, capsys, tmp_path):
    code, listed = run(capsys, "list", "--modality", "text")
    assert (code, [entry["index"] for entry in listed["entries"]]) == (0, [4])
    assert run(capsys, "list", "--limit", 2)[1]["next"] == 1
    assert run(capsys, "show", IDENTITY)[1]["index"] == 4
    assert run(capsys, "show", 2**31)[0] == 4
    assert run(capsys, "check")[1]["root"] == log.latest().root.hex()
    assert run(capsys, "proof", IDENTITY)[1]["root"] == log.latest().root.hex()
    assert run(capsys, "consistency", 4, 5)[1]["newSize"] == 5
    assert run(capsys, "export", "--tiles", tmp_path / "tiles")[1]["entries"] == 5
    assert run(capsys, "export", "--sqlite", tmp_path / "l.db", "--type", "attempt")[0] == 0
    assert len(run(capsys, "watch", "--once")[1]["entries"]) == 5


def test_the_first_bad_entry_is_named(log, capsys):
    change(log, *replace_leaf(3, note_entry(60)[0]))
    code, report = run(capsys, "check")
    assert (code, report["badIndex"]) == (1, 3)
