"""Small workspaces for tests, and two ways to run a command in them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbd.cli.main import invoke
from mbd.workflows.session import Session
from mbd.workspace.layout import open_workspace
from mbd.workspace.settings import load_settings

USERS, RECORDS, SEED, WIDTH = 24, 240, 1, 160


@dataclass(frozen=True)
class TrainedWorkspace:
    """A workspace with data and a model, and who is in it."""

    root: Path
    revocable: tuple[str, ...]
    """Subjects that have every modality and whose data reaches the model through heads only."""
    foundation: tuple[str, ...]

    def session(self) -> Session:
        """A session without lock; nothing interrupted is finished."""
        workspace = open_workspace(self.root)
        return Session(workspace, load_settings(workspace))


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document that `--json` promises."""
        return json.loads(self.out)


def build_workspace(root: Path) -> None:
    """Make and train the small workspace."""
    sizes = ["--users", str(USERS), "--records", str(RECORDS), "--seed", str(SEED)]
    must_run(root.parent, "init", str(root))
    must_run(root, "data", "synth", *sizes)
    must_run(root, "train", "--core", "none", "--set", f"heads.width={WIDTH}")


def describe(root: Path, modalities: int = 3) -> TrainedWorkspace:
    """Who is in a workspace whose data set has so many modalities."""
    session = TrainedWorkspace(root, (), ()).session()
    full = [one for one in session.store().subjects() if len(one.available) == modalities]
    return TrainedWorkspace(
        root=root,
        revocable=tuple(one.user for one in full if one.cohort == "revocable"),
        foundation=tuple(one.user for one in full if one.cohort == "foundation"),
    )


def run_mbd(cwd: Path, *arguments: str) -> Ran:
    """Run a command in this process, in a folder."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = invoke(list(arguments))
    return Ran(code, out.getvalue(), err.getvalue())


def must_run(cwd: Path, *arguments: str) -> Ran:
    """Run a command that has to succeed."""
    ran = run_mbd(cwd, *arguments)
    assert ran.code == 0, f"mbd {' '.join(arguments)}: exit {ran.code}\n{ran.out}\n{ran.err}"
    return ran


def spawn_mbd(cwd: Path, *arguments: str, prelude: str = "") -> Ran:
    """Run a command in a child process.

    Args:
        cwd: Where.
        arguments: The command line.
        prelude: Python that runs first, e.g. to kill the process at a certain step.
    """
    program = f"{prelude}\nfrom mbd.cli.main import run\nrun({list(arguments)!r})"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=cwd,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return Ran(done.returncode, done.stdout, done.stderr)
