"""Run the migrations. The only module that imports alembic."""

from __future__ import annotations

from pathlib import Path

import alembic.command
from alembic.config import Config
from sqlalchemy import Connection

from mbd.errors import NotFoundError

_PACKAGE = Path(__file__).resolve().parents[1]


def migrations_folder() -> Path:
    """Where the migrations are: inside an installed wheel, or beside an editable package."""
    for folder in (_PACKAGE / "_migrations", _PACKAGE.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise NotFoundError(
        "the migrations are missing from this installation",
        code="migrations.not_found",
        hint="install the package again",
    )


def migration_config() -> Config:
    """Alembic's configuration; it needs no file."""
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    return config


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring the schema to `revision` inside the caller's transaction."""
    config = migration_config()
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, revision)
