"""From a click context to the workspace that a command works in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mbd.cli.output import note
from mbd.workspace.layout import Workspace, find_workspace, open_workspace

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from mbd.workflows.session import Session


def open_here(ctx: click.Context) -> Workspace:
    """The workspace of -w, MBD_WORKSPACE, or the nearest one at or above this folder."""
    chosen = ctx.obj.get("workspace") if ctx.obj else None
    return open_workspace(chosen) if chosen is not None else find_workspace()


def session_here(ctx: click.Context, *, write: bool) -> AbstractContextManager[Session]:
    """A session on that workspace; interrupted requests are finished first."""
    from mbd.workflows.opening import open_session

    return open_session(open_here(ctx), write=write, note=note)
