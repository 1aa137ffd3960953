"""A fresh log per test; its memory lives beside the test, not in the user's home."""

import pytest

from mbd.database.engine import Database
from mbd.ledger.log import Log
from mbd.workspace.layout import Workspace
from tests.ledger.keys import signer, trust_text

SETTINGS = 'format = 1\nid = "x"\nissuer = "i"\norigin = "log.example/tests"\n'


@pytest.fixture
def log(database, tmp_path):
    """An empty log, on SQLite and on PostgreSQL."""
    return Log(database, signer(), tmp_path / "memory" / "m")


@pytest.fixture
def file_log(tmp_path):
    """An empty log in a file, which can be copied and put back."""
    (tmp_path / "file").mkdir()
    database = Database.create(tmp_path / "file" / "ledger.db")
    return Log(database, signer(), tmp_path / "memory" / "m")


@pytest.fixture
def service(tmp_path, monkeypatch):
    """The empty log of a workspace, which is the current folder; its memory is where it is."""
    workspace = Workspace(tmp_path / "service")
    workspace.keys.mkdir(parents=True)
    workspace.settings_file.write_text(SETTINGS)
    workspace.trust_file.write_text(trust_text(signer().verifier))
    monkeypatch.chdir(workspace.root)
    return Log(Database.create(workspace.ledger_db), signer())
