"""A fresh database per test."""

import pytest

from mbd.database.engine import Database


@pytest.fixture
def database(tmp_path):
    return Database.create(tmp_path / "ledger.db")
