"""Child processes that can be killed: forked from a server that has imported everything once."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import pydoc
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from mbd.database.journal import SHARED
from mbd.workspace.files import storage_errors
from tests.workspaces import Ran

KILLED = -signal.SIGKILL

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "mbd.cli.main",
        "mbd.data.intake",
        "mbd.data.synthetic",
        "mbd.database.migrate",
        "mbd.workflows.initialise",
        "mbd.workflows.opening",
        "mbd.workflows.predict",
        "mbd.workflows.train",
    ]
)

Prelude = Callable[[], None]


def die() -> None:
    """The end of a process that gets no chance to clean up: kill -9."""
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Child:
    """A command that runs in a process of its own."""

    process: ForkServerProcess
    output: Path

    def wait(self, seconds: float = 120) -> Ran:
        """Its end; the exit code is negative where a signal was the reason."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, "the child does not end"
        code = self.process.exitcode
        self.process.close()
        out, err = (self.output.with_suffix(s).read_text("utf-8") for s in (".out", ".err"))
        return Ran(code, out, err)


def start_mbd(cwd: Path, *arguments: str, prelude: Prelude | None = None) -> Child:
    """Begin a command; `prelude` runs first and must be found by name (a partial will do)."""
    numbers = (cwd.parent / f"child-{number}" for number in range(1_000_000))
    output = next(path for path in numbers if not path.with_suffix(".out").exists())
    output.with_suffix(".out").touch()
    settings = {name: value for name, value in os.environ.items() if name.startswith("XDG_")}
    process = _CONTEXT.Process(target=_main, args=(cwd, arguments, prelude, settings, output))
    process.start()
    return Child(process, output)


def child_mbd(cwd: Path, *arguments: str, prelude: Prelude | None = None) -> Ran:
    """Run a command in a process of its own, to its end."""
    return start_mbd(cwd, *arguments, prelude=prelude).wait()


def table_of(stage: str) -> str:
    """Where the step of a revocation is found by name that leaves a stage."""
    shared = stage in SHARED[:-1]
    return "mbd.workflows.steps.STEPS" if shared else "mbd.workflows.papers.PAPERS"


def limit_files(size_bytes: int) -> None:
    """A disk that takes no file beyond this size: writing further fails with EFBIG."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))


def full_from(call: int) -> None:
    """A disk that is full from the call-th flush of a file or folder on."""
    seen = 0

    def full(flush: Callable[..., Any]) -> Callable[..., Any]:
        def counted(handle: int) -> None:
            nonlocal seen
            seen += 1
            if seen >= call:
                _refuse()
            flush(handle)

        return counted

    _wrap("os", "fsync", full)


def fail_at(owner: str, name: str) -> None:
    """A disk that is full whenever this function would write."""

    def failing(original: Callable[..., Any]) -> Callable[..., Any]:
        def refused(*arguments: Any, **named: Any) -> Any:
            with storage_errors(Path("somewhere")):
                _refuse()

        return refused

    _wrap(owner, name, failing)


def _refuse() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def die_before(owner: str, name: str, *, call: int = 1, only: str | None = None) -> None:
    """Kill the process when `owner.name` is called; `only` counts calls with that argument."""
    _replace(owner, name, call, only, after=False)


def die_after(owner: str, name: str, *, call: int = 1, only: str | None = None) -> None:
    """Kill the process when `owner.name` has returned."""
    _replace(owner, name, call, only, after=True)


def sleep_before(owner: str, name: str, *, seconds: float) -> None:
    """Let the process dawdle there, so that another one comes in between."""
    _wrap(owner, name, lambda original: partial(_slowly, original, seconds))


def _slowly(original: Callable[..., Any], seconds: float, *arguments: Any, **named: Any) -> Any:
    time.sleep(seconds)
    return original(*arguments, **named)


def _replace(owner: str, name: str, call: int, only: str | None, *, after: bool) -> None:
    seen = 0

    def killing(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            nonlocal seen
            seen += only is None or only in arguments
            if not after and seen == call:
                die()
            result = original(*arguments, **named)
            if after and seen == call:
                die()
            return result

        return wrapped

    _wrap(owner, name, killing)


def _wrap(
    owner: str, name: str, around: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> None:
    """Replace an attribute of a module or class, or an item of a table, found by name."""
    holder: Any = pydoc.locate(owner)
    assert holder is not None, owner
    if isinstance(holder, dict):
        holder[name] = around(holder[name])
    else:
        setattr(holder, name, around(getattr(holder, name)))


def _main(
    cwd: Path,
    arguments: tuple[str, ...],
    prelude: Prelude | None,
    settings: dict[str, str],
    output: Path,
) -> None:
    os.environ.update(settings)
    os.chdir(cwd)
    with (
        output.with_suffix(".out").open("w") as out,
        output.with_suffix(".err").open("w") as err,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        from mbd.cli.main import invoke

        if prelude is not None:
            prelude()
        code = invoke(list(arguments))
    sys.exit(code)
