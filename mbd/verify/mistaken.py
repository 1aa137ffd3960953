"""What a file is that was given in place of another: people mix up what they were handed.

Nothing is parsed: the file was refused already, and this only helps its reader.
"""

from __future__ import annotations

from typing import Literal

from mbd.certificate.bundle import MEDIA_TYPE

Kind = Literal["bundle", "receipt", "escrow", "growth", "keys", "trust", "pem", "other"]

_BEGINNINGS: tuple[tuple[bytes, Kind, str], ...] = (
    (b"old ", "growth", "a proof that the log only grew: give it with --consistency"),
    (
        b"c2sp.org/tlog-proof@",
        "other",
        "a proof that something was logged, without what was logged",
    ),
    (b"-----BEGIN", "pem", "a key or an X.509 certificate, which is something else"),
)
_MARKS: tuple[tuple[bytes, Kind, str], ...] = (
    (
        MEDIA_TYPE.partition(";")[0].encode(),
        "bundle",
        "a certificate: give it as FILE to `mbd verify`",
    ),
    (
        b'"urn:mbd:receipt',
        "receipt",
        "a receipt: give it with --receipt, and the certificate as FILE",
    ),
    (
        b'"urn:mbd:escrow',
        "escrow",
        "an escrow: give it with --escrow, and the certificate as FILE",
    ),
    (
        b'"urn:mbd:cli:key-export:',
        "keys",
        "an export of keys: take those that you compared with `mbd trust add`",
    ),
    (
        b'"urn:mbd:cli:',
        "other",
        "what another command printed with --json: give what it prints without",
    ),
    (
        b"application/vnd.dev.sigstore",
        "other",
        "a Sigstore bundle, without the log entry: ask for the rest",
    ),
    (
        b'"payloadType"',
        "other",
        "an envelope alone, without the log entry: ask for the whole bundle",
    ),
    (b'"predicateType"', "other", "a statement that nobody signed: ask for the whole bundle"),
    (b"[[issuer]]", "trust", "a trust file: give it with --trust"),
    (b"# A workspace of mbd.", "other", "the settings of a workspace: its trust file lies beside"),
    (
        "\n\n\N{EM DASH} ".encode(),
        "other",
        "a checkpoint of a log: alone it proves nothing, and a bundle holds one of its own",
    ),
)
_MAIL = "an editor or a mail program may have changed its line ends: ask for it again, as a file"


def recognised(data: bytes, *wanted: Kind) -> str | None:
    """What a file looks like, and where it belongs; None if it looks like what is wanted."""
    found = [(kind, words) for start, kind, words in _BEGINNINGS if data.startswith(start)]
    found += [(kind, words) for mark, kind, words in _MARKS if mark in data]
    kinds = {kind for kind, _ in found}
    if not found or kinds & set(wanted):
        return None
    return found[0][1]


def at_fault(data: bytes, error: str, *wanted: Kind) -> str:
    """Why a file could not be read as one of the wanted kinds, for the one who gave it."""
    if not data.strip():
        return "the file is empty"
    kind = recognised(data, *wanted)
    if kind is not None:
        return f"this is {kind}"
    return f"{error}; {_MAIL}" if changed_on_the_way(data) else error


def changed_on_the_way(data: bytes) -> bool:
    """Whether the ends of its lines are not those that our commands write."""
    return b"\r" in data or data.startswith(b"\xef\xbb\xbf")


def respelled(data: bytes) -> str:
    """What to add where a bundle is one, but for its spelling."""
    if changed_on_the_way(data) or data != data.strip():
        return f"; {_MAIL}"
    return ""
