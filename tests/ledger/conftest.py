"""A fresh log per test; its memory lives beside the test, not in the user's home."""

import pytest

from mbd.database.engine import Database
from mbd.ledger.log import Log
from tests.ledger.keys import signer


@pytest.fixture
def log(tmp_path):
    (tmp_path / "db").mkdir()
    return Log(Database.create(tmp_path / "db" / "ledger.db"), signer(), tmp_path / "memory" / "m")
