"""`mbd key`: which keys sign here, from where in the log on, and what others need of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mbd.canonical.text import printable
from mbd.cli.context import open_here, session_here
from mbd.cli.output import confirm, emit, json_option, note
from mbd.errors import UsageError

if TYPE_CHECKING:
    from mbd.ledger.key_events import Role
    from mbd.signing.public import Algorithm
    from mbd.workflows.keys import Distrust, KnownKey
    from mbd.workflows.session import Session

ALGORITHM = click.Choice(["ed25519", "ecdsa-p256"])

_HELP = """The keys of this workspace, and what the ledger says of them.

A certificate is judged by its place in the log: one that was logged before its key was retired
stays valid, one after it is not.

The issuer's key is a file, or lies in a PKCS#11 token. To move it there: make a key in the token,
name it in mbd.toml as

\b
    issuer_key = "pkcs11:token=LABEL;object=LABEL?module-path=/path/to/library.so"

and run `mbd key rotate`. The PIN is that of MBD_PKCS11_PIN, of the file MBD_PKCS11_PIN_FILE, or
typed; the passphrase of an encrypted file that of MBD_KEY_PASSPHRASE, of MBD_KEY_PASSPHRASE_FILE,
or typed.
"""


@click.group(help=_HELP)
def key() -> None:
    pass


@key.command("list", epilog="Example: mbd key list")
@json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Every key that the ledger announced, the oldest first, and the one that signs now."""
    from mbd.workflows.keys import list_keys

    session = _reading(ctx)
    found = list_keys(session)
    payload = {"issuer": session.settings.issuer, "keys": [_key_json(one) for one in found]}
    emit("key list", payload, as_json, "\n".join(_block(one) for one in found))


@key.command(epilog="Example: mbd key add --algorithm ecdsa-p256")
@click.option("--algorithm", type=ALGORITHM, default="ed25519", show_default=True)
@click.option("--encrypt/--plain", default=None, help="Default: as the key that signs now.")
@click.option("--signer", "uri", metavar="URI", help="A key that exists, instead of a new one.")
@json_option
@click.pass_context
def add(
    ctx: click.Context, algorithm: Algorithm, encrypt: bool | None, uri: str | None, as_json: bool
) -> None:
    """Announce another key of the issuer in the ledger; the present one goes on signing.

    So auditors can compare its fingerprint before anything is signed with it:
    `mbd key rotate --to KEYID` puts it in force.
    """
    from mbd.workflows.keys import add_key

    with session_here(ctx, write=True) as session:
        made = add_key(session, algorithm=algorithm, encrypt=encrypt, uri=uri)
    emit("key add", _key_json(made), as_json, _block(made))
    note("trust.toml names it now: give auditors `mbd key export`, and compare fingerprints")


@key.command(epilog="Example: mbd key rotate")
@click.option("--to", metavar="KEYID", help="A key that was announced with `mbd key add`.")
@click.option(
    "--role",
    type=click.Choice(["issuer", "log"]),
    default="issuer",
    help="Whose; the log's is refused: a log is its key.",
)
@click.option("--algorithm", type=ALGORITHM, default="ed25519", help="Of a new key.")
@click.option("--encrypt/--plain", default=None, help="Default: as the key that signs now.")
@json_option
@click.pass_context
def rotate(
    ctx: click.Context,
    to: str | None,
    role: Role,
    algorithm: Algorithm,
    encrypt: bool | None,
    as_json: bool,
) -> None:
    """Put another key of the issuer in force and retire the present one.

    Without --to: the key that mbd.toml names, if another one is in force; else a new one. Open
    requests are finished first, or signed with the new key later. Killed half way, it is finished
    by the next command that changes something, or by running it again.
    """
    from mbd.workflows.keys import rotate_key
    from mbd.workflows.opening import open_session

    with open_session(open_here(ctx), write=True, finish=False, note=note) as session:
        made = rotate_key(session, role=role, to=to, algorithm=algorithm, encrypt=encrypt)
    emit("key rotate", _key_json(made), as_json, _block(made))
    note("trust.toml names it now: give auditors `mbd key export`, and compare fingerprints")


@key.command(epilog="Example: mbd key distrust fcefc794aa1ec488 --from 120")
@click.argument("key_id", metavar="KEYID")
@click.option(
    "--from",
    "from_index",
    type=click.IntRange(min=0),
    required=True,
    help="First entry of the log that is not to be believed; 0: none ever was.",
)
@click.option("--dry-run", is_flag=True, help="Say which certificates it would hit, and stop.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def distrust(
    ctx: click.Context, key_id: str, from_index: int, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Say in the ledger that a key fell into other hands. It cannot be taken back.

    Certificates that it signed are invalid from that entry on, and valid but not current before
    (exit code 9 of `mbd verify`). Nothing makes them valid again. The key that signs now must be
    replaced first.
    """
    from mbd.workflows.keys import distrust_key, plan_distrust

    if dry_run:
        plan = plan_distrust(_reading(ctx), key_id, from_index)
        text = f"{_block(plan.key)}\n{_hit(plan, 'would be')}\nNothing was changed."
        emit("key distrust", _distrust_json(plan, dry_run=True), as_json, text)
        return
    with session_here(ctx, write=True) as session:
        plan = plan_distrust(session, key_id, from_index)
        note(_hit(plan, "would be"))
        confirm(f"Distrust key {plan.key.record.key_id[:16]} for good?", yes, as_json)
        done = distrust_key(session, key_id, from_index)
    text = f"{_block(done.key)}\n{_hit(done, 'are')}"
    emit("key distrust", _distrust_json(done, dry_run=False), as_json, text)
    note("others learn of it from `mbd key export`: `mbd trust add` takes it over")


def _hit(plan: Distrust, verb: str) -> str:
    """How many certificates, and which of them lose their validity."""
    invalid, doubted = len(plan.invalid), len(plan.doubted)
    said = (
        f"From entry {plan.from_index} on: {invalid} {_plural(invalid)} {verb} invalid; "
        f"{doubted} {_plural(doubted)} before it {verb} valid but not current."
    )
    return "\n".join([said, *(f"  invalid  {name}" for name in plan.invalid)])


def _plural(count: int) -> str:
    return "certificate" if count == 1 else "certificates"


def _distrust_json(plan: Distrust, *, dry_run: bool) -> dict[str, Any]:
    return {
        **_key_json(plan.key),
        "from": plan.from_index,
        "dryRun": dry_run,
        "invalid": len(plan.invalid),
        "notCurrent": len(plan.doubted),
        "invalidCertificates": list(plan.invalid),
        "notCurrentCertificates": list(plan.doubted),
    }


@key.command(epilog="Example: mbd key export --json > keys.json")
@click.argument("key_id", metavar="[KEYID]", required=False)
@click.option("--pem", is_flag=True, help="PEM of one key; default: the issuer's that signs now.")
@click.option("--vkey", is_flag=True, help="The log's key as C2SP notes write it.")
@json_option
@click.pass_context
def export(ctx: click.Context, key_id: str | None, pem: bool, vkey: bool, as_json: bool) -> None:
    """Print public keys for others: all as JSON, or one as PEM or vkey. Never a private half.

    The JSON is what `mbd trust add` reads.
    """
    from mbd.workflows.keys import find_key, list_keys

    if pem + vkey + as_json > 1:
        raise UsageError("want one of --pem, --vkey, --json", field="--pem")
    session = _reading(ctx)
    found = [find_key(session, key_id)] if key_id else list_keys(session)
    if pem or vkey:
        click.echo(_one(found, "log" if vkey and not key_id else "issuer", vkey=vkey))
        return
    payload = {
        "issuer": session.settings.issuer,
        "origin": session.settings.origin,
        "keys": [_key_json(one) for one in found],
    }
    emit("key export", payload, True, "")


def _reading(ctx: click.Context) -> Session:
    """A session that takes no lock and finishes nothing."""
    from mbd.workflows.session import Session
    from mbd.workspace.settings import load_settings

    workspace = open_here(ctx)
    return Session(workspace, load_settings(workspace))


def _one(found: list[KnownKey], role: str, *, vkey: bool) -> str:
    chosen = found[0] if len(found) == 1 else None
    for one in found if chosen is None else ():
        if one.record.role == role and one.state == "current":
            chosen = one
    if chosen is None or chosen.key is None:
        raise UsageError("its public half is not known here", field="KEYID")
    if not vkey:
        return chosen.key.pem.rstrip("\n")
    if chosen.vkey is None:
        raise UsageError("only the log's key is written as a vkey", field="--vkey")
    return str(chosen.vkey)


def _key_json(one: KnownKey) -> dict[str, Any]:
    from mbd.canonical.digest import b64encode

    record = one.record
    bounds = {
        "validFrom": record.valid_from,
        "retiredFrom": record.retired_from,
        "distrustedFrom": record.distrusted_from,
    }
    return {
        "role": record.role,
        "state": one.state,
        "keyId": record.key_id,
        "algorithm": record.algorithm,
        "publicKey": None if one.key is None else b64encode(one.key.der),
        **({} if one.vkey is None else {"vkey": str(one.vkey)}),
        **{name: value for name, value in bounds.items() if value is not None},
        **({} if one.issuer is None else {"issuer": one.issuer}),
    }


def _block(one: KnownKey) -> str:
    """Two lines: what it is, and the fingerprint to read aloud."""
    record = one.record
    end = {
        "retired": f"entries {record.valid_from} to {(record.retired_from or 0) - 1}",
        "distrusted": f"not believed from entry {record.distrusted_from} on",
    }.get(one.state, f"from entry {record.valid_from} on")
    groups = " ".join(record.key_id[i : i + 4] for i in range(0, 64, 4))
    line = f"{record.role:6}  {one.state:10}  {record.algorithm:10}  {end}"
    return printable(line) + f"\n        {groups}"
