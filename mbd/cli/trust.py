"""`mbd trust`: an auditor's trust file. No key enters it that nobody compared."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any, Literal

import click

from mbd.canonical.text import printable
from mbd.cli.output import emit, json_option, note
from mbd.errors import NotFoundError, RefusedError, UsageError
from mbd.ledger.note import VerifierKey
from mbd.verify.reading import read_regular
from mbd.verify.trust import MAX_TRUST_BYTES, load_trust
from mbd.verify.trust_offer import Addition, NewKey, read_offer, take
from mbd.verify.trust_text import render_trust
from mbd.verify.trusted import TrustedIssuer, TrustPolicy

TRUST = click.option(
    "--trust",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The trust file; default: MBD_TRUST, or trust.toml here.",
)


_LEAST_DIGITS = 8
"""Of a key id, so that nobody takes one key for another by a glance."""


@click.group()
def trust() -> None:
    """Whom to believe: a trust file of one's own, with keys that were compared.

    A key is only as good as the channel that it came through. Let its owner read the fingerprint
    to you over another one, and compare every group.
    """


@trust.command(epilog="Example: mbd trust add keys.json --fingerprint 'fcef c794 aa1e ...'")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--fingerprint",
    "fingerprints",
    multiple=True,
    help="64 hex digits that the owner confirmed, spaces allowed; once for each new key.",
)
@click.option(
    "--name",
    help="Whose a PEM key is: `issuer` in the certificates; or what to call a witness.",
)
@TRUST
@json_option
def add(
    file: Path, fingerprints: tuple[str, ...], name: str | None, trust: Path | None, as_json: bool
) -> None:
    """Add the keys in FILE: an export (`mbd key export`), a trust.toml, a PEM key, or a vkey
    of a log or a witness.

    Every key that is not known yet must be confirmed: by --fingerprint, or by yes at a terminal.
    Where the file says that a known key is retired or distrusted, that is taken over; that it
    began later must be confirmed too.
    """
    path = _path(trust)
    old = load_trust(path) if os.path.lexists(path) else TrustPolicy()
    offer = read_offer(read_regular(file, MAX_TRUST_BYTES), name=name)
    addition = take(old, offer)
    _confirm(addition, {_digits(text) for text in fingerprints}, offer)
    if addition.policy != old:
        from mbd.workspace.files import write_atomically

        write_atomically(path, render_trust(addition.policy).encode())
    added = [_added_json(one, addition.policy) for one in addition.new]
    payload = {
        "trust": printable(str(path)),
        "added": added,
        "narrowed": [_issuer_json(one) for one in addition.narrowed],
    }
    lines = [_added_line(one, addition.policy) for one in addition.new]
    lines += [
        f"narrowed  issuer   {printable(one.name)}  {one.key.key_id[:16]}  {_bounds(one)}"
        for one in addition.narrowed
    ]
    if addition.policy.quorum != old.quorum:
        note(f"{addition.policy.quorum} witnesses must have signed: see [witnesses] in {path}")
    emit("trust add", payload, as_json, "\n".join(lines) or "Nothing new: all of it was known.")


@trust.command("list", epilog="Example: mbd trust list --trust trust.toml")
@TRUST
@json_option
def list_(trust: Path | None, as_json: bool) -> None:
    """Every key in the trust file, with the fingerprint to read aloud."""
    path = _path(trust)
    policy = load_trust(path)
    emit("trust list", _payload(path, policy), as_json, "\n".join(_blocks(policy)))


@trust.command(epilog="Example: mbd trust show fcefc794aa1ec488")
@click.argument("key_id", metavar="KEYID")
@TRUST
@json_option
def show(key_id: str, trust: Path | None, as_json: bool) -> None:
    """Everything about one key, named by its id or the beginning of it."""
    path = _path(trust)
    listed = _payload(path, load_trust(path))["keys"]
    wanted = "".join(key_id.split()).lower()
    found = [one for one in listed if one["keyId"].startswith(wanted)]
    if len(wanted) < _LEAST_DIGITS:
        raise UsageError(
            f"{key_id!r} is too short: want {_LEAST_DIGITS} digits of a key id, or more",
            field="KEYID",
            hint="`mbd trust list` shows them",
        )
    if len(found) != 1:
        why = f"{len(found)} keys that begin with" if found else "no key that begins with"
        raise NotFoundError(
            f"{path} names {why} {key_id!r}", field="KEYID", hint="`mbd trust list` shows them"
        )
    lines = [f"{name:15} {value}" for name, value in found[0].items()]
    emit("trust show", found[0], as_json, "\n".join(map(printable, lines)))


def _path(given: Path | None) -> Path:
    """--trust, MBD_TRUST, ./trust.toml."""
    return given or Path(os.environ.get("MBD_TRUST") or "trust.toml")


def _digits(text: str) -> str:
    digits = re.sub(r"[\s:]", "", text).lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise UsageError("want the 64 hex digits of a whole fingerprint", field="--fingerprint")
    return digits


def _confirm(addition: Addition, confirmed: set[str], offer: TrustPolicy) -> None:
    """Return if somebody vouches for every new key.

    Raises:
        RefusedError: Nobody does for one, or a fingerprint was given that no key has.
    """
    new = (*addition.new, *addition.later)
    held = {one.key.key_id for one in new} | {one.key.key_id for one in offer.issuers}
    held |= {key.key_id for key in _note_keys(offer)}
    if confirmed - held:
        raise RefusedError(
            f"no key in the file has the fingerprint {_groups(min(confirmed - held))}",
            code="trust.fingerprint",
            field="--fingerprint",
            hint="either it was misheard, or the file is not the owner's: add nothing from it",
        )
    for one in new:
        if one.key.key_id not in confirmed and not _asked(one, addition.policy):
            raise RefusedError(
                f"nobody confirmed the {one.role} key of {one.name}: {one.key.fingerprint}",
                code="trust.unconfirmed",
                field="--fingerprint",
                hint="compare it with its owner over another channel, then name it with "
                "--fingerprint",
            )


def _asked(one: NewKey, policy: TrustPolicy) -> bool:
    """Whether somebody at a terminal says yes."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    click.echo(f"{one.role} key of {printable(one.name)}\n  {one.key.fingerprint}", err=True)
    good = _bounds_of(one, policy)
    if good:
        click.echo(f"  {good[0]}", err=True)
    note(
        "Compare every group with what its owner reads to you over another channel"
        + (", and which entries it is good for." if good else ".")
    )
    return click.confirm("Is it the same?", default=False, err=True)


def _note_keys(policy: TrustPolicy) -> list[Any]:
    from mbd.signing.public import ed25519_key

    found = [policy.log.key] if policy.log is not None else []
    found += [one.key for one in policy.witnesses]
    return [ed25519_key(key.public_key) for key in found]


def _payload(path: Path, policy: TrustPolicy) -> dict[str, Any]:
    keys = [_issuer_json(one) for one in policy.issuers]
    if policy.log is not None:
        keys.append(_vkey_json("log", policy.log.origin, policy.log.key))
    keys += [_vkey_json("witness", one.name, one.key) for one in policy.witnesses]
    limits = {"epsilon": policy.max_epsilon, "delta": policy.max_delta}
    return {
        "trust": printable(str(path)),
        "keys": keys,
        "quorum": policy.quorum,
        "limits": limits,
    }


def _vkey_json(role: Literal["log", "witness"], name: str, key: VerifierKey) -> dict[str, Any]:
    from mbd.signing.public import ed25519_key

    return {**_new_json(NewKey(role, name, ed25519_key(key.public_key))), "vkey": str(key)}


def _new_json(one: NewKey) -> dict[str, Any]:
    from mbd.canonical.digest import b64encode

    return {
        "role": one.role,
        "name": one.name,
        "keyId": one.key.key_id,
        "fingerprint": one.key.fingerprint,
        "algorithm": one.key.algorithm,
        "publicKey": b64encode(one.key.der),
    }


def _added_json(one: NewKey, policy: TrustPolicy) -> dict[str, Any]:
    """A new key; of an issuer's also which entries it is believed for."""
    issuer = policy.issuer(one.key.key_id) if one.role == "issuer" else None
    return _new_json(one) if issuer is None else _issuer_json(issuer)


def _added_line(one: NewKey, policy: TrustPolicy) -> str:
    shown = [printable(one.name), one.key.key_id[:16], *_bounds_of(one, policy)]
    return "  ".join([f"added     {one.role:7}", *shown])


def _bounds_of(one: NewKey, policy: TrustPolicy) -> list[str]:
    """Which entries a new issuer's key is believed for, as its offer says; nothing of others."""
    issuer = policy.issuer(one.key.key_id) if one.role == "issuer" else None
    return [] if issuer is None else [_bounds(issuer)]


def _issuer_json(one: TrustedIssuer) -> dict[str, Any]:
    bounds = {
        "validFrom": one.valid_from,
        "retiredFrom": one.retired_from,
        "distrustedFrom": one.distrusted_from,
    }
    return {
        **_new_json(NewKey("issuer", one.name, one.key)),
        **{name: value for name, value in bounds.items() if value is not None},
    }


def _blocks(policy: TrustPolicy) -> list[str]:
    lines = []
    for one in policy.issuers:
        lines += [
            f"issuer  {printable(one.name)}  {_bounds(one)}",
            f"        {one.key.fingerprint}",
        ]
    named: list[tuple[Literal["log", "witness"], str, VerifierKey]] = []
    if policy.log is not None:
        named.append(("log", policy.log.origin, policy.log.key))
    named += [("witness", one.name, one.key) for one in policy.witnesses]
    for role, name, key in named:
        shown = _vkey_json(role, name, key)
        lines += [f"{role:7} {printable(name)}", f"        {shown['fingerprint']}"]
    if policy.witnesses:
        lines.append(f"quorum  {policy.quorum} of {len(policy.witnesses)} witnesses")
    return lines


def _bounds(one: TrustedIssuer) -> str:
    words = [f"from entry {one.valid_from} on"]
    if one.retired_from is not None:
        words = [f"entries {one.valid_from} to {one.retired_from - 1}"]
    if one.distrusted_from is not None:
        words.append(f"distrusted from entry {one.distrusted_from} on")
    return ", ".join(words)


def _groups(digits: str) -> str:
    return " ".join(digits[i : i + 4] for i in range(0, 64, 4))
