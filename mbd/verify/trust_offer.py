"""Keys that somebody offers for a trust file, and what becomes of the file if they are taken.

A file may hold an export (`mbd key export`), a whole trust file, a PEM public key, or a verifier
key of a log. Whether the keys are whose they claim to be, only people can compare: nothing here
believes a new key, it lists it. Bounds of known keys are taken over where they are narrower, for
they can only make a verifier refuse more. A key ends as time goes by, but it began once: where an
offer says that it began later, it would turn certificates invalid that were good, so that is
listed to be confirmed too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import FailFast, Field

from mbd.canonical.digest import b64decode_strict
from mbd.canonical.json import loads_strict
from mbd.certificate.fields import Closed, validate
from mbd.errors import ConflictError, DataError, MbdError, UsageError
from mbd.ledger.note import parse_verifier_key
from mbd.signing.public import PublicKey, ed25519_key, pem_key, public_key
from mbd.verify.mistaken import recognised
from mbd.verify.trust import MAX_TRUST_BYTES, parse_trust
from mbd.verify.trusted import (
    TrustedIssuer,
    TrustedLog,
    TrustedWitness,
    TrustPolicy,
    check_independent,
    witness_key,
)

_Index = Annotated[int, Field(ge=0, lt=1 << 63)]
_Text = Annotated[str, Field(min_length=1, max_length=2000)]


class _KeyForm(Closed):
    role: Literal["issuer", "log"]
    state: str
    key_id: str
    algorithm: str
    public_key: str | None
    vkey: str | None = None
    issuer: _Text | None = None
    """Where the key signed under another name than the present one."""
    valid_from: _Index = 0
    retired_from: _Index | None = None
    distrusted_from: _Index | None = None


class _ExportForm(Closed):
    schema_: Annotated[Literal["urn:mbd:cli:key-export:v1"], Field(alias="schema")]
    issuer: _Text
    origin: _Text
    keys: Annotated[
        tuple[_KeyForm, ...], Field(strict=False, min_length=1, max_length=1000), FailFast()
    ]


@dataclass(frozen=True)
class NewKey:
    """A key that a trust file does not hold yet."""

    role: Literal["issuer", "log", "witness"]
    name: str
    """Of the issuer, of the log, or of the witness."""
    key: PublicKey


@dataclass(frozen=True)
class Addition:
    """What a trust file would be with an offer taken."""

    policy: TrustPolicy
    new: tuple[NewKey, ...]
    """To be confirmed one by one: the keys that would be believed from now on."""
    narrowed: tuple[TrustedIssuer, ...]
    """Known keys that would be believed for less of the log."""
    later: tuple[NewKey, ...] = ()
    """Those of them that would begin later: to be confirmed as well."""


def read_offer(data: bytes, *, name: str | None = None) -> TrustPolicy:
    """The keys in a file.

    Args:
        data: Its content.
        name: Whose a PEM key is: `issuer` in the certificates it signs; or what to call a witness.

    Raises:
        MbdError: It is none of the known forms, or a key that is never believed.
    """
    try:
        return _offer(data, name)
    except MbdError as error:
        kind = recognised(data, "keys", "trust", "pem")
        if kind is None:
            raise
        raise UsageError(f"this is {kind}", code="trust.invalid") from error


def _offer(data: bytes, name: str | None) -> TrustPolicy:
    if len(data) > MAX_TRUST_BYTES:
        raise UsageError(f"larger than {MAX_TRUST_BYTES} bytes", code="trust.invalid")
    content = data.strip()
    if content.startswith(b"{"):
        return _export(content)
    if content.startswith(b"-----BEGIN"):
        if not name:
            raise UsageError(
                "a PEM key does not say whose it is",
                field="--name",
                hint="the name is `issuer` in the certificates",
            )
        return TrustPolicy((TrustedIssuer(name, pem_key(data)),))
    if b"\n" not in content and content.count(b"+") >= 2:
        return _vkey(content.decode("utf-8", "replace"), name)
    return parse_trust(data)


def take(policy: TrustPolicy, offer: TrustPolicy) -> Addition:
    """What a trust file would say with an offer taken; its limits and quorum are ignored.

    The first witnesses are all required; after that the quorum stays what it was.

    Raises:
        ConflictError: A known key under another name, or another log.
        UsageError: A log or an issuer that is to be its own witness.
    """
    before = {one.key.key_id: one for one in policy.issuers}
    known = dict(before)
    new: list[NewKey] = []
    narrowed: list[TrustedIssuer] = []
    for one in offer.issuers:
        old = known.get(one.key.key_id)
        if old is None:
            new.append(NewKey("issuer", one.name, one.key))
            known[one.key.key_id] = one
            continue
        if old.name != one.name:
            raise ConflictError(
                f"key {one.key.key_id[:16]} is {old.name!r} in the trust file, "
                f"and {one.name!r} in what is offered",
                code="trust.name",
            )
        tight = _narrower(old, one)
        if tight != old:
            narrowed.append(tight)
            known[one.key.key_id] = tight
    log = policy.log or offer.log
    if offer.log is not None and policy.log is not None and offer.log != policy.log:
        raise ConflictError(
            f"the trust file is for the log {policy.log.origin!r}, the offer for "
            f"{offer.log.origin!r} or another key of it",
            code="trust.log",
            hint="places in one log say nothing about another: use a trust file for each",
        )
    if policy.log is None and offer.log is not None:
        new.append(NewKey("log", offer.log.origin, ed25519_key(offer.log.key.public_key)))
    watchers = _new_witnesses(policy, offer)
    check_independent([*policy.witnesses, *watchers], log, tuple(known.values()))
    new += [NewKey("witness", one.name, ed25519_key(one.key.public_key)) for one in watchers]
    taken = replace(
        policy,
        issuers=tuple(known.values()),
        log=log,
        witnesses=(*policy.witnesses, *watchers),
        quorum=policy.quorum or len(watchers),
    )
    later = [
        NewKey("issuer", one.name, one.key)
        for one in narrowed
        if one.key.key_id in before and one.valid_from > before[one.key.key_id].valid_from
    ]
    return Addition(taken, tuple(new), tuple(narrowed), tuple(later))


def _new_witnesses(policy: TrustPolicy, offer: TrustPolicy) -> list[TrustedWitness]:
    """Those whose keys are not known yet: what a known one is called stays one's own choice."""
    known = {one.key.public_key for one in policy.witnesses}
    return [one for one in offer.witnesses if one.key.public_key not in known]


def _export(data: bytes) -> TrustPolicy:
    content = loads_strict(data, max_bytes=MAX_TRUST_BYTES)
    form = validate(_ExportForm, content, code="trust.invalid")
    issuers: list[TrustedIssuer] = []
    log: TrustedLog | None = None
    for one in form.keys:
        if one.public_key is None:
            continue
        key = public_key(b64decode_strict(one.public_key, field="publicKey"))
        if key.key_id != one.key_id:
            raise UsageError("keyId is not that of its publicKey", field="keyId")
        if one.role == "issuer":
            issuers.append(
                TrustedIssuer(
                    one.issuer or form.issuer,
                    key,
                    one.valid_from,
                    one.retired_from,
                    one.distrusted_from,
                )
            )
        elif one.vkey is not None:
            log = _log(one.vkey, form.origin)
            if log.key.public_key != key.raw:
                raise UsageError("vkey is not that of its publicKey", field="vkey")
    return TrustPolicy(tuple(issuers), log)


def _log(vkey: str, origin: str | None = None) -> TrustedLog:
    key = parse_verifier_key(vkey)
    ed25519_key(key.public_key)  # refuses low-order points, which the note format does not
    return TrustedLog(origin or key.name, key)


def _vkey(text: str, name: str | None) -> TrustPolicy:
    """A log or a witness, as the type inside the key says."""
    try:
        return TrustPolicy(log=_log(text))
    except DataError:
        key = witness_key(text)
    return TrustPolicy(witnesses=(TrustedWitness(name or key.name, key),), quorum=1)


def _narrower(old: TrustedIssuer, new: TrustedIssuer) -> TrustedIssuer:
    return replace(
        old,
        valid_from=max(old.valid_from, new.valid_from),
        retired_from=_earlier(old.retired_from, new.retired_from),
        distrusted_from=_earlier(old.distrusted_from, new.distrusted_from),
    )


def _earlier(one: int | None, other: int | None) -> int | None:
    return min((found for found in (one, other) if found is not None), default=None)
