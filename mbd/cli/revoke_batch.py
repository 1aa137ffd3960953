"""`mbd revoke --batch`: many requests from a file, one row of the answer for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mbd.cli.context import open_here, session_here
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
    from mbd.workflows.opening import open_to_look
    from mbd.workflows.revoke import preview_many, revoke_many

    lines = read_batch(path)
    opened = open_to_look(open_here(ctx), note=note) if dry_run else session_here(ctx, write=True)
    with opened as session, progress("revoking") as report:
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
    done = "carried out"
    if queue:
        done = "queued: the channels are off, `mbd resume` trains without them"
    if dry_run:
        done = "would be carried out"
    emit("revoke", payload, as_json, _text(rows, done, dry_run))
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
                "line": line.line,
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


def _text(rows: Sequence[dict[str, Any]], done: str, dry_run: bool) -> str:
    good = [row for row in rows if not row["error"]]
    bad = [row for row in rows if row["error"]]
    text = [f"{len(good)} of {len(rows)} requests {done}."]
    if any(row["certificateId"] for row in good):
        issued = [(row["line"], row["user"], row["modality"], row["certificateId"]) for row in good]
        text += [
            table(("line", "user", "modality", "certificate"), issued[:_SHOWN]),
            *_more(issued),
        ]
        text.append("Bundles are in certs/; hand each receipt over (receipts/), then delete it.")
    if bad:
        cells = [
            (row["line"], row["user"], row["modality"], row["exitCode"], row["error"]["message"])
            for row in bad
        ]
        text += ["Refused:", table(("line", "user", "modality", "exit", "why"), cells[:_SHOWN])]
        text += _more(cells)
        hints = dict.fromkeys(row["error"]["hint"] for row in bad if row["error"]["hint"])
        text += [f"  {hint}" for hint in list(hints)[:_SHOWN]]
    if dry_run:
        text.append("Nothing was changed.")
    return "\n".join(text)


def _more(cells: Sequence[object]) -> list[str]:
    left = len(cells) - _SHOWN
    return [f"... and {left} more; --json lists all of them."] if left > 0 else []
