"""The tests of what is SQLite's own take its file by name."""

import pytest

from mbd.database.engine import Database


@pytest.fixture
def file_database(tmp_path):
    (tmp_path / "file").mkdir()
    return Database.create(tmp_path / "file" / "ledger.db")
