"""What starts light stays light: no learning, no database, no network, no workspace."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Service
from tests.workspaces import Ran, run_mbd, spawn_mbd

HEAVY = ("torch", "scipy", "sqlalchemy", "numpy", "pyarrow", "alembic", "safetensors", "pandas",
         "psycopg")  # fmt: skip
WATCH = f"""
import atexit, socket, sys
class Refused(socket.socket):
    def __init__(self, *arguments, **named):
        raise AssertionError("no command needs the network")
socket.socket = socket.create_connection = socket.getaddrinfo = Refused
atexit.register(lambda: print("HEAVY", sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr))
"""


def light(ran: Ran) -> bool:
    return "HEAVY []" in ran.err


@pytest.mark.parametrize(
    "line", ["--help", "--version", "verify --help", "ledger --help", "db --help"]
)
def test_help_loads_nothing_heavy(tmp_path: Path, line: str) -> None:
    ran = spawn_mbd(tmp_path, *line.split(), prelude=WATCH)
    assert ran.code == 0
    assert ran.out
    assert light(ran), ran.err


def test_a_certificate_and_a_trust_file_are_all_it_takes(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.delenv("XDG_STATE_HOME")
    folder = tmp_path / "auditor"
    folder.mkdir()
    shutil.copy(service.bundle, folder / "cert.json")
    shutil.copy(service.root / "trust.toml", folder / "trust.toml")
    ran = spawn_mbd(folder, "verify", "cert.json", "--json", prelude=WATCH)
    assert (ran.code, ran.json["verdict"], ran.json["levelReached"]) == (0, "valid", "LOGGED")
    assert light(ran), ran.err
    assert {path.name for path in folder.iterdir()} == {"cert.json", "trust.toml"}
    written = [path for path in (tmp_path / "nobody").rglob("*") if path.is_file()]
    assert {path.parent.name for path in written} == {"verifiers"}  # what this user remembers


def test_without_a_trust_file_nothing_is_valid(service: Service, tmp_path: Path) -> None:
    shutil.copy(service.bundle, tmp_path / "cert.json")
    ran = run_mbd(tmp_path, "verify", "cert.json", "--json")
    assert (ran.code, ran.json["verdict"]) == (3, "undecided")


@pytest.mark.parametrize("line", ["ledger list", "ledger show 0", "ledger check"])
def test_an_auditor_needs_no_torch(service: Service, line: str) -> None:
    ran = spawn_mbd(service.root, *line.split(), prelude=WATCH)
    assert ran.code == 0
    assert "torch" not in ran.err


def test_the_watch_of_this_file_sees_what_is_heavy(tmp_path: Path) -> None:
    ran = spawn_mbd(tmp_path, "--help", prelude="import numpy\n" + WATCH)
    assert "HEAVY ['numpy']" in ran.err
