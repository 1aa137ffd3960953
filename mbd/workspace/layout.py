"""The folder of one service: names of its parts, how to find it, how to make it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mbd.errors import MbdError, NotFoundError, VersionError
from mbd.workspace.toml_file import read_toml

SETTINGS_FILE = "mbd.toml"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Workspace:
    """Paths of a workspace: one folder holds everything but the memories."""

    root: Path

    @property
    def settings_file(self) -> Path:
        return self.root / SETTINGS_FILE

    @property
    def trust_file(self) -> Path:
        return self.root / "trust.toml"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def staging(self) -> Path:
        return self.root / "staging"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def issuer_key(self) -> Path:
        return self.keys / "issuer.pem"

    @property
    def log_key(self) -> Path:
        return self.keys / "log.pem"

    @property
    def workspace_key(self) -> Path:
        return self.keys / "workspace.key"

    @property
    def secrets_db(self) -> Path:
        return self.root / "secrets.db"

    @property
    def ledger_db(self) -> Path:
        return self.root / "ledger.db"

    @property
    def certs(self) -> Path:
        return self.root / "certs"

    @property
    def receipts(self) -> Path:
        return self.root / "receipts"

    @property
    def lock_file(self) -> Path:
        return self.root / ".lock"

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder that `mbd init` makes; the secret ones come last."""
        return (
            self.data,
            self.models,
            self.state,
            self.staging,
            self.certs,
            self.receipts,
            self.keys,
        )


def state_home() -> Path:
    """Where memories live that must not be restored with a workspace (XDG state)."""
    base = os.environ.get("XDG_STATE_HOME")
    return Path(base) / "mbd" if base else Path.home() / ".local" / "state" / "mbd"


def find_workspace(start: Path | None = None) -> Workspace:
    """Walk up from `start` (default: here) to a folder with `mbd.toml`.

    Raises:
        NotFoundError: No folder up to the root has one.
        VersionError: It was made by a newer version.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / SETTINGS_FILE).is_file():
            return open_workspace(folder)
    raise NotFoundError(
        f"no workspace at {here} or above",
        code="workspace.not_found",
        hint="make one with `mbd init DIR`, or name one with -w DIR or MBD_WORKSPACE",
    )


def open_workspace(root: Path) -> Workspace:
    """The workspace at exactly `root`, after checking that this version can read it."""
    workspace = Workspace(root.resolve())
    try:
        found = read_toml(workspace.settings_file)
    except FileNotFoundError as error:
        raise NotFoundError(
            f"{root} is not a workspace: it has no {SETTINGS_FILE}",
            code="workspace.not_found",
            hint="make one with `mbd init DIR`",
        ) from error
    version = found.get("format")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise MbdError(
            f"{workspace.settings_file}: format: want a whole number, got {version!r}",
            code="settings.invalid",
            field="format",
        )
    if version > FORMAT_VERSION:
        raise VersionError(
            f"{root} has workspace format {version}; this program reads up to {FORMAT_VERSION}",
            hint="use the version of mbd that made it, or a newer one",
        )
    return workspace
