"""The bundle: everything that a stranger with a trust file needs, in one file.

`{"mediaType", "envelope", "entry", "tlogProof"}` in RFC 8785 bytes. The entry is what the
ledger's leaf holds; the proof is C2SP tlog-proof text. This module knows neither: the
verifier joins them. No key inside a bundle is ever trusted, so there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from mbd.canonical.json import dumps, dumps_in_order, loads_and_compare, loads_strict
from mbd.certificate.envelope import Envelope, parse_envelope
from mbd.certificate.fields import Closed, validate
from mbd.certificate.statement import Statement, parse_statement
from mbd.errors import DataError

MEDIA_TYPE = "application/vnd.mbd.bundle+json;version=1"
MAX_BUNDLE_BYTES = 2_500_000
"""A statement and a proof of 1 MB each, the first in base64: no bundle is longer."""
_MAX_MARKS = 20_000
"""See `canonical.json`; a bundle has a few hundred, most of its bytes are in two strings."""


class _BundleForm(Closed):
    media_type: Literal["application/vnd.mbd.bundle+json;version=1"]
    envelope: dict[str, Any]
    entry: dict[str, Any]
    tlog_proof: Annotated[str, Field(max_length=1_000_000)]


@dataclass(frozen=True)
class Bundle:
    """A certificate with the evidence that it was logged."""

    envelope: Envelope
    entry: bytes
    """Content of the ledger's leaf: canonical JSON."""
    tlog_proof: str

    def statement(self) -> Statement:
        """The statement inside; nothing about it is verified."""
        return parse_statement(self.envelope.payload)

    def to_bytes(self) -> bytes:
        """The one spelling of this bundle."""
        return dumps(
            {
                "mediaType": MEDIA_TYPE,
                "envelope": self.envelope.to_json(),
                "entry": loads_strict(self.entry),
                "tlogProof": self.tlog_proof,
            }
        )


def parse_bundle(data: bytes) -> Bundle:
    """Read a bundle; the bytes must be the ones `Bundle.to_bytes` writes.

    Raises:
        DataError: Too large or not strict JSON (`json.*`), a field at fault
            (`bundle.schema`, `envelope.schema`, `base64`), or another spelling of the same
            content (`bundle.canonical`).
    """
    value, canonical = loads_and_compare(
        data, max_bytes=MAX_BUNDLE_BYTES, max_depth=8, max_marks=_MAX_MARKS
    )
    form = validate(_BundleForm, value, code="bundle.schema")
    envelope = parse_envelope(form.envelope)
    if not canonical:  # `to_bytes` would write `value` again
        raise DataError("not the canonical bytes of this bundle", code="bundle.canonical")
    return Bundle(envelope, dumps_in_order(form.entry), form.tlog_proof)
