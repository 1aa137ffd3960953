"""Inserting a row that may be there already, in SQLite's and PostgreSQL's words alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_or_replace(
    connection: Connection, table: Table, row: Mapping[str, Any], *changed: str
) -> None:
    """Insert a row; where its primary key is there already, set these columns of it."""
    keys = [column.name for column in table.primary_key]
    values = {name: row[name] for name in changed}
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(dict(row))
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=values))
