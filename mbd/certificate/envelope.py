"""DSSE envelopes: a payload, its type, and signatures over both.

Source: github.com/secure-systems-lab/dsse, envelope.md v1.0.2. Stricter where it leaves
room: standard base64 in its one spelling, key ids present and distinct.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import FailFast, Field

from mbd.canonical.digest import b64decode_strict, b64encode, sha256_hex
from mbd.certificate.fields import Closed, validate
from mbd.certificate.statement import PAYLOAD_TYPE, Statement
from mbd.errors import DataError
from mbd.signing.dsse import pae
from mbd.signing.keys import Signer

MAX_SIGNATURES = 8


@dataclass(frozen=True)
class Signature:
    """One signature; `key_id` only says which key to try."""

    key_id: str
    value: bytes


@dataclass(frozen=True)
class Envelope:
    """What was signed, exactly as it was signed."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    def signed_bytes(self) -> bytes:
        """The pre-authentication encoding that every signature is over."""
        return pae(self.payload_type, self.payload)

    def digest(self) -> str:
        """SHA-256 of the signed bytes: what the ledger's entry binds (hex)."""
        return sha256_hex(self.signed_bytes())

    def signature_digests(self) -> tuple[str, ...]:
        """SHA-256 of each signature, in order (hex)."""
        return tuple(sha256_hex(signature.value) for signature in self.signatures)

    def to_json(self) -> dict[str, Any]:
        """The JSON form of DSSE."""
        return {
            "payloadType": self.payload_type,
            "payload": b64encode(self.payload),
            "signatures": [
                {"keyid": signature.key_id, "sig": b64encode(signature.value)}
                for signature in self.signatures
            ],
        }


class _SignatureForm(Closed):
    keyid: Annotated[str, Field(pattern=r"^[0-9a-f]{64}\z")]
    sig: Annotated[str, Field(min_length=1, max_length=1000)]


class _EnvelopeForm(Closed):
    payload_type: Annotated[str, Field(max_length=200)]
    payload: str
    signatures: Annotated[
        tuple[_SignatureForm, ...],
        Field(strict=False, min_length=1, max_length=MAX_SIGNATURES),
        FailFast(),
    ]


def sign_statement(statement: Statement, signers: Sequence[Signer]) -> Envelope:
    """Sign a statement with each key, in order.

    Raises:
        DataError: No signer, or one key twice.
    """
    payload = statement.to_bytes()
    message = pae(PAYLOAD_TYPE, payload)
    signatures = tuple(Signature(signer.public.key_id, signer.sign(message)) for signer in signers)
    _check_signatures(signatures)
    return Envelope(PAYLOAD_TYPE, payload, signatures)


def parse_envelope(value: Any) -> Envelope:
    """Read an envelope from parsed JSON; no signature is checked here.

    Raises:
        DataError: With the code `envelope.schema`, or `base64`.
    """
    form = validate(_EnvelopeForm, value, code="envelope.schema")
    signatures = tuple(
        Signature(item.keyid, b64decode_strict(item.sig, field="sig")) for item in form.signatures
    )
    _check_signatures(signatures)
    payload = b64decode_strict(form.payload, field="payload")
    return Envelope(form.payload_type, payload, signatures)


def _check_signatures(signatures: tuple[Signature, ...]) -> None:
    keys = {signature.key_id for signature in signatures}
    if not keys or len(keys) != len(signatures):
        raise DataError("want one signature per key, and at least one", code="envelope.schema")
