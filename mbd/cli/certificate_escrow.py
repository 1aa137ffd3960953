"""`mbd certificate escrow`: what lets an auditor open a certificate."""

from __future__ import annotations

from pathlib import Path

import click

from mbd.canonical.ulid import is_ulid
from mbd.certificate.bundle import MAX_BUNDLE_BYTES, parse_bundle
from mbd.cli.context import session_here
from mbd.cli.output import emit, json_option, note
from mbd.errors import NotFoundError
from mbd.verify.reading import read_regular
from mbd.workspace.files import refuse_existing, write_new

_HELP = """The salts that open a certificate's data and state, for an auditor.

CERTIFICATE is an id or a bundle of this workspace. With the escrow and a copy of the retained
data the auditor runs `mbd verify cert.json --reproduce COPY --escrow FILE`, and learns neither
whose data was removed nor what it was. Whoever holds it can test guesses of the whole data set
and nothing else: hand it to the auditor only.
"""


@click.command(help=_HELP, epilog="Example: mbd certificate escrow 01J... > escrow.json")
@click.argument("certificate", metavar="CERTIFICATE")
@click.option("--out", type=click.Path(path_type=Path), help="Write to this new file instead.")
@json_option
@click.pass_context
def escrow(ctx: click.Context, certificate: str, out: Path | None, as_json: bool) -> None:
    from mbd.workflows.escrow import escrow_of

    if out is not None:
        refuse_existing(out, field="--out")
    name = _id_of(certificate)
    with session_here(ctx, write=False) as session:
        made = escrow_of(session, name)
    content = made.to_bytes()
    if out is not None:
        write_new(out, content, mode=0o600, field="--out")
    payload = {
        "certificateId": name,
        "out": None if out is None else str(out),
        "escrow": None if out is not None else made.model_dump(mode="json", by_alias=True),
    }
    emit("certificate escrow", payload, as_json, str(out) if out else content.decode().rstrip("\n"))
    if out is not None and not as_json:
        note(f"check with: mbd verify {name}.json --reproduce COPY --escrow {out}")


def _id_of(certificate: str) -> str:
    """The id of a certificate: itself, or inside the file of that name.

    Raises:
        NotFoundError: Neither an id nor a file.
    """
    path = Path(certificate)
    if path.is_file():
        bundle = parse_bundle(read_regular(path, MAX_BUNDLE_BYTES))
        return bundle.statement().predicate.certificate_id
    if is_ulid(certificate):
        return certificate
    raise NotFoundError(
        f"{certificate}: neither a certificate's id nor a file",
        code="certificate.not_found",
        field="CERTIFICATE",
        hint="`mbd ledger list --type certificate` shows the ids",
    )
