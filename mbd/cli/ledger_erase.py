"""`mbd ledger erase-body`: a body goes, its leaf and every proof stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mbd.cli.context import session_here
from mbd.cli.output import confirm, emit, json_option, note

if TYPE_CHECKING:
    from mbd.workflows.erase_body import ErasedBody


@click.command("erase-body", epilog="Example: mbd ledger erase-body 7 --yes")
@click.argument("reference", metavar="ID")
@click.option("--with-bundle", is_flag=True, help="Remove the certificate's file in certs/, too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def erase_body(
    ctx: click.Context, reference: str, with_bundle: bool, yes: bool, as_json: bool
) -> None:
    """Erase the body of a certificate or of an old policy, by index or certificate id.

    The leaf stays, so every proof holds and `mbd ledger check` passes. The body's key is
    destroyed, which makes it unreadable in every copy of the ledger, but not in a backup that
    holds secrets.db as well. The erasure is an entry of the ledger itself. What was handed out,
    the bundle first of all, is a copy of its own.
    """
    from mbd.workflows.erase_body import erase_body as erase
    from mbd.workflows.erase_body import find_erasable

    with session_here(ctx, write=True) as session:
        entry = find_erasable(session, reference)
        what = f"the {entry.type} {entry.certificate_id or ''}".rstrip()
        confirm(f"Erase the body of ledger entry {entry.index}, {what}, for good?", yes, as_json)
        done = erase(session, str(entry.index), with_bundle=with_bundle)
    emit("ledger erase-body", _payload(done), as_json, _text(done))
    if done.bundle is not None:
        note(f"{done.bundle} is a copy of its own and is still there (--with-bundle removes it)")


def _payload(done: ErasedBody) -> dict[str, Any]:
    return {
        "index": done.index,
        "type": done.type,
        "certificateId": done.certificate_id,
        "erased": done.logged is not None,
        "loggedAs": done.logged,
        "bundle": None if done.bundle is None else str(done.bundle),
        "bundleRemoved": done.bundle_removed,
    }


def _text(done: ErasedBody) -> str:
    if done.logged is None:
        return f"the body of ledger entry {done.index} was gone already"
    return (
        f"erased the body of ledger entry {done.index} (entry {done.logged} says so); "
        "its leaf stays and every proof holds"
    )
