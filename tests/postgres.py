"""A real PostgreSQL server for tests: Debian's package, started on loopback by an ordinary user."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mbd.workspace.ledger_place import Server

USER, PASSWORD = "mbd", "correct horse: battery/staple@1"
QUOTED = "correct%20horse%3A%20battery%2Fstaple%401"
START_SECONDS = 60.0


@dataclass
class RunningServer:
    """A server that a test may kill and start again."""

    programs: Path
    folder: Path
    port: int
    durable: bool
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres", password: str | None = QUOTED) -> str:
        """How to reach a database of it."""
        secret = "" if password is None else f":{password}"
        return f"postgresql+psycopg://{USER}{secret}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "fsync": "on" if self.durable else "off",
            "max_connections": "40",
            "shared_buffers": "16MB",
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*_mortal(), self.programs / "postgres", "-D", self.folder / "data", *arguments],
                cwd=self.folder,
                env=_environment(),
                stdout=log,
                stderr=log,
                **_as_ordinary_user(),
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text("utf-8", "replace"))
            time.sleep(0.05)

    def answers(self) -> bool:
        """Whether it takes connections."""
        import psycopg

        try:
            psycopg.connect(self.url().replace("+psycopg", "")).close()
        except psycopg.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """Kill the server and all that belongs to it, as a power cut would."""
        self._stop("immediate")

    def stop(self) -> None:
        """Let it end in order."""
        self._stop("fast")

    def _stop(self, mode: str) -> None:
        if self.process is None:
            return
        subprocess.run(
            [self.programs / "pg_ctl", "stop", "-D", self.folder / "data", "-m", mode, "-w"],
            cwd=self.folder,
            env=_environment(),
            stdout=subprocess.DEVNULL,
            check=False,
            **_as_ordinary_user(),
        )
        self.process.wait(START_SECONDS)
        self.process = None

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement outside a transaction."""
        import psycopg

        url = self.url(database).replace("+psycopg", "")
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"test_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def new_schema(self) -> Server:
        """A schema that does not exist yet."""
        return Server(self.url(), f"mbd_test_{secrets.token_hex(6)}")


@contextlib.contextmanager
def running_server(*, durable: bool = False) -> Iterator[RunningServer]:
    """A server with one database; skips the test, with the reason, where none can be had.

    Args:
        durable: Write to the disk what was committed; slower.
    """
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="mbd-pg-"))
    server = RunningServer(programs, folder, _free_port(), durable)
    try:
        _initialise(programs, folder)
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    """Where Debian, or the search path, has the server."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install '.[postgres]'")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_version)
    if found:
        return found[-1].parent
    anywhere = shutil.which("initdb")
    if anywhere is None:
        pytest.skip("no PostgreSQL server is installed: apt-get install postgresql")
    return Path(anywhere).resolve().parent


def _version(program: Path) -> int:
    name = program.parent.parent.name
    return int(name) if name.isdigit() else 0


def _initialise(programs: Path, folder: Path) -> None:
    secret = folder / "password"
    secret.write_text(f"{PASSWORD}\n", "utf-8")
    if user := _as_ordinary_user():
        for path in (folder, secret):
            shutil.chown(path, user["user"], user["group"])
    arguments = ["-U", USER, "-E", "UTF8", "-A", "scram-sha-256", f"--pwfile={secret}", "-N"]
    subprocess.run(
        [programs / "initdb", "-D", folder / "data", *arguments],
        cwd=folder,
        env=_environment(),
        stdout=subprocess.DEVNULL,
        check=True,
        **_as_ordinary_user(),
    )


def _mortal() -> list[str]:
    """A server that does not outlive the tests, however they end; where Linux can say so."""
    return ["setpriv", "--pdeathsig", "QUIT"] if shutil.which("setpriv") else []


def _as_ordinary_user() -> dict[str, object]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            group = pwd.getpwnam(name).pw_gid
            return {"user": name, "group": group, "extra_groups": []}
    pytest.skip("there is no ordinary user to run PostgreSQL as")


def _environment() -> dict[str, str]:
    return {"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"], "TZ": "UTC"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
