"""`mbd data scan`: is anything of what a receipt says was erased still, or again, here?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mbd.cli.context import open_here
from mbd.cli.output import emit, json_option, progress, table

if TYPE_CHECKING:
    from mbd.workflows.scan import Scan

_SHOWN = 50


@click.command(epilog="Example: mbd data scan --receipt receipts/01J....json")
@click.option(
    "--receipt",
    "file",
    type=click.Path(path_type=Path),
    required=True,
    help="The subject's receipt: it has the fingerprints of what was erased.",
)
@json_option
@click.pass_context
def scan(ctx: click.Context, file: Path, as_json: bool) -> None:
    """Search every file of the workspace for what a revocation erased.

    Values, prepared rows, salts, and ids of records that vanished; in the bytes of each file, and
    inside Parquet pages, zip archives and JSON text. What a clean scan does not cover is listed.
    Exit code 0: nothing found; 1: something was.
    """
    from mbd.cli.receipt import read_receipt
    from mbd.workflows.scan import scan_workspace

    receipt = read_receipt(file)
    with progress("searching") as report:
        found = scan_workspace(open_here(ctx), receipt, report)
    emit("data scan", _payload(found), as_json, _text(found))
    ctx.exit(0 if found.clean else 1)


def _payload(found: Scan) -> dict[str, Any]:
    return {
        "certificateId": found.certificate_id,
        "clean": found.clean,
        "files": found.files,
        "bytes": found.size_bytes,
        "seconds": round(found.seconds, 3),
        "searchedFor": {
            "values": found.values,
            "recordIds": found.record_ids,
            "salts": found.salts,
        },
        "found": [
            {"file": one.file, "kind": one.kind, "where": one.where or None} for one in found.found
        ],
        "notCovered": [{"what": what, "reason": reason} for what, reason in found.not_covered],
    }


def _text(found: Scan) -> str:
    rate = found.size_bytes / 1e6 / max(found.seconds, 1e-9)
    lines = [
        f"Searched {found.files} files ({found.size_bytes / 1e6:.1f} MB, {rate:.0f} MB/s) for "
        f"{found.values} erased values, {found.record_ids} record ids, {found.salts} salts."
    ]
    if found.found:
        rows = [(one.file, one.kind, one.where or "-") for one in found.found[:_SHOWN]]
        lines += [f"Found, {len(found.found)} in all:", table(("file", "what", "where"), rows)]
        lines.append(
            "It was left over, or came back with later data, or is somebody else's equal value: "
            "the place says which."
        )
    else:
        lines.append("Nothing was found.")
    lines += ["Not covered:", *(f"  {what}: {reason}" for what, reason in found.not_covered)]
    return "\n".join(lines)
