"""The trust file: whom a verifier believes. Nothing inside a bundle can add to it.

[[issuer]]
name = "Example Clinic"          # must equal `issuer` in the certificate
keyId = "<hex>"                  # SHA-256 of the DER key
publicKey = "<base64>"           # DER SubjectPublicKeyInfo; Ed25519 or P-256
validFrom = 100                  # optional: entries before this index are refused
retiredFrom = 1000               # optional: so are entries from this index on; the others are fine
distrustedFrom = 1234            # optional: the same, and earlier ones are valid but not current

[log]
origin = "ledger.example/2026"   # first line of its checkpoints
vkey = "<name>+<id>+<base64>"    # C2SP verifier key, Ed25519

[[witness]]                      # optional: who else watches this log
name = "Example Watch"           # what you call it
vkey = "<name>+<id>+<base64>"    # C2SP verifier key of type 0x04, Ed25519

[witnesses]
quorum = 1                       # how many of them must have signed

[limits]                         # optional: what you accept at most
epsilon = 8
delta = 1e-5
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from mbd.canonical.digest import b64decode_strict
from mbd.certificate.fields import Closed, Items, validate
from mbd.errors import MbdError, UsageError
from mbd.ledger.note import parse_verifier_key
from mbd.signing.public import ed25519_key, public_key
from mbd.verify.mistaken import at_fault
from mbd.verify.reading import read_regular
from mbd.verify.trusted import (
    TrustedIssuer,
    TrustedLog,
    TrustedWitness,
    TrustPolicy,
    check_independent,
    witness_key,
)

MAX_TRUST_BYTES = 1 << 17
"""Some three hundred keys."""
_MAX_DOTS = 100
"""In a line; the parser of TOML takes a minute for a key of 65,000 parts."""


_Index = Annotated[int, Field(ge=0, le=(1 << 63) - 1)]


class _IssuerForm(Closed):
    name: Annotated[str, Field(min_length=1, max_length=2000)]
    key_id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}\z")]
    public_key: str
    valid_from: _Index = 0
    retired_from: _Index | None = None
    distrusted_from: _Index | None = None


class _LogForm(Closed):
    origin: Annotated[str, Field(min_length=1, max_length=2000)]
    vkey: str


class _WitnessForm(Closed):
    name: Annotated[str, Field(min_length=1, max_length=2000)]
    vkey: str


class _QuorumForm(Closed):
    quorum: Annotated[int, Field(ge=1)]


class _LimitsForm(Closed):
    epsilon: Any = None
    """Any kind, so that a number in quotes is told from no number; see `_limit`."""
    delta: Any = None


class _TrustForm(Closed):
    issuer: Items[_IssuerForm] = ()
    log: _LogForm | None = None
    witness: Items[_WitnessForm] = ()
    witnesses: _QuorumForm | None = None
    limits: _LimitsForm = _LimitsForm()


def load_trust(path: Path) -> TrustPolicy:
    """Read a trust file.

    Raises:
        UsageError: It is missing, not TOML, or says something that cannot be believed: a key
            id of another key, a low-order key, a limit that is not a number > 0.
    """
    try:
        content = read_regular(path, MAX_TRUST_BYTES)
    except UsageError as error:  # which names the file
        raise UsageError(f"trust file {error.message}", code="trust.invalid") from error
    try:
        return parse_trust(content)
    except MbdError as error:
        raise UsageError(
            f"trust file {path}: {at_fault(content, error.message, 'trust')}",
            code="trust.invalid",
            field=error.field,
            hint=error.hint,
        ) from error


def parse_trust(content: bytes) -> TrustPolicy:
    """Read the content of a trust file.

    Raises:
        UsageError: It is not TOML.
        MbdError: It says something that cannot be believed.
    """
    if len(content) > MAX_TRUST_BYTES:
        raise UsageError(f"larger than {MAX_TRUST_BYTES} bytes", code="trust.invalid")
    if any(line.count(b".") > _MAX_DOTS for line in content.split(b"\n")):
        raise UsageError(f"a line with more than {_MAX_DOTS} dots", code="trust.invalid")
    try:
        return _policy(tomllib.loads(content.decode("utf-8")))
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, or beyond its parser
        raise UsageError(str(error), code="trust.invalid") from error


def _policy(content: dict[str, Any]) -> TrustPolicy:
    form = validate(_TrustForm, content, code="trust.invalid")
    issuers = tuple(_issuer(one) for one in form.issuer)
    if not issuers and form.log is None:
        raise UsageError("it names neither an issuer nor a log")
    if len({one.key.key_id for one in issuers}) != len(issuers):
        raise UsageError("one key is listed twice", field="issuer")
    log = _log(form.log) if form.log else None
    return TrustPolicy(
        issuers=issuers,
        log=log,
        max_epsilon=_limit("epsilon", form.limits.epsilon),
        max_delta=_limit("delta", form.limits.delta),
        witnesses=_witnesses(form.witness, log, issuers),
        quorum=_quorum(form),
    )


def _issuer(form: _IssuerForm) -> TrustedIssuer:
    key = public_key(b64decode_strict(form.public_key, field="publicKey"))
    if key.key_id != form.key_id:
        raise UsageError(f"keyId of {form.name!r} is not that of its publicKey", field="keyId")
    if form.retired_from is not None and form.retired_from <= form.valid_from:
        raise UsageError(f"a key of {form.name!r} ends before it begins", field="retiredFrom")
    return TrustedIssuer(form.name, key, form.valid_from, form.retired_from, form.distrusted_from)


def _log(form: _LogForm) -> TrustedLog:
    key = parse_verifier_key(form.vkey)
    ed25519_key(key.public_key)  # refuses low-order points, which the note format does not
    return TrustedLog(form.origin, key)


def _witnesses(
    forms: tuple[_WitnessForm, ...], log: TrustedLog | None, issuers: Sequence[TrustedIssuer]
) -> tuple[TrustedWitness, ...]:
    """Each a key of its own: two names of one key are one witness."""
    found = tuple(TrustedWitness(one.name, witness_key(one.vkey)) for one in forms)
    keys = [one.key.public_key for one in found]
    if len(set(keys)) != len(keys):
        raise UsageError("one key is listed as two witnesses", field="witness")
    check_independent(found, log, issuers)
    return found


def _quorum(form: _TrustForm) -> int:
    """How many witnesses have to sign: said in the file, for nobody else can know."""
    if form.witnesses is None:
        if form.witness:
            raise UsageError(
                "it names witnesses, but not how many must have signed",
                field="witnesses.quorum",
                hint="add [witnesses] with quorum = 1, or more",
            )
        return 0
    if form.witnesses.quorum > len(form.witness):
        raise UsageError(
            f"{form.witnesses.quorum} must have signed, but it names {len(form.witness)}",
            field="witnesses.quorum",
        )
    return form.witnesses.quorum


def _limit(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, str):
        raise UsageError(
            f"want a number without quotes, got {value[:40]!r}", field=f"limits.{name}"
        )
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"want a number, got {str(value)[:40]}", field=f"limits.{name}")
    if not 0 < value <= sys.float_info.max:
        raise UsageError(f"want a number > 0, got {value}", field=f"limits.{name}")
    return float(value)
