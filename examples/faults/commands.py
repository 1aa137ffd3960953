"""`mbd` commands in processes of their own that can have faults, be stopped and be killed.

A server that has the shim before its C library imports `mbd` once; every command is a fork of it.
So a command begins in some milliseconds, and counts the same calls each time it is run.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from faults import Fault

KILLED = -signal.SIGKILL
LONG_SECONDS = 300.0
"""No command takes so long, unless it hangs."""

_SAID = 1000

_IMPORTS = (
    "mbd.cli.main",
    "mbd.cli.data",
    "mbd.cli.doctor",
    "mbd.cli.evaluate",
    "mbd.cli.init",
    "mbd.cli.ledger",
    "mbd.cli.predict",
    "mbd.cli.revoke",
    "mbd.cli.state",
    "mbd.cli.train",
    "mbd.cli.verify",
    "mbd.data.intake",
    "mbd.data.synthetic",
    "mbd.database.migrate",
    "mbd.workflows.initialise",
    "mbd.workflows.opening",
    "mbd.workflows.predict",
    "mbd.workflows.train",
)


@dataclass(frozen=True)
class Ran:
    """What a command did; the exit code is negative where a signal ended it."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document that `--json` promises."""
        return json.loads(self.out)

    @property
    def said(self) -> str:
        """What it printed; of much, the end."""
        return f"{self.out[-_SAID:]}{self.err[-_SAID:]}"


@dataclass
class Commands:
    """The server, as a context; it ends with it, and so do its children."""

    shim: Path
    folder: Path
    """For what commands print."""
    _server: subprocess.Popen[str] = field(init=False)
    _number: int = 0

    def __enter__(self) -> Commands:
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MBD_")}
        environment |= {"LD_PRELOAD": str(self.shim), "OMP_NUM_THREADS": "1"}
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def start(
        self,
        cwd: Path,
        arguments: list[str],
        *,
        fault: Fault | None = None,
        state: Path,
        below: Path | None = None,
        trace: Path | None = None,
        busy_seconds: float | None = None,
    ) -> Child:
        """Begin a command.

        Args:
            cwd: Where.
            arguments: The command line, without `mbd`.
            fault: What goes wrong in it.
            state: XDG_STATE_HOME: where memories of logs are.
            below: Where the fault has its files; default: `cwd`.
            trace: Gets one line per call that the fault counts.
            busy_seconds: How long it waits for a database that is locked; default: its own.
        """
        self._number += 1
        output = self.folder / str(self._number)
        pid = self.ask(
            op="start",
            cwd=str(cwd),
            arguments=arguments,
            state=str(state),
            fault=None if fault is None else str(fault),
            below=str(below or cwd),
            trace=None if trace is None else str(trace),
            busy=busy_seconds,
            output=str(output),
        )
        return Child(self, pid, output)

    def ask(self, **question: Any) -> Any:
        """One question to the server, and its answer."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(question) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())


@dataclass(frozen=True)
class Child:
    """A command that runs."""

    commands: Commands
    pid: int
    output: Path

    def wait(self, seconds: float = LONG_SECONDS) -> Ran | None:
        """Its end; None if it was stopped, or has not ended after so long."""
        code = self.commands.ask(op="wait", pid=self.pid, seconds=seconds)
        if code is None:
            return None
        files = [self.output.with_suffix(suffix) for suffix in (".out", ".err")]
        out, err = (file.read_text("utf-8", errors="replace") for file in files)
        for file in files:
            file.unlink()
        return Ran(code, out, err)

    def end(self, seconds: float = LONG_SECONDS) -> Ran:
        """Its end; a child that hangs is killed.

        Raises:
            TimeoutError: It hung.
        """
        ran = self.wait(seconds)
        if ran is None:
            self.kill()
            raise TimeoutError(f"the command does not end within {seconds:g} s")
        return ran

    def stop(self) -> None:
        """Halt it where it is."""
        self.commands.ask(op="signal", pid=self.pid, number=signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on after a stop."""
        self.commands.ask(op="signal", pid=self.pid, number=signal.SIGCONT)

    def kill(self) -> Ran:
        """The end without a chance to clean up."""
        self.commands.ask(op="signal", pid=self.pid, number=signal.SIGKILL)
        return self.end()


def serve() -> None:
    """The server: a question per line on standard input, an answer per line on standard output."""
    import importlib

    for name in _IMPORTS:
        importlib.import_module(name)
    ended: dict[int, int] = {}
    for line in sys.stdin:
        question = json.loads(line)
        operation = question.pop("op")
        if operation == "start":
            answer: Any = _fork(question)
        elif operation == "wait":
            answer = _wait(ended, question["pid"], question["seconds"])
        else:
            answer = _signal(ended, question["pid"], question["number"])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _fork(question: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        code = _command(**question)
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _command(
    *,
    cwd: str,
    arguments: list[str],
    state: str,
    fault: str | None,
    below: str,
    trace: str | None,
    busy: float | None,
    output: str,
) -> int:
    """In the child: the command, with its output in files and its fault armed."""
    from mbd.cli.main import invoke
    from mbd.database import connection

    os.environ["XDG_STATE_HOME"] = state
    os.chdir(cwd)
    for descriptor, name in ((0, os.devnull), (1, f"{output}.out"), (2, f"{output}.err")):
        flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(name, flags, 0o600), descriptor)
    if busy is not None:
        connection.BUSY_SECONDS = busy
    if fault is not None:
        tracing = -1 if trace is None else os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        Fault.parse(fault).arm(Path(below), tracing)
    return invoke(arguments)


def _wait(ended: dict[int, int], pid: int, seconds: float) -> int | None:
    """Exit code, once it has one; None if it stops or does not end."""
    deadline = time.monotonic() + seconds
    while pid not in ended:
        found, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
        if found and os.WIFSTOPPED(status):
            return None
        if found:
            ended[pid] = os.waitstatus_to_exitcode(status)
        elif time.monotonic() > deadline:
            return None
        else:
            time.sleep(0.002)
    return ended[pid]


def _signal(ended: dict[int, int], pid: int, number: int) -> None:
    if pid not in ended:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


if __name__ == "__main__":
    serve()
