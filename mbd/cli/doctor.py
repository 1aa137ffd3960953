"""`mbd doctor`: a workspace examined end to end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbd.canonical.text import printable
from mbd.cli.output import emit, json_option
from mbd.workspace.layout import Workspace, find_workspace

if TYPE_CHECKING:
    from mbd.workflows.findings import Finding


@click.command(epilog="Example: mbd doctor")
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Examine the workspace: files, digests, ledger, keys, permissions, requests, leftovers.

    Every finding has a stable code, a place, and what to do. Nothing is changed, and nothing
    interrupted is finished. Exit code 1 if there is an error among the findings.
    """
    from datetime import UTC, datetime

    from mbd.workflows.doctor import examine

    workspace = _workspace(ctx)
    found = examine(workspace, datetime.now(UTC))
    errors = sum(one.severity == "error" for one in found)
    payload = {
        "ok": not errors,
        "workspace": str(workspace.root),
        "findings": [
            {
                "code": one.code,
                "severity": one.severity,
                "what": one.what,
                "where": one.where,
                "todo": one.todo,
            }
            for one in found
        ],
    }
    lines = [line for one in found for line in _lines(one)]
    lines.append(_summary(found))
    emit("doctor", payload, as_json, "\n".join(map(printable, lines)))
    ctx.exit(1 if errors else 0)


def _workspace(ctx: click.Context) -> Workspace:
    """The folder that was named, whatever it lacks; otherwise as every command finds it."""
    chosen = ctx.obj.get("workspace") if ctx.obj else None
    if chosen is not None and Path(chosen).is_dir():
        return Workspace(Path(chosen).resolve())
    here = Workspace(Path.cwd().resolve())
    return here if here.settings_file.is_file() or here.ledger_db.is_file() else find_workspace()


def _lines(one: Finding) -> list[str]:
    return [f"{one.severity:<8} {one.code}: {one.what}", f"         {one.todo}"]


def _summary(found: list[Finding]) -> str:
    if not found:
        return "Nothing to report: the workspace is well."
    counts = [(sum(one.severity == kind for one in found), kind) for kind in _KINDS]
    return ", ".join(f"{count} {kind}{'s' * (count != 1)}" for count, kind in counts if count)


_KINDS = ("error", "warning", "note")
