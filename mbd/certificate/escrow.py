"""The escrow: salts by which an auditor opens a certificate without learning whom it is about.

It opens the data set after and the state after, nothing else: only the person's receipt shows
what was removed. The issuer keeps these salts and hands them to the auditor in this form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from mbd.canonical.json import dumps, loads_strict
from mbd.certificate.fields import Closed, Digest, Ulid, validate
from mbd.errors import DataError

MAX_ESCROW_BYTES = 4096

KIND: Literal["urn:mbd:escrow:v1"] = "urn:mbd:escrow:v1"
ESCROWED = ("datasetAfter", "stateAfter")
"""The commitments that it opens, by their names in the certificate."""


class EscrowSalts(Closed):
    """One salt per commitment (hex)."""

    dataset_after: Digest
    state_after: Digest


class Escrow(Closed):
    """Opens what one certificate says about the retained data."""

    escrow: Literal["urn:mbd:escrow:v1"]
    certificate_id: Ulid
    salts: EscrowSalts

    def named(self) -> dict[str, bytes]:
        """The salts by the names of `ESCROWED`."""
        found: dict[str, str] = self.salts.model_dump(by_alias=True)
        return {name: bytes.fromhex(found[name]) for name in ESCROWED}

    def to_bytes(self) -> bytes:
        """RFC 8785 bytes and the newline that ends a line of text."""
        return dumps(self.model_dump(mode="json", by_alias=True)) + b"\n"


def make_escrow(certificate_id: str, salts: Mapping[str, bytes]) -> Escrow:
    """The escrow of a certificate from the salts that the issuer kept.

    Raises:
        DataError: Not a certificate's id, or not 32 bytes (`escrow.schema`).
        KeyError: A salt is missing.
    """
    content = {
        "escrow": KIND,
        "certificateId": certificate_id,
        "salts": {name: salts[name].hex() for name in ESCROWED},
    }
    return validate(Escrow, content, code="escrow.schema")


def parse_escrow(data: bytes) -> Escrow:
    """Read an escrow; only its one spelling is accepted.

    Raises:
        DataError: Not strict JSON (`json.*`), a field at fault, or another spelling
            (`escrow.schema`).
    """
    value = loads_strict(data, max_bytes=MAX_ESCROW_BYTES, max_depth=3)
    found = validate(Escrow, value, code="escrow.schema")
    if found.to_bytes() != data:
        raise DataError(
            "the escrow says the same as one, but in another spelling",
            code="escrow.schema",
            hint="use the file that `mbd certificate escrow` wrote, as it is",
        )
    return found
