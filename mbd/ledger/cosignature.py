"""Cosignatures: a witness says that a log only grew up to this checkpoint.

Source: C2SP tlog-cosignature v1.0.0 (https://c2sp.org/tlog-cosignature), "Format" and "Signed
message". Only Ed25519 (type 0x04) is made and checked. The signed bytes do not hold the name of
the witness, so a key stands for one witness only.
"""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography.exceptions import InvalidSignature

from mbd.canonical.digest import b64encode
from mbd.errors import IntegrityError
from mbd.ledger.note import Note, NoteSigner, VerifierKey, loaded, parse_verifier_key

COSIGNATURE = 0x04
"""Signature type identifier of a timestamped Ed25519 cosignature; "Format"."""

_TIME_BYTES = 8


def parse_witness_key(text: str) -> VerifierKey:
    """Read the vkey of a witness.

    Raises:
        DataError: It is malformed, or of another type: a log's key is no witness's.
    """
    return parse_verifier_key(text, COSIGNATURE)


def cosign(text: str, signer: NoteSigner, moment: datetime) -> str:
    """The line by which a witness signs the text of a checkpoint at a moment (aware)."""
    key = VerifierKey(signer.name, signer.public_key, COSIGNATURE)
    seconds = int(moment.timestamp())
    signature = signer.sign(_message(seconds, text))
    content = key.key_id + seconds.to_bytes(_TIME_BYTES, "big") + signature
    return f"\N{EM DASH} {key.name} {b64encode(content)}\n"


def cosigned_at(note: Note, key: VerifierKey, latest: datetime) -> datetime | None:
    """When this witness signed a note last; None if it did not.

    Args:
        note: The checkpoint with all its signature lines.
        key: Of the witness, see `parse_witness_key`.
        latest: Signatures dated after this (aware) count for nothing.

    Raises:
        IntegrityError: A signature of this key does not hold (`cosignature.invalid`).
    """
    moments = [
        _checked(note.text, line.signature, key)
        for line in note.signatures
        if (line.name, line.key_id) == (key.name, key.key_id)
    ]
    past = [one for one in moments if one <= latest.timestamp()]
    return datetime.fromtimestamp(max(past), UTC) if past else None


def _checked(text: str, content: bytes, key: VerifierKey) -> int:
    """Seconds since 1970 at which a signature was made that holds."""
    seconds = int.from_bytes(content[:_TIME_BYTES], "big")
    try:
        loaded(key.public_key).verify(content[_TIME_BYTES:], _message(seconds, text))
    except (InvalidSignature, ValueError) as error:
        raise IntegrityError(
            f"the signature of witness {key.name} does not match the checkpoint",
            code="cosignature.invalid",
        ) from error
    return seconds


def _message(seconds: int, text: str) -> bytes:
    """Header, time, and the whole text of the note with its last newline."""
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()
