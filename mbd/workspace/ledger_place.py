"""Where the ledger of a workspace is: a file in it, or a schema on a PostgreSQL server."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from mbd.workspace.database_url import check_url, described, without_password
from mbd.workspace.layout import Workspace
from mbd.workspace.settings import Settings


@dataclass(frozen=True)
class Server:
    """One schema of a PostgreSQL database; each workspace has its own."""

    url: str = field(repr=False)
    """With the password, if it is not elsewhere: never print it."""
    schema: str

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return f"{described(self.url)}, schema {self.schema}"


Place = Path | Server


def ledger_place(workspace: Workspace, settings: Settings) -> Place:
    """Where the ledger of this workspace is."""
    if settings.database_url is None:
        return workspace.ledger_db
    url = check_url(settings.database_url.get_secret_value())
    return Server(url, schema_of(settings.id))


def schema_of(workspace_id: str) -> str:
    """The schema of a workspace: two of them never meet in one database."""
    return f"mbd_{workspace_id.lower()}"


def database_line(server: Server) -> str:
    """What `mbd.toml` says of a server: one line, never with a password."""
    url = json.dumps(without_password(server.url))  # ASCII JSON is TOML too
    return f"database_url = {url}   # no password here: MBD_DATABASE_URL, PGPASSWORD or ~/.pgpass"
