"""Whether a body is the one that a leaf is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mbd.canonical.digest import b64decode_strict, sha256_hex
from mbd.canonical.json import loads_strict
from mbd.errors import DataError, IntegrityError, MbdError
from mbd.ledger.entry import Entry
from mbd.signing.dsse import pae

MAX_BODY_BYTES = 16 << 20


def check_body(entry: Entry, body: bytes) -> None:
    """Check that `body` is what the leaf binds.

    The body of a signed entry is a DSSE envelope: the leaf binds the bytes that its
    signatures are over and each signature. Any other body is bound as it is.

    Raises:
        IntegrityError: It is not.
    """
    found = _envelope_digests(body) if entry.signatures else (sha256_hex(body), ())
    if found != (entry.digest, entry.signatures):
        raise IntegrityError("the body is not the one that the leaf binds", code="entry.body")


def envelope_payload(body: bytes) -> tuple[str, bytes, list[bytes]]:
    """Payload type, payload and signatures of a DSSE envelope (protocol.md v1.0.2).

    Raises:
        DataError: It is not one.
    """
    envelope = loads_strict(body, max_bytes=MAX_BODY_BYTES)
    try:
        kind, payload = envelope["payloadType"], b64decode_strict(envelope["payload"])
        signatures = [b64decode_strict(one["sig"]) for one in envelope["signatures"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError("the body is not a DSSE envelope", code="entry.body") from error
    if not isinstance(kind, str):
        raise DataError("the body is not a DSSE envelope", code="entry.body")
    return kind, payload, signatures


def published_labels(body: bytes) -> tuple[str, Sequence[str], str]:
    """What a certificate says that the ledger lists: id, modalities, guarantee class.

    Raises:
        DataError: The envelope holds no certificate.
    """
    _, payload, _ = envelope_payload(body)
    statement: Any = loads_strict(payload, max_bytes=MAX_BODY_BYTES)
    try:
        predicate = statement["predicate"]
        modalities = predicate["deletion"]["modalities"]
        return predicate["certificateId"], modalities, predicate["guarantee"]["class"]
    except (KeyError, TypeError) as error:
        raise DataError("the body holds no certificate", code="entry.body") from error


def _envelope_digests(body: bytes) -> tuple[str, tuple[str, ...]]:
    try:
        kind, payload, signatures = envelope_payload(body)
    except MbdError as error:
        raise IntegrityError(error.message, code="entry.body") from error
    return sha256_hex(pae(kind, payload)), tuple(sha256_hex(one) for one in signatures)
