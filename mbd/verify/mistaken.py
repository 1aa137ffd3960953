"""What a file is that was given in place of a bundle: people mix up what they were handed.

Nothing is parsed: the file was refused already, and this only helps its reader.
"""

from __future__ import annotations

_BUNDLE = b"application/vnd.mbd.bundle+json"

_BEGINNINGS = (
    (b"old ", "a proof that the log only grew: give it with --consistency"),
    (b"c2sp.org/tlog-proof@", "a proof that something was logged, without what was logged"),
    (b"-----BEGIN", "a key or an X.509 certificate, which is something else"),
)
_MARKS = (
    (b'"urn:mbd:receipt', "a receipt: give it with --receipt, and the certificate as FILE"),
    (b'"urn:mbd:escrow', "an escrow: give it with --escrow, and the certificate as FILE"),
    (b'"urn:mbd:cli:', "what another command printed with --json"),
    (b"application/vnd.dev.sigstore", "a Sigstore bundle, without the log entry: ask for the rest"),
    (b'"payloadType"', "an envelope alone, without the log entry: ask for the whole bundle"),
    (b'"predicateType"', "a statement that nobody signed: ask for the whole bundle"),
    (b"[[issuer]]", "a trust file: give it with --trust"),
    ("\n\n\N{EM DASH} ".encode(), "a checkpoint of a log: a bundle holds one of its own"),
)


def recognised(data: bytes) -> str | None:
    """What a file looks like that is no bundle, and where it belongs; None if nothing known."""
    if _BUNDLE in data:
        return None
    found = [words for start, words in _BEGINNINGS if data.startswith(start)]
    found += [words for mark, words in _MARKS if mark in data]
    return found[0] if found else None
