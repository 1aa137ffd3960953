"""Settings of a workspace. Precedence: flags > MBD_* environment > mbd.toml > defaults."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    Tag,
    ValidationError,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from mbd.errors import MbdError, UsageError
from mbd.values import MAX_DELTA
from mbd.workspace.database_url import has_password
from mbd.workspace.layout import Workspace
from mbd.workspace.toml_file import read_toml

IDENTITY = ("format", "id", "issuer", "origin", "database_url", "issuer_key", "log_key")
"""What certificates and the log are signed under, and where the log is; no flag changes them."""


_AUTO, _NUMBER = "(auto)", "(number)"
_Auto = Annotated[Literal["auto"], Tag(_AUTO)]
_either = Discriminator(lambda value: _AUTO if value == "auto" else _NUMBER)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DeletionSettings(_Section):
    """What a revocation promises unless the command says otherwise."""

    epsilon: float = Field(default=1.0, gt=0)
    """Privacy loss granted to one deletion."""
    delta: float = Field(default=1e-6, gt=0, le=MAX_DELTA)
    """Additive slack of the guarantee."""
    due_days: int = Field(default=30, ge=1, le=3650)
    """Legal clock: days from receipt to `dueBy` in the certificate."""
    basis: str = Field(default="request of the data subject", max_length=200)
    """Why the deletion happened; printed in the certificate."""


class HeadSettings(_Section):
    """The heads: how wide, how smooth, how noisy."""

    width: Annotated[_Auto | Annotated[int, Field(ge=16, le=16384), Tag(_NUMBER)], _either] = "auto"
    """d: integer features per row; more than the inputs of any head. auto: chosen per head."""
    frequency_std: Annotated[
        _Auto | Annotated[float, Field(gt=0, le=64), Tag(_NUMBER)], _either
    ] = "auto"
    """Standard deviation of the random frequencies, per unit of standardised input, likewise."""
    planned_rows: int = Field(default=100_000, ge=1, le=10_000_000)
    """Most training rows that a head will ever hold: the release's grid must suffice for them."""
    noise: float = Field(default=0.001, gt=0, le=1)
    """Standard deviation of a prediction's noise, as a share of the label range."""
    strong_convexity: Annotated[_Auto | Annotated[float, Field(gt=0), Tag(_NUMBER)], _either] = (
        "auto"
    )
    """lambda of every head, likewise. What is chosen is chosen on foundation rows."""


class Settings(BaseSettings):
    """All of `mbd.toml`."""

    model_config = SettingsConfigDict(
        env_prefix="MBD_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    format: int
    id: str
    """ULID of the workspace."""
    issuer: str
    """Name of the issuer in certificates."""
    origin: str
    """Name of the log in checkpoints."""
    database_url: SecretStr | None = None
    """A PostgreSQL database that holds the ledger instead of `ledger.db`. In the file it has no
    password: that comes from MBD_DATABASE_URL, PGPASSWORD or a password file."""
    issuer_key: str = "file:keys/issuer.pem"
    """Who signs certificates: a URI; a relative file is one of the workspace."""
    log_key: str = "file:keys/log.pem"
    """Who signs the log, likewise."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where cores are trained and large products and factors made; auto: a GPU if there is one."""
    deletion: DeletionSettings = DeletionSettings()
    heads: HeadSettings = HeadSettings()
    core: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Overrides of the core's training settings, by name."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The file is passed as initial values, so the environment comes before it."""
        return (env_settings, init_settings)


def load_settings(workspace: Workspace, overrides: Mapping[str, str] | None = None) -> Settings:
    """Read `mbd.toml`, then the environment, then `overrides` (dotted key to text).

    Raises:
        MbdError: The file or the environment has an unknown key or a bad value.
        UsageError: An override has.
    """
    content = _read_toml(workspace.settings_file)
    _refuse_password(content.get("database_url"), workspace.settings_file)
    settings = _validate(content, MbdError, f"{workspace.settings_file} or MBD_*")
    if not overrides:
        return settings
    merged = settings.model_dump()
    for key, text in overrides.items():
        if key in IDENTITY:
            raise UsageError(f"--set {key}: it names the workspace and stays", field=key)
        _assign(merged, key, _value(text))
    return _validate(merged, UsageError, "--set", environment=False)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path)
    except OSError as error:
        raise MbdError(f"{path}: {error}", code="settings.invalid") from error


def _refuse_password(url: object, path: Path) -> None:
    """The file goes into backups, and others may read it."""
    if isinstance(url, str) and has_password(url):
        raise MbdError(
            f"{path}: a password does not belong there",
            code="settings.password",
            field="database_url",
            hint="remove it; give it in MBD_DATABASE_URL, PGPASSWORD or ~/.pgpass (mode 0600)",
        )


def _validate(
    content: Mapping[str, Any], error: type[MbdError], where: str, environment: bool = True
) -> Settings:
    try:
        return Settings(**content) if environment else _Flagged(**content)
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"] if part not in (_AUTO, _NUMBER))
        text = _WORDS.get(first["type"], first["msg"])
        raise error(f"{where}: {text}", code="settings.invalid", field=field) from problem


_WORDS = {"extra_forbidden": "there is no such setting", "missing": "this setting is missing"}


class _Flagged(Settings):
    """Settings after flags were merged in: nothing comes after a flag."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def _assign(tree: dict[str, Any], dotted: str, value: object) -> None:
    *parents, leaf = dotted.split(".")
    for name in parents:
        child = tree.get(name)
        if not isinstance(child, dict):
            raise UsageError(f"--set {dotted}: there is no section {name!r}", field=dotted)
        tree = child
    tree[leaf] = value


def _value(text: str) -> object:
    """A TOML value if it reads as one, else the text itself."""
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text
