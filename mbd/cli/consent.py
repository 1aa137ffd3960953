"""`mbd consent`: what a person allows again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mbd.cli.context import session_here
from mbd.cli.output import emit, json_option

if TYPE_CHECKING:
    from mbd.workflows.consent import Consent


@click.group()
def consent() -> None:
    """What a person allows again."""


@consent.command(epilog="Example: mbd consent grant --user 42 --modality audio")
@click.option("--user", required=True, help="The id that the data set uses.")
@click.option("--modality", required=True, help="The channel that may be used again.")
@json_option
@click.pass_context
def grant(ctx: click.Context, user: str, modality: str, as_json: bool) -> None:
    """Let a revoked channel be used again, for data that arrives later.

    It is logged, without a name. What was erased does not come back, and the certificate of
    the revocation stays true of what it was about. The channel can be revoked again, with a
    certificate of its own, once there is data of it.
    """
    from mbd.workflows.consent import grant_consent

    with session_here(ctx, write=True) as session:
        done = grant_consent(session, user, modality)
    text = (
        f"{modality} of {user} may be used again when it arrives "
        f"(ledger entry {done.entry}); nothing that was erased comes back."
    )
    emit("consent grant", _payload(user, "granted", done), as_json, text)


@consent.command(epilog="Example: mbd consent withdraw --user 42 --modality audio")
@click.option("--user", required=True, help="The id that the data set uses.")
@click.option("--modality", required=True, help="The channel that was granted.")
@json_option
@click.pass_context
def withdraw(ctx: click.Context, user: str, modality: str, as_json: bool) -> None:
    """Take a grant back before any data of it arrived; then `mbd revoke` does it."""
    from mbd.workflows.consent import withdraw_consent

    with session_here(ctx, write=True) as session:
        done = withdraw_consent(session, user, modality)
    text = f"{', '.join(done.modalities)} of {user} stays revoked (ledger entry {done.entry})."
    emit("consent withdraw", _payload(user, "withdrawn", done), as_json, text)


def _payload(user: str, what: str, done: Consent) -> dict[str, Any]:
    return {
        "user": user,
        what: list(done.modalities),
        "entry": done.entry,
        "consentId": done.consent_id,
    }
