"""`mbd revoke --batch`: many requests from a file, one row of the answer for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mbd.cli.context import session_here
from mbd.cli.output import emit, note, progress, table
from mbd.errors import MbdError

if TYPE_CHECKING:
    from mbd.workflows.batch_file import FileRow
    from mbd.workflows.resolve import Terms
    from mbd.workflows.revoke import Row

PARTIAL = 8
"""Exit code: some requests were carried out, others refused."""
_SHOWN = 20


def revoke_batch(
    ctx: click.Context, path: Path, terms: Terms, *, queue: bool, dry_run: bool, as_json: bool
) -> int:
    """Carry out the requests of a file, print what became of each; the exit code."""
    from mbd.workflows.batch_file import read_batch
    from mbd.workflows.revoke import preview_many, revoke_many

    lines = read_batch(path)
    with session_here(ctx, write=not dry_run) as session, progress("revoking") as report:
        wanted = [line.request for line in lines if not isinstance(line.request, MbdError)]
        if dry_run:
            answers = preview_many(session, wanted, terms)
        else:
            answers = revoke_many(session, wanted, terms, queue=queue, progress=report, note=note)
    rows = _merged(lines, answers)
    code = _exit_code([row["exitCode"] for row in rows])
    payload: dict[str, Any] = {"rows": rows}
    if dry_run:
        payload["dryRun"] = True
    done = "carried out, one certificate each (certs/)"
    if queue:
        done = "queued: the channels are off, `mbd resume` trains without them"
    if dry_run:
        done = "would be carried out"
    emit("revoke", payload, as_json, _text(rows, lines, done, dry_run))
    return code


def _merged(lines: Sequence[FileRow], answers: Sequence[Row]) -> list[dict[str, Any]]:
    """One row for every line of the file."""
    left = iter(answers)
    rows = []
    for line in lines:
        answer = None if isinstance(line.request, MbdError) else next(left)
        error = line.request if isinstance(line.request, MbdError) else None
        if answer is not None:
            error = answer.error
        rows.append(
            {
                "requestId": line.request_id if answer is None else answer.request_id,
                "user": line.user,
                "modality": line.modality,
                "certificateId": None if answer is None else answer.certificate_id,
                "exitCode": 0 if error is None else error.exit_code,
                "error": None
                if error is None
                else {"code": error.code, "message": error.message, "hint": error.hint},
            }
        )
    return rows


def _exit_code(codes: Sequence[int]) -> int:
    """0: all done; 8: some; otherwise the one code that all have, or 1."""
    if not any(codes):
        return 0
    if not all(codes):
        return PARTIAL
    return codes[0] if len(set(codes)) == 1 else 1


def _text(
    rows: Sequence[dict[str, Any]], lines: Sequence[FileRow], done: str, dry_run: bool
) -> str:
    bad = [(line, row) for line, row in zip(lines, rows, strict=True) if row["error"]]
    good = len(rows) - len(bad)
    text = [f"{good} of {len(rows)} requests {done}."]
    if bad:
        cells = [
            (line.line, row["user"], row["modality"], row["exitCode"], row["error"]["message"])
            for line, row in bad[:_SHOWN]
        ]
        text += ["Refused:", table(("line", "user", "modality", "exit", "why"), cells)]
    if len(bad) > _SHOWN:
        text.append(f"... and {len(bad) - _SHOWN} more; --json lists all of them.")
    if dry_run:
        text.append("Nothing was changed.")
    return "\n".join(text)
