"""A certificate's envelope as a Sigstore bundle, for tools that read those.

What carries over is the envelope and the name of its key. That the certificate is in our log
does not: a `tlogEntries` member is an entry of Rekor, signed by Rekor, and nothing else.

Sources: github.com/sigstore/protobuf-specs, protos/sigstore_bundle.proto (v0.3) and
sigstore_common.proto (`PublicKeyIdentifier`: a hint that nothing authenticates; SHA-256 of the
DER key is what RFC 6962, section 3.2, recommends, and our key id);
github.com/in-toto/attestation, spec/v1/envelope.md (such a bundle holds a single signature).
"""

from __future__ import annotations

from typing import Any

from mbd.certificate.envelope import Envelope, Signature
from mbd.errors import NotFoundError, UsageError

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_SHORTEST_KEY = 8


def sigstore_bundle(envelope: Envelope, key: str | None = None) -> dict[str, Any]:
    """The JSON of a Sigstore bundle with one of the envelope's signatures.

    Args:
        envelope: What was signed; nothing is verified here.
        key: The key id of the signature to take, or how it begins (at least 8 digits); may be
            left out where there is one signature.

    Raises:
        UsageError: Several signatures and no key, or a key that fits several.
        NotFoundError: No signature by this key.
    """
    chosen = _signature(envelope.signatures, key)
    only = Envelope(envelope.payload_type, envelope.payload, (chosen,))
    return {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": chosen.key_id}, "tlogEntries": []},
        "dsseEnvelope": only.to_json(),
    }


def _signature(signatures: tuple[Signature, ...], key: str | None) -> Signature:
    if key is not None and len(key) < _SHORTEST_KEY:
        raise UsageError(f"key {key!r}: want at least {_SHORTEST_KEY} digits", field="--key")
    found = [one for one in signatures if key is None or one.key_id.startswith(key.lower())]
    if len(found) == 1:
        return found[0]
    names = ", ".join(one.key_id for one in signatures)
    if found:
        raise UsageError(
            f"{len(found)} signatures, and a Sigstore bundle holds one",
            field="--key",
            hint=f"choose one of the keys: {names}",
        )
    raise NotFoundError(f"key {key} did not sign; signed by {names}", field="--key")
