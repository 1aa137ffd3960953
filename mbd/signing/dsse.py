"""What a DSSE signature covers: the pre-authentication encoding.

Source: github.com/secure-systems-lab/dsse, protocol.md v1.0.2.
"""

from __future__ import annotations


def pae(payload_type: str, body: bytes) -> bytes:
    """`DSSEv1 SP len(type) SP type SP len(body) SP body`; lengths count bytes, in decimal.

    Two different (type, body) never encode alike, so a signature over one type of payload
    cannot be shown as a signature over another.
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)
